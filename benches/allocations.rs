//! Messages of 64 bytes cost no allocation once the buffers are there, in either direction, at either end.

use std::{alloc::System, time::Instant};

use benches::{codec, spdy};
use bytes::{Bytes, BytesMut};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PAYLOAD: usize = 64;
const MESSAGES: usize = 10_000;

/// Not run by libtest, whose threads allocate as well.
fn main() {
    let wire = codec::stdout_messages(PAYLOAD, MESSAGES);
    let (mut session, mut input, now) = (codec::client(PAYLOAD), BytesMut::new(), Instant::now());
    assert_free("decode", || {
        let taken = codec::read_and_decode(&mut session, now, &mut input, &wire);
        assert_eq!(taken, PAYLOAD * MESSAGES);
    });

    let (mut session, payload) = (codec::client(PAYLOAD), [b'x'; PAYLOAD]);
    assert_free("encode", || (0..MESSAGES).for_each(|_| codec::encode(&mut session, &payload)));

    let (mut session, payload) = (codec::server(PAYLOAD), Bytes::from(payload.to_vec()));
    assert_free("serve", || (0..MESSAGES).for_each(|_| codec::serve(&mut session, &payload)));

    let (mut near, mut far) = spdy::pair();
    let (wire, mut input) = (spdy::data_frames(&mut far, PAYLOAD, MESSAGES), BytesMut::new());
    assert_free("SPDY decode", || {
        let taken = spdy::read_and_decode(&mut near, now, &mut input, &wire);
        assert_eq!(taken, PAYLOAD * MESSAGES);
    });
    assert_free("SPDY encode", || (0..MESSAGES).for_each(|_| spdy::encode(&mut near, &payload)));
    assert_free("SPDY share", || (0..MESSAGES).for_each(|_| spdy::share(&mut near, &payload)));
}

/// The first time may allocate, the second may not.
#[expect(clippy::print_stdout, reason = "a report")]
fn assert_free(what: &str, mut run: impl FnMut()) {
    run();
    let region = Region::new(ALLOCATOR);
    run();
    let change = region.change();
    let count = change.allocations + change.reallocations;
    println!("{what} {PAYLOAD} B: {count} allocations in {MESSAGES} messages (bar: 0)");
    assert_eq!(count, 0, "{what}: {change:?}");
}
