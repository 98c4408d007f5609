//! Instructions per message of 64 bytes, counted by callgrind: the same on every run, however busy the machine is.
//!
//! A benchmark above its bar fails the run.

use std::{
    env, fs, io,
    path::Path,
    process::{Command, ExitCode},
};

use benches::bars::{
    DECODE_INSTRUCTIONS, ENCODE_INSTRUCTIONS, SPDY_DECODE_INSTRUCTIONS, SPDY_ENCODE_INSTRUCTIONS, Verdict,
};

const MESSAGES: u64 = 1000;
const PAYLOAD: usize = 64;

/// Set for the process that lets gungraun count.
const COUNTING: &str = "BENCHES_COUNTING";

fn main() -> io::Result<ExitCode> {
    let measured = env::args().nth(1).is_some_and(|argument| argument == "--gungraun-run");
    if measured || env::var_os(COUNTING).is_some() {
        counted::run();
        return Ok(ExitCode::SUCCESS);
    }
    // In a process of its own, since gungraun ends the process when a bar was missed.
    let status =
        Command::new(env::current_exe()?).args(env::args_os().skip(1)).env(COUNTING, "1").status()?;
    report();
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line for each benchmark, out of callgrind's files.
#[expect(clippy::print_stdout, reason = "a report")]
fn report() {
    for (name, bar) in [
        ("decode", Some(DECODE_INSTRUCTIONS)),
        ("encode", Some(ENCODE_INSTRUCTIONS)),
        ("serve", None),
        ("spdy_decode", Some(SPDY_DECODE_INSTRUCTIONS)),
        ("spdy_encode", Some(SPDY_ENCODE_INSTRUCTIONS)),
    ] {
        let Some(total) = total(name) else {
            println!("{name} {PAYLOAD} B: not counted");
            continue;
        };
        let each = total.div_ceil(MESSAGES);
        match bar {
            Some(bar) => {
                let verdict = Verdict::at_most(each, bar);
                println!("{name} {PAYLOAD} B: {each} instructions per message (bar: {bar}): {verdict}");
            }
            None => println!("{name} {PAYLOAD} B: {each} instructions per message"),
        }
    }
}

fn total(name: &str) -> Option<u64> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let place = format!("gungraun/benches/instructions/counted/messages/{name}.of_64_bytes");
    let file = format!("callgrind.{name}.of_64_bytes.out");
    let counts = fs::read_to_string(target.join(place).join(file)).ok()?;
    let totals = counts.lines().find_map(|line| line.strip_prefix("totals: "))?;
    totals.split(' ').next()?.parse().ok()
}

/// What gungraun's macros make of the benchmarks, its `main` among it.
mod counted {
    #![expect(unreachable_pub, reason = "the macros make public items")]

    use std::{hint::black_box, time::Instant};

    use benches::{
        bars::{
            DECODE_INSTRUCTIONS, ENCODE_INSTRUCTIONS, SPDY_DECODE_INSTRUCTIONS, SPDY_ENCODE_INSTRUCTIONS,
        },
        codec, spdy,
    };
    use bytes::{Bytes, BytesMut};
    use channel_proto::{ClientSession, ServerSession};
    use gungraun::{Callgrind, EventKind, prelude::*};

    use super::{MESSAGES, PAYLOAD};

    pub(super) fn run() {
        main();
    }

    /// Fails the run when a message takes more than this, its share of the setup included.
    fn bar(instructions: u64) -> LibraryBenchmarkConfig {
        let mut callgrind = Callgrind::default();
        callgrind.hard_limits([(EventKind::Ir, instructions * MESSAGES)]);
        let mut config = LibraryBenchmarkConfig::default();
        config.tool(callgrind);
        config
    }

    fn decoding() -> (ClientSession, Instant, BytesMut) {
        let wire = codec::stdout_messages(PAYLOAD, 1000);
        (codec::client(PAYLOAD), Instant::now(), BytesMut::from(&wire[..]))
    }

    fn encoding() -> (ClientSession, Vec<u8>) {
        let mut session = codec::client(PAYLOAD);
        let payload = vec![b'x'; PAYLOAD];
        codec::encode(&mut session, &payload);
        (session, payload)
    }

    fn serving() -> (ServerSession, Bytes) {
        let mut session = codec::server(PAYLOAD);
        let payload = Bytes::from(vec![b'x'; PAYLOAD]);
        codec::serve(&mut session, &payload);
        (session, payload)
    }

    fn spdy_decoding() -> (spdy::End, Instant, Bytes) {
        let (near, mut far) = spdy::pair();
        let wire = BytesMut::from(&spdy::data_frames(&mut far, PAYLOAD, 1000)[..]);
        (near, Instant::now(), wire.freeze())
    }

    fn spdy_encoding() -> (spdy::End, Vec<u8>) {
        let (mut near, _) = spdy::pair();
        let payload = vec![b'x'; PAYLOAD];
        spdy::encode(&mut near, &payload);
        (near, payload)
    }

    #[library_benchmark(setup = decoding, config = bar(DECODE_INSTRUCTIONS))]
    #[bench::of_64_bytes()]
    fn decode(
        (mut session, now, mut input): (ClientSession, Instant, BytesMut),
    ) -> (ClientSession, BytesMut) {
        codec::decode(&mut session, now, &mut input);
        (session, input)
    }

    #[library_benchmark(setup = encoding, config = bar(ENCODE_INSTRUCTIONS))]
    #[bench::of_64_bytes()]
    fn encode((mut session, payload): (ClientSession, Vec<u8>)) -> (ClientSession, Vec<u8>) {
        for _ in 0..MESSAGES {
            codec::encode(&mut session, black_box(&payload));
        }
        (session, payload)
    }

    #[library_benchmark(setup = serving)]
    #[bench::of_64_bytes()]
    fn serve((mut session, payload): (ServerSession, Bytes)) -> (ServerSession, Bytes) {
        for _ in 0..MESSAGES {
            codec::serve(&mut session, black_box(&payload));
        }
        (session, payload)
    }

    #[library_benchmark(setup = spdy_decoding, config = bar(SPDY_DECODE_INSTRUCTIONS))]
    #[bench::of_64_bytes()]
    fn spdy_decode((mut end, now, mut input): (spdy::End, Instant, Bytes)) -> (spdy::End, Bytes) {
        spdy::decode(&mut end, now, &mut input);
        (end, input)
    }

    #[library_benchmark(setup = spdy_encoding, config = bar(SPDY_ENCODE_INSTRUCTIONS))]
    #[bench::of_64_bytes()]
    fn spdy_encode((mut end, payload): (spdy::End, Vec<u8>)) -> (spdy::End, Vec<u8>) {
        for _ in 0..MESSAGES {
            spdy::encode(&mut end, black_box(&payload));
        }
        (end, payload)
    }

    library_benchmark_group!(name = messages, benchmarks = [decode, encode, serve, spdy_decode, spdy_encode]);
    main!(library_benchmark_groups = messages);
}
