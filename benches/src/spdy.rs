//! SPDY connections over memory with a stream between them, and the loops in which a forward handles them.

use std::{hint::black_box, io::IoSlice, time::Instant};

use bytes::{Buf, Bytes, BytesMut};
use channel_proto::{
    Limits, Role,
    spdy::{Connection, Event, Headers, Priority, StreamId},
};

use crate::codec::READ;

/// One end of a connection, and the stream.
pub struct End {
    connection: Connection,
    stream: StreamId,
}

/// Both ends: the one that opened the stream, and the one that replied.
pub fn pair() -> (End, End) {
    let limits = Limits::default();
    let mut near = Connection::new(Role::Client, &limits);
    let mut far = Connection::new(Role::Server, &limits);
    let stream = near.open(Headers::new(), Priority::default()).expect("the first stream");
    assert!(matches!(pass(&mut near, &mut far), Some(Event::Opened { .. })));
    far.reply(stream).expect("a stream that was opened");
    assert!(matches!(pass(&mut far, &mut near), Some(Event::Replied { .. })));
    (End { connection: near, stream }, End { connection: far, stream })
}

fn pass(from: &mut Connection, to: &mut Connection) -> Option<Event> {
    let transmit = from.transmit();
    let mut bytes = transmit.copy_to_bytes(transmit.remaining());
    to.next(Instant::now(), &mut bytes).expect("well-formed frames")
}

/// `count` DATA frames of `payload` bytes, as `end` sends them.
pub fn data_frames(end: &mut End, payload: usize, count: usize) -> Vec<u8> {
    let data = vec![b'x'; payload];
    let mut wire = Vec::new();
    for _ in 0..count {
        end.connection.send(end.stream, &data).expect("there is room");
        let transmit = end.connection.transmit();
        while transmit.has_remaining() {
            wire.extend_from_slice(transmit.chunk());
            transmit.advance(transmit.chunk().len());
        }
    }
    wire
}

/// Takes every frame out of `input` and drops its payload. Tells how many bytes of payload there were.
#[inline]
pub fn decode(end: &mut End, now: Instant, input: &mut Bytes) -> usize {
    let mut bytes = 0;
    while let Some(event) = end.connection.next(now, input).expect("well-formed frames") {
        if let Event::Data { payload, .. } = event {
            bytes += payload.len();
        }
    }
    bytes
}

/// Like [`decode`], but first copies the frames out of `wire` as a socket would, read by read.
pub fn read_and_decode(end: &mut End, now: Instant, input: &mut BytesMut, wire: &[u8]) -> usize {
    wire.chunks(READ)
        .map(|read| {
            input.reserve(READ);
            input.extend_from_slice(read);
            decode(end, now, &mut input.split().freeze())
        })
        .sum()
}

/// Sends one frame, of a copy, and lets a socket take it.
#[inline]
pub fn encode(end: &mut End, payload: &[u8]) {
    end.connection.send(end.stream, payload).expect("there is room");
    flush(end);
}

/// Sends one frame, of the slice as it is, and lets a socket take it.
#[inline]
pub fn share(end: &mut End, payload: &Bytes) {
    end.connection.send_bytes(end.stream, payload).expect("there is room");
    flush(end);
}

/// What one vectored write does, but for the write.
#[inline]
fn flush(end: &mut End) {
    let transmit = end.connection.transmit();
    let mut slices = [IoSlice::new(&[]); 16];
    let used = transmit.chunks_vectored(&mut slices);
    let sent = black_box(&slices[..used]).iter().map(|slice| slice.len()).sum();
    transmit.advance(sent);
}
