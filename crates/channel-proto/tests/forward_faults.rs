//! What a peer can do for free or for little: floods, junk, and more than was asked for. Memory stays bounded, errors are typed, and a
//! connection that did nothing wrong goes on where the protocol allows it.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod forward_support;
mod spdy_support;

use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use channel_proto::{
    Error, ErrorKind, Role, SessionConfig, Subprotocol,
    forward::{ConnectionId, Forward, ForwardEvent},
};
use forward_support::{CUTS, End, config};
use spdy_support::{FIN, Writer, data, ping, random, rst};

/// A server, and the writer of its client.
fn server() -> (End, Writer, Instant) {
    let now = Instant::now();
    (End::of(Forward::over_spdy(Role::Server, &config(), now)), Writer::new(), now)
}

/// Both streams of a connection, the error stream with id `id`.
fn pair(writer: &mut Writer, id: u32, request: &str) -> Vec<u8> {
    let of = |kind| [("streamtype", kind), ("port", "80"), ("requestid", request)];
    [writer.syn_stream(id, 0, &of("error")), data(id, FIN, b""), writer.syn_stream(id + 2, 0, &of("data"))]
        .concat()
}

/// A server with one connection, whose data stream is 3.
fn connected() -> (End, Writer, Instant, ConnectionId) {
    let (mut server, mut writer, now) = server();
    let opened = pair(&mut writer, 1, "0");
    server.take(now, &opened, usize::MAX);
    let Some(ForwardEvent::Connect(id, 80)) = server.events.first() else { panic!("{:?}", server.events) };
    let id = *id;
    (server, writer, now, id)
}

/// Whether the connection still carries data both ways.
fn is_alive(server: &mut End, now: Instant, id: ConnectionId) -> bool {
    let before = server.data(id).len();
    server.take(now, &data(3, 0, b"ping"), usize::MAX);
    server.sends();
    server.data(id).len() == before + 4
        && server.forward.write(id, b"pong") == Ok(4)
        && server.sends() == data(3, 0, b"pong")
}

#[track_caller]
fn assert_flood(error: Option<&Error>) {
    let kind = error.expect("it went too far").kind();
    assert_eq!(kind, &ErrorKind::Limit { what: "frames a second that carry nothing", limit: 10_000 });
}

/// Sends `frame` until an error, at most 30,000 times, and tells how often; what is answered is read.
fn flood(end: &mut End, now: Instant, mut frame: impl FnMut(u32) -> Vec<u8>) -> u32 {
    (0..30_000)
        .find(|at| {
            end.take(now, &frame(*at), usize::MAX);
            end.sends();
            end.error.is_some()
        })
        .unwrap_or(30_000)
}

#[test]
fn lone_streams_are_counted_refused_and_forgotten() {
    let (mut server, mut writer, now, id) = connected();
    let lone = |writer: &mut Writer, at: u32| {
        let request = at.to_string();
        writer.syn_stream(
            2 * at + 11,
            0,
            &[("streamtype", "data"), ("port", "80"), ("requestid", &format!("x{request}"))],
        )
    };
    for at in 0..5_000 {
        server.take(now, &lone(&mut writer, at), usize::MAX);
        server.sends();
    }
    assert_eq!((&server.error, server.forward.connections()), (&None, 1));
    assert!(is_alive(&mut server, now, id));
    let due = now + Duration::from_secs(30);
    assert_eq!(server.forward.poll_timeout(), Some(due));
    server.forward.handle_timeout(due).unwrap();
    assert_eq!(
        server.sends().len(),
        499 * rst(1, 5).len(),
        "all that there was room for, and one connection"
    );
    assert_eq!(server.forward.poll_timeout(), None);
    assert!(is_alive(&mut server, due, id));
    let more = flood(&mut server, due, |at| lone(&mut writer, 5_000 + at));
    assert_eq!(more, 499 + 10_000, "in this second");
    assert_flood(server.error.as_ref());
}

#[test]
fn opening_and_resetting_without_end_leaves_nothing_and_stops() {
    let (mut server, mut writer, now, id) = connected();
    for at in 0..2_000 {
        let stream = 5 + 4 * at;
        let opened = pair(&mut writer, stream, &"long".repeat(1_000));
        let all = [opened, rst(stream, 5), rst(stream + 2, 5)].concat();
        server.take(now, &all, usize::MAX);
        let Some(ForwardEvent::Reset(gone)) = server.events.last() else { panic!("told of its end") };
        server.forward.forget(*gone);
        server.sends();
        server.events.truncate(1);
    }
    assert_eq!((server.forward.connections(), server.forward.poll_timeout()), (1, None), "no trace of them");
    assert!(is_alive(&mut server, now, id));
    // The same with streams that stay alone.
    for at in 0..2_000 {
        let stream = 8_005 + 2 * at;
        let fields = [("streamtype", "error"), ("port", "80"), ("requestid", "one")];
        let all = [writer.syn_stream(stream, 0, &fields), rst(stream, 5)].concat();
        server.take(now, &all, usize::MAX);
    }
    assert_eq!(server.forward.poll_timeout(), None);
    assert!(is_alive(&mut server, now, id));
    let count = flood(&mut server, now, |at| rst(12_005 + 2 * at, 5));
    assert!(count <= 10_000, "{count}");
    assert_flood(server.error.as_ref());
}

