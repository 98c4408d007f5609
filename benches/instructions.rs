//! Instructions per message of 64 bytes, counted by callgrind: the same on every run, however busy the machine is.
//!
//! A benchmark above its bar fails the run.

use std::{fs, hint::black_box, path::Path, time::Instant};

use benches::{
    bars::{DECODE_INSTRUCTIONS, ENCODE_INSTRUCTIONS, Verdict},
    codec,
};
use bytes::{Bytes, BytesMut};
use channel_proto::{ClientSession, ServerSession};
use gungraun::prelude::*;

const MESSAGES: u64 = 1000;
const PAYLOAD: usize = 64;

fn decoding() -> (ClientSession, Instant, BytesMut) {
    let wire = codec::stdout_messages(PAYLOAD, MESSAGES as usize);
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

#[library_benchmark(setup = decoding)]
#[bench::of_64_bytes()]
fn decode((mut session, now, mut input): (ClientSession, Instant, BytesMut)) -> (ClientSession, BytesMut) {
    codec::decode(&mut session, now, &mut input);
    (session, input)
}

#[library_benchmark(setup = encoding)]
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

library_benchmark_group!(name = messages, benchmarks = [decode, encode, serve]);

main!(library_benchmark_groups = messages);
