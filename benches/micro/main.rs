//! Time per message in memory: ours, tungstenite's, and a copy of as many bytes.

mod report;

use std::{
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use benches::{codec, memory, spdy};
use bytes::{Bytes, BytesMut};
use criterion::{Bencher, BenchmarkGroup, BenchmarkId, Criterion, measurement::WallTime};
use tungstenite::{Message, protocol::Role};

const SIZES: [usize; 5] = [64, 1 << 10, 4 << 10, 32 << 10, 1 << 20];
/// No frame of ours is larger than 64 KiB.
const SPDY_SIZES: [usize; 4] = [64, 1 << 10, 4 << 10, 32 << 10];
const TUNGSTENITE: &str = "tungstenite";
const OURS: &str = "ours";
const OURS_AND_READ: &str = "ours, with the read";
const OURS_SHARED: &str = "ours, not copied";

fn main() {
    let measured = Path::new(env!("CARGO_TARGET_TMPDIR")).join("criterion");
    let mut criterion = Criterion::default()
        .output_directory(&measured)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    decode(&mut criterion);
    encode(&mut criterion);
    serve(&mut criterion);
    spdy_decode(&mut criterion);
    spdy_encode(&mut criterion);
    criterion.final_summary();
    report::print(&measured);
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for size in SIZES {
        let count = count(size);
        let wire = codec::stdout_messages(size, count);
        let now = Instant::now();

        let mut session = codec::client(size);
        bench(&mut group, OURS, size, |bencher| {
            timed(bencher, count, || {
                let mut input = BytesMut::from(&wire[..]);
                let begin = Instant::now();
                assert_eq!(codec::decode(&mut session, now, &mut input), size * count);
                begin.elapsed()
            });
        });

        let mut session = codec::client(size);
        let mut input = BytesMut::new();
        bench(&mut group, OURS_AND_READ, size, |bencher| {
            timed(bencher, count, || {
                let begin = Instant::now();
                let taken = codec::read_and_decode(&mut session, now, &mut input, &wire);
                assert_eq!(taken, size * count);
                begin.elapsed()
            });
        });

        let mut websocket = memory::websocket(wire.clone(), Role::Client);
        bench(&mut group, TUNGSTENITE, size, |bencher| {
            bencher.iter(|| websocket.read().expect("a message").len());
        });
        copy(&mut group, size);
    }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for size in SIZES {
        let payload = vec![b'x'; size];
        let mut session = codec::client(size);
        bench(&mut group, OURS, size, |bencher| {
            bencher.iter(|| codec::encode(&mut session, black_box(&payload)));
        });
        tungstenite_sends(&mut group, size, Role::Client);
        copy(&mut group, size);
    }
}

fn serve(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("serve");
    for size in SIZES {
        let payload = Bytes::from(vec![b'x'; size]);
        let mut session = codec::server(size);
        bench(&mut group, OURS, size, |bencher| {
            bencher.iter(|| codec::serve(&mut session, black_box(&payload)));
        });
        tungstenite_sends(&mut group, size, Role::Server);
        copy(&mut group, size);
    }
}

fn spdy_decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spdy decode");
    for size in SPDY_SIZES {
        let count = count(size);
        let (mut near, mut far) = spdy::pair();
        let wire = spdy::data_frames(&mut far, size, count);
        let now = Instant::now();
        bench(&mut group, OURS, size, |bencher| {
            timed(bencher, count, || {
                let mut input = BytesMut::from(&wire[..]).freeze();
                let begin = Instant::now();
                assert_eq!(spdy::decode(&mut near, now, &mut input), size * count);
                begin.elapsed()
            });
        });
        let mut input = BytesMut::new();
        bench(&mut group, OURS_AND_READ, size, |bencher| {
            timed(bencher, count, || {
                let begin = Instant::now();
                assert_eq!(spdy::read_and_decode(&mut near, now, &mut input, &wire), size * count);
                begin.elapsed()
            });
        });
        copy(&mut group, size);
    }
}

fn spdy_encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spdy encode");
    for size in SPDY_SIZES {
        let payload = Bytes::from(vec![b'x'; size]);
        let (mut near, _) = spdy::pair();
        bench(&mut group, OURS, size, |bencher| {
            bencher.iter(|| spdy::encode(&mut near, black_box(&payload)));
        });
        bench(&mut group, OURS_SHARED, size, |bencher| {
            bencher.iter(|| spdy::share(&mut near, black_box(&payload)));
        });
        copy(&mut group, size);
    }
}

/// The channel byte stands in front of the payload already, which spares tungstenite a copy that its users make.
fn tungstenite_sends(group: &mut BenchmarkGroup<'_, WallTime>, size: usize, role: Role) {
    let message = Bytes::from(vec![1; 1 + size]);
    let mut websocket = memory::websocket(Vec::new(), role);
    bench(group, TUNGSTENITE, size, |bencher| {
        bencher.iter(|| websocket.send(Message::Binary(black_box(&message).clone())).expect("sent"));
    });
}

fn copy(group: &mut BenchmarkGroup<'_, WallTime>, size: usize) {
    let (from, mut to) = (vec![b'x'; size], vec![0; size]);
    bench(group, "memcpy", size, |bencher| {
        bencher.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
    });
}

fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    who: &str,
    size: usize,
    mut routine: impl FnMut(&mut Bencher<'_, WallTime>),
) {
    group.bench_function(BenchmarkId::new(who, size), |bencher| routine(bencher));
}

/// How many messages are taken out of one buffer.
fn count(size: usize) -> usize {
    (512_usize << 10).div_ceil(size).clamp(2, 1000)
}

/// Times one message, of which `run` takes `count` and tells how long that took.
fn timed(bencher: &mut Bencher<'_, WallTime>, count: usize, mut run: impl FnMut() -> Duration) {
    bencher.iter_custom(|messages| {
        let rounds = messages.div_ceil(count as u64);
        let spent: Duration = (0..rounds).map(|_| run()).sum();
        spent.mul_f64(messages as f64 / (rounds * count as u64) as f64)
    });
}