#[test]
fn pings_empty_data_and_bad_openings_without_end_are_refused() {
    type Frame = fn(&mut Writer, u32) -> Vec<u8>;
    let frames: [Frame; 4] = [
        |_, at| ping(2 * at + 1),
        |_, _| data(3, 0, b""),
        |_, _| data(0x7000, 0, b""),
        |writer, at| writer.syn_stream(2 * at + 11, 0, &[("streamtype", "neither")]),
    ];
    for frame in frames {
        let (mut server, mut writer, now, id) = connected();
        for at in 0..9_000 {
            server.take(now, &frame(&mut writer, at), usize::MAX);
            server.sends();
        }
        assert!(is_alive(&mut server, now, id));
        let more = flood(&mut server, now, |at| frame(&mut writer, 9_000 + at));
        assert_eq!(more, 1_000);
        assert_flood(server.error.as_ref());
    }
}

#[test]
fn a_peer_that_reads_nothing_is_not_read_either() {
    let (mut server, _, now, _) = connected();
    let pings: Vec<u8> = (0..9_900).flat_map(|at| ping(2 * at + 1)).collect();
    let limit = SessionConfig::server().limits.transmit;
    let mut waits = 0;
    for second in 0..4 {
        let now = now + Duration::from_secs(2 * second);
        let mut input = BytesMut::from(&pings[..]);
        server.forward.handle_input(now, &mut input).unwrap();
        waits = server.forward.transmit().remaining();
    }
    assert!(waits <= 2 * limit, "{waits}");
    // Our own pings do not pile up either.
    let mut client = Forward::over_spdy(Role::Client, &SessionConfig::client([1; 32]), now);
    client.set_reading(now, channel_proto::Reading::Paused);
    for _ in 0..50_000 {
        let due = client.poll_timeout().unwrap();
        client.handle_timeout(due).unwrap();
    }
    assert!(client.transmit().remaining() <= 2 * limit);
}

#[test]
fn an_application_that_takes_no_events_stops_the_peer() {
    let (server, mut writer, now) = server();
    let mut forward = server.forward;
    let all: Vec<u8> = (0..100u32)
        .flat_map(|at| {
            [pair(&mut writer, 1 + 4 * at, &at.to_string()), data(3 + 4 * at, 0, &[7; 1000])].concat()
        })
        .collect();
    let mut input = BytesMut::new();
    for piece in all.chunks(500) {
        input.extend_from_slice(piece);
        forward.handle_input(now, &mut input).unwrap();
    }
    assert!(input.len() > all.len() - 1_000, "{} of {}", input.len(), all.len());
    let mut count = 0;
    while forward.poll_event().is_some() {
        count += 1;
        forward.handle_input(now, &mut input).unwrap();
    }
    assert!(count >= 200, "{count}");
    assert!(input.is_empty());
}

#[test]
fn headers_that_are_too_many_or_too_long_are_typed_errors() {
    for fields in [vec![("port", "8".repeat(9_000))], vec![("a", "b".repeat(100_000))]] {
        let (mut server, mut writer, now, _) = connected();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        server.take(now, &writer.syn_stream(5, 0, &fields), usize::MAX);
        let error = server.error.as_ref().unwrap();
        assert!(matches!(error.kind(), ErrorKind::Limit { .. }), "{error}");
    }
}

#[test]
fn an_error_text_is_kept_as_far_as_there_is_room() {
    let now = Instant::now();
    let mut client = End::of(Forward::over_spdy(Role::Client, &config(), now));
    let id = client.forward.connect(80).unwrap();
    let mut writer = Writer::new();
    let replies = [writer.syn_reply(1, 0, &[]), writer.syn_reply(3, 0, &[])].concat();
    client.take(now, &replies, usize::MAX);
    for _ in 0..100 {
        client.take(now, &data(1, 0, &[b'e'; 4_096]), usize::MAX);
    }
    client.take(now, &data(1, FIN, b""), usize::MAX);
    assert_eq!(client.ends(id), [format!("failed: {}", "e".repeat(16 << 10))]);
}

