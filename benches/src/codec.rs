//! Sessions over memory, and the loops in which a driver handles them.

use std::{hint::black_box, io::IoSlice, time::Instant};

use bytes::{Buf, Bytes, BytesMut};
use channel_proto::{ClientEvent, ClientSession, Output, ServerSession, SessionConfig, Streams, Subprotocol};

const SEED: [u8; 32] = [7; 32];
const STREAMS: Streams = Streams { stdin: true, stdout: true, stderr: false, tty: false };
/// What one read of the driver takes at most.
pub(crate) const READ: usize = 64 << 10;

/// A client's session that sends messages of up to `payload` bytes in one piece.
pub fn client(payload: usize) -> ClientSession {
    ClientSession::client(STREAMS, Subprotocol::V5, &config(payload), Instant::now())
}

/// A server's session, likewise, which has nothing to send yet.
pub fn server(payload: usize) -> ServerSession {
    let mut session = ServerSession::server(STREAMS, Subprotocol::V5, &config(payload), Instant::now());
    flush(&mut session);
    session
}

fn config(payload: usize) -> SessionConfig {
    let mut config = SessionConfig::client(SEED);
    config.limits.outgoing_message = config.limits.outgoing_message.max(payload);
    config.limits.transmit = config.limits.transmit.max(2 * payload);
    config
}

/// `count` messages on stdout as they come from a server, each of `payload` bytes.
pub fn stdout_messages(payload: usize, count: usize) -> Vec<u8> {
    let mut session = server(payload);
    let data = Bytes::from(vec![b'x'; payload]);
    let mut wire = Vec::new();
    for _ in 0..count {
        session.write_output_bytes(Output::Stdout, &data).expect("there is room");
        let transmit = session.transmit().expect("a session over bytes");
        while transmit.has_remaining() {
            wire.extend_from_slice(transmit.chunk());
            transmit.advance(transmit.chunk().len());
        }
    }
    wire
}

/// Takes every message out of `input` and drops its payload. Tells how many bytes of payload there were.
#[inline]
pub fn decode(session: &mut ClientSession, now: Instant, input: &mut BytesMut) -> usize {
    let mut bytes = 0;
    loop {
        match session.next_event(now, input).expect("well-formed messages") {
            Some(ClientEvent::Output(_, payload)) => bytes += payload.len(),
            Some(_) => {}
            None => return bytes,
        }
    }
}

/// Like [`decode`], but first copies the messages out of `wire` as a socket would, read by read.
pub fn read_and_decode(
    session: &mut ClientSession,
    now: Instant,
    input: &mut BytesMut,
    wire: &[u8],
) -> usize {
    wire.chunks(READ)
        .map(|read| {
            input.reserve(READ);
            input.extend_from_slice(read);
            decode(session, now, input)
        })
        .sum()
}

/// Sends one message on stdin, and lets a socket take it.
#[inline]
pub fn encode(session: &mut ClientSession, payload: &[u8]) {
    session.write_stdin(payload).expect("there is room");
    let transmit = session.transmit().expect("a session over bytes");
    // What a client masked lies in one piece.
    let sent = black_box(transmit.chunk()).len();
    transmit.advance(sent);
}

/// Sends one message on stdout, and lets a socket take it.
#[inline]
pub fn serve(session: &mut ServerSession, payload: &Bytes) {
    session.write_output_bytes(Output::Stdout, payload).expect("there is room");
    flush(session);
}

/// What one vectored write does, but for the write.
#[inline]
fn flush(session: &mut ServerSession) {
    let transmit = session.transmit().expect("a session over bytes");
    let mut slices = [IoSlice::new(&[]); 16];
    let used = transmit.chunks_vectored(&mut slices);
    let sent = black_box(&slices[..used]).iter().map(|slice| slice.len()).sum();
    transmit.advance(sent);
}
