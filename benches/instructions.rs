//! Instructions per message of 64 bytes, counted by callgrind: the same on every run, however busy the machine is.
//!
//! A benchmark above its bar fails the run.

#![expect(missing_docs, reason = "the macros make public items")]

use std::{fs, hint::black_box, path::Path, time::Instant};

use benches::{
    bars::{DECODE_INSTRUCTIONS, ENCODE_INSTRUCTIONS, Verdict},
    codec,
};
use bytes::{Bytes, BytesMut};
use channel_proto::{ClientSession, ServerSession};
use gungraun::{Callgrind, EventKind, prelude::*};

const MESSAGES: u64 = 1000;
const PAYLOAD: usize = 64;

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
    (codec::server(PAYLOAD), Bytes::from(vec![b'x'; PAYLOAD]))
}

#[library_benchmark(setup = decoding, config = bar(DECODE_INSTRUCTIONS))]
#[bench::of_64_bytes()]
fn decode((mut session, now, mut input): (ClientSession, Instant, BytesMut)) -> (ClientSession, BytesMut) {
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

/// Fails the run when a message takes more than this, its share of the setup included.
fn bar(instructions: u64) -> LibraryBenchmarkConfig {
    let limit = Callgrind::default().hard_limits([(EventKind::Ir, instructions * MESSAGES)]).clone();
    LibraryBenchmarkConfig::default().tool(limit).clone()
}

library_benchmark_group!(name = messages, benchmarks = [decode, encode, serve]);

main!(teardown = report(), library_benchmark_groups = messages);

/// One line for each benchmark, out of callgrind's files.
#[expect(clippy::print_stdout, reason = "a report")]
fn report() {
    for (name, bar) in
        [("decode", Some(DECODE_INSTRUCTIONS)), ("encode", Some(ENCODE_INSTRUCTIONS)), ("serve", None)]
    {
        let file = format!(
            "../gungraun/benches/instructions/messages/{name}.of_64_bytes/callgrind.{name}.of_64_bytes.out"
        );
        let counted = fs::read_to_string(Path::new(env!("CARGO_TARGET_TMPDIR")).join(file)).ok();
        let total =
            counted.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("totals: ")));
        let Some(total) = total.and_then(|total| total.split(' ').next()?.parse::<u64>().ok()) else {
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