// Holds PFW-4, PFW-7.
#[test]
fn a_verdict_that_was_lost_is_no_good_end() {
    let now = Instant::now();
    let mut client = End::of(Forward::over_spdy(Role::Client, &config(), now));
    let (id, other) = (client.forward.connect(80).unwrap(), client.forward.connect(80).unwrap());
    let mut writer = Writer::new();
    // The text comes before the reply to its stream, which is reset for it.
    let replies = [3, 5, 7].map(|stream| writer.syn_reply(stream, 0, &[])).concat();
    let all = [replies, data(3, FIN, b"half"), data(1, FIN, b"why"), data(7, FIN, b"all"), data(5, FIN, b"")];
    client.take(now, &all.concat(), 1);
    assert_eq!((client.data(id), client.ends(id)), (b"half".to_vec(), vec!["reset".to_owned()]));
    assert_eq!((client.data(other), client.ends(other)), (b"all".to_vec(), vec!["end".to_owned()]));
    assert_eq!(client.error, None);
}

/// Every column, for both roles.
fn columns(now: Instant) -> Vec<Forward> {
    let mut all = Vec::new();
    for role in [Role::Client, Role::Server] {
        all.push(Forward::over_spdy(role, &config(), now));
        all.push(Forward::over_tunnel(role, &config(), now));
        for form in [Subprotocol::V4, Subprotocol::V4Base64] {
            all.push(Forward::over_channels(role, &[80, 81], form, &config(), now).unwrap());
        }
    }
    all
}

#[test]
fn junk_is_an_error_or_an_end_and_never_a_good_end() {
    let now = Instant::now();
    let mut seed = 0x5eed;
    let (mut errors, mut runs) = (0, 0);
    for round in 0..300 {
        for forward in columns(now) {
            let mut end = End::of(forward);
            let id = end.forward.connect(80);
            let mut junk: Vec<u8> = (0..400).map(|_| random(&mut seed).to_le_bytes()[1]).collect();
            // Some of it looks like what is expected.
            match round % 4 {
                0 => junk[0] = 0x82,
                1 => junk[..2].copy_from_slice(&[0x80, 3]),
                2 => junk[..2].copy_from_slice(&[0x82, 0x05]),
                _ => {}
            }
            end.take(now, &junk, CUTS[round % 3]);
            if let Some(error) = &end.error {
                assert_eq!(
                    end.forward.handle_input(now, &mut BytesMut::new()).as_ref(),
                    Err(error),
                    "it sticks"
                );
                assert_eq!((end.forward.poll_event(), end.forward.poll_timeout()), (None, None));
                errors += 1;
            } else {
                end.forward.handle_eof();
                end.events.extend(std::iter::from_fn(|| end.forward.poll_event()));
                assert!(matches!(end.events.last(), Some(ForwardEvent::Ended(_))));
            }
            if let Ok(id) = id {
                assert!(!end.ends(id).contains(&"end".to_owned()));
            }
            runs += 1;
        }
    }
    assert!(errors > runs / 2, "{errors} of {runs}");
}

// Holds TUN-5.
#[test]
fn empty_frames_are_counted_but_for_those_that_end_a_message() {
    let now = Instant::now();
    let masked = |first: u8, payload: &[u8]| {
        let len = 0x80 | u8::try_from(payload.len()).unwrap();
        [&[first, len, 0, 0, 0, 0], payload].concat()
    };
    let tunnel = || End::of(Forward::over_tunnel(Role::Server, &config(), now));
    // Bulk data of the real servers: each message is ended by a frame without anything in it.
    let noise = data(0x7000, 0, &[0; 92]);
    let mut end = tunnel();
    end.take(now, &masked(0x82, &data(0x7000, 0, b"")), usize::MAX);
    let mut writer = Writer::new();
    end.take(now, &masked(0x82, &pair(&mut writer, 1, "0")), usize::MAX);
    let noise: Vec<u8> = noise[8..].to_vec();
    let count = flood(&mut end, now, |_| [masked(0x02, &data(3, 0, &noise)), masked(0x80, b"")].concat());
    assert_eq!((count, end.error), (30_000, None));
    // Empty messages, and fragments that go on and on.
    let mut end = tunnel();
    assert_eq!(flood(&mut end, now, |_| masked(0x82, b"")), 10_000);
    assert_flood(end.error.as_ref());
    let mut end = tunnel();
    end.take(now, &masked(0x02, b"\0"), usize::MAX);
    assert_eq!(flood(&mut end, now, |_| masked(0x00, b"")), 10_000);
    assert_flood(end.error.as_ref());
}

#[test]
fn channels_count_what_is_of_no_use() {
    let now = Instant::now();
    let frames: [&[u8]; 5] = [
        &[0x82, 0x80, 0, 0, 0, 0],
        &[0x82, 0x81, 0, 0, 0, 0, 0],
        &[0x82, 0x82, 0, 0, 0, 0, 77, 1],
        &[0x82, 0x82, 0, 0, 0, 0, 1, 1],
        &[0x89, 0x80, 0, 0, 0, 0],
    ];
    for frame in frames {
        let forward = Forward::over_channels(Role::Server, &[80], Subprotocol::V4, &config(), now).unwrap();
        let mut end = End::of(forward);
        assert_eq!(flood(&mut end, now, |_| frame.to_vec()), 10_000, "{frame:?}");
        assert_flood(end.error.as_ref());
    }
}
