//! Channel frames: cut anywhere they give the same, and what is sent is what comes.

use std::time::Instant;

use arbitrary::Unstructured;
use bytes::{BufMut, Bytes, BytesMut};

use super::{Cut, SUBPROTOCOLS, other};
use crate::{
    channel::{ChannelDecoder, Chunk, Content},
    error::ChannelViolation,
    link::{Incoming, Link},
    session::SessionConfig,
    subprotocol::Subprotocol,
    websocket::{Piece, Role},
};

/// `[subprotocol, role, cut (2 bytes)]`, then messages: `[length (2 bytes), that many bytes]`. Numbers are little-endian.
pub fn channel_frame(data: &[u8]) {
    // An input that ends early is no input.
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let subprotocol = *u.choose(&SUBPROTOCOLS)?;
    let role = *u.choose(&[Role::Client, Role::Server])?;
    let cuts = Cut::others(u)?;
    let mut messages = Vec::new();
    while !u.is_empty() {
        let len = usize::from(u.arbitrary::<u16>()?).min(u.len());
        messages.push(u.bytes(len)?);
    }

    let whole = decode(role, subprotocol, &messages, Cut::Whole);
    for cut in cuts {
        assert_eq!(decode(role, subprotocol, &messages, cut), whole, "{cut:?}");
    }
    for message in &messages {
        round_trip(role, subprotocol, message);
    }
    Ok(())
}

/// What came, with the pieces of a message joined.
#[derive(Debug, PartialEq)]
enum Joined {
    Data { channel: u8, payload: BytesMut, end: bool },
    Bare(u8),
    Closed(u8),
    Violation(ChannelViolation),
}

fn decode(role: Role, subprotocol: Subprotocol, messages: &[&[u8]], cut: Cut) -> Vec<Joined> {
    let mut decoder = ChannelDecoder::new(role, subprotocol);
    let mut all = Vec::new();
    for message in messages {
        // A message without payload is a piece, too.
        let pieces = if message.is_empty() { vec![*message] } else { cut.pieces(message) };
        let last = pieces.len() - 1;
        for (at, payload) in pieces.into_iter().enumerate() {
            let piece = Piece { payload: Bytes::copy_from_slice(payload), start: at == 0, end: at == last };
            match decoder.decode(piece) {
                Ok(Some(chunk)) => join(&mut all, chunk),
                Ok(None) => {}
                Err(violation) => {
                    all.push(Joined::Violation(violation));
                    return all;
                }
            }
            if let Some(violation) = decoder.broken() {
                all.push(Joined::Violation(violation));
                return all;
            }
        }
    }
    all
}

fn join(all: &mut Vec<Joined>, chunk: Chunk) {
    let channel = chunk.channel;
    match (chunk.content, all.last_mut()) {
        (
            Content::Data { payload, end },
            Some(Joined::Data { channel: before, payload: joined, end: joined_end @ false }),
        ) if *before == channel => {
            joined.put(payload);
            *joined_end = end;
        }
        (Content::Data { payload, end }, _) => {
            assert!(!payload.is_empty() || end, "an empty piece that says nothing");
            all.push(Joined::Data { channel, payload: payload.into(), end });
        }
        (Content::Bare, _) => all.push(Joined::Bare(channel)),
        (Content::Closed, _) => all.push(Joined::Closed(channel)),
    }
}

/// What one end sends as messages is what the other receives.
fn round_trip(role: Role, subprotocol: Subprotocol, payload: &[u8]) {
    let now = Instant::now();
    let mut config = SessionConfig::client([1; 32]);
    config.limits.outgoing_message = 1000;
    config.limits.free_frames = u32::MAX;
    let mut sender = Link::over_messages(role, subprotocol, &config, now);
    let mut receiver = Link::over_messages(other(role), subprotocol, &config, now);
    for channel in 0..=4 {
        sender.send(channel, payload);
        let (mut received, mut bare) = (Vec::new(), 0);
        while let Some(message) = sender.poll_message() {
            match receiver.message(now, message) {
                Ok(Some(Incoming::Data { channel: of, payload, end: true })) if of == channel => {
                    received.extend_from_slice(&payload);
                }
                Ok(Some(Incoming::Bare(of))) if of == channel => bare += 1,
                _ => panic!("not what was sent on channel {channel}"),
            }
        }
        assert_eq!((received.as_slice(), bare), (payload, usize::from(payload.is_empty())));
        assert_eq!(sender.queued(), 0);
    }
}
