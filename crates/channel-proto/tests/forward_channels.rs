//! Port-forward over WebSocket channels: a client and a server against each other, and frames by hand.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod forward_support;

use std::time::{Duration, Instant};

use bytes::BytesMut;
use channel_proto::{
    ChannelViolation, ErrorKind, Fault, Reading, Role, SessionConfig, Subprotocol,
    forward::{ConnectionId, Forward, ForwardError, ForwardEvent},
};
use forward_support::{CUTS, End, Pair, config};

const FORMS: [Subprotocol; 3] = [Subprotocol::V4, Subprotocol::V4Base64, Subprotocol::Unnamed];

fn client(ports: &[u16]) -> End {
    End::of(Forward::over_channels(Role::Client, ports, Subprotocol::V4, &config(), Instant::now()).unwrap())
}

/// A short frame of a server.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(payload.len()).unwrap()], payload].concat()
}

fn message(channel: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x82, &[&[channel], payload].concat())
}

/// The first messages of ports, from the first on.
fn firsts(ports: &[u16]) -> Vec<u8> {
    let channels = ports.iter().flat_map(|port| [port.to_le_bytes(); 2]);
    (0..).zip(channels).flat_map(|(channel, port)| message(channel, &port)).collect()
}

const CLOSE: [u8; 4] = [0x88, 2, 3, 232];

// Holds PFW-11, PFW-12, PFW-14.
#[test]
fn data_goes_both_ways_for_every_port_in_any_cut_and_form() {
    for form in FORMS {
        for cut in CUTS {
            let ports = [8080, 0x1234, 8080];
            let mut pair = Pair::over_channels(&ports, form, cut);
            assert_eq!(pair.server.connects(), ports, "all at once, unasked");
            let ids: Vec<_> = ports.iter().map(|port| pair.connect(*port)).collect();
            assert_eq!(pair.client.forward.connect(8080), Err(ForwardError::PortTaken));
            assert_eq!(pair.client.forward.connect(81), Err(ForwardError::PortUnknown));
            assert_eq!(pair.server.forward.connect(8080), Err(ForwardError::ServerSide));
            let up: Vec<u8> = (0..150_000u32).map(|at| (at / 5).to_le_bytes()[0]).collect();
            let down: Vec<u8> = up.iter().rev().copied().collect();
            for id in &ids {
                let (mut up, mut down) = (&up[..], &down[..]);
                while !(up.is_empty() && down.is_empty()) {
                    up = &up[pair.client.forward.write(*id, up).unwrap_or(0)..];
                    down = &down[pair.server.forward.write(*id, down).unwrap_or(0)..];
                    pair.settle();
                }
            }
            for id in &ids {
                assert!(pair.client.data(*id) == down && pair.server.data(*id) == up, "{form:?} {cut:?}");
                assert_eq!(pair.client.ends(*id), [""; 0]);
                assert!(!pair.server.forward.is_closing());
                pair.server.forward.finish(*id).unwrap();
            }
            assert!(pair.server.forward.is_closing(), "when all have ended");
            pair.settle();
            assert!(ids.iter().all(|id| pair.client.ends(*id) == ["end"]));
            for end in [&pair.client, &pair.server] {
                assert!(
                    matches!(end.events.last(), Some(ForwardEvent::Ended(Some(close))) if close.code == Some(1000))
                );
            }
        }
    }
}

// Holds PFW-13.
#[test]
fn a_client_cannot_end_one_direction_and_is_told_so() {
    let mut pair = Pair::over_channels(&[80], Subprotocol::V4, usize::MAX);
    let id = pair.connect(80);
    assert!(!pair.client.forward.can_half_close());
    assert_eq!(pair.client.forward.finish(id), Err(ForwardError::NoHalfClose));
    assert_eq!(pair.client.forward.write(id, b"goes on"), Ok(7));
    pair.settle();
    assert_eq!(pair.server.data(id), b"goes on");
    pair.client.forward.forget(id);
    assert!(pair.client.forward.is_closing(), "nothing can happen any more");
    pair.settle();
    assert_eq!(pair.server.ends(id), ["end"]);
}

// Holds PFW-13.
#[test]
fn what_is_over_has_no_direction_to_end() {
    let mut pair = Pair::over_channels(&[80], Subprotocol::V4, usize::MAX);
    let id = pair.connect(80);
    pair.settle();
    pair.server.forward.fail_connection(id, "nobody listens");
    pair.settle();
    assert_eq!(pair.client.forward.finish(id), Err(ForwardError::Gone));
}

// Holds PFW-4, PFW-14, PFW-17.
#[test]
fn a_port_fails_alone_and_says_why() {
    let mut pair = Pair::over_channels(&[1, 2, 3, 4], Subprotocol::V4Base64, 7);
    let ids: Vec<_> = (1..=4).map(|port| pair.connect(port)).collect();
    pair.server.forward.write(ids[0], b"before").unwrap();
    pair.server.forward.fail_connection(ids[0], "connection refused");
    pair.server.forward.fail_connection(ids[1], "");
    pair.server.forward.forget(ids[2]);
    assert_eq!(pair.server.forward.write(ids[0], b"x"), Err(ForwardError::Gone));
    pair.settle();
    assert_eq!(pair.client.data(ids[0]), b"before");
    assert_eq!(pair.client.ends(ids[0]), ["failed: connection refused"]);
    assert_eq!(pair.client.ends(ids[1]), ["failed: the connection failed"]);
    assert_eq!(pair.client.ends(ids[2]), ["failed: the connection was broken off"]);
    assert_eq!(pair.client.forward.write(ids[0], b"x"), Err(ForwardError::Gone));
    assert_eq!(pair.client.forward.write(ids[3], b"alive"), Ok(5));
    pair.settle();
    assert_eq!(pair.server.data(ids[3]), b"alive");
    pair.server.forward.finish(ids[3]).unwrap();
    pair.settle();
    assert_eq!(pair.client.ends(ids[3]), ["end"]);
    assert_eq!(pair.client.ends(ids[0]).len(), 1);
}

// Holds PFW-11.
#[test]
fn a_first_message_that_is_not_the_port_ends_the_forward() {
    let sound = firsts(&[8081]);
    for bad in [
        message(0, &[0x92, 0x1f]),
        message(0, &[0x1f, 0x91]),
        message(0, &[0x91]),
        message(0, &[]),
        message(0, &[0x91, 0x1f, 0]),
        message(0, b"data"),
        [&message(0, &[0x91, 0x1f])[..], &message(1, b"error")].concat(),
    ] {
        for cut in CUTS {
            let mut end = client(&[8081]);
            end.take(Instant::now(), &bad, cut);
            let error = end.error.clone().expect("refused");
            assert_eq!(error.kind(), &ErrorKind::Channel(ChannelViolation::PortMessage), "{bad:?}");
            assert_eq!(error.fault(), Fault::Peer);
            assert_eq!(end.sends()[0], 0x88, "a close frame");
        }
    }
    // In fragments, and in any order across channels.
    let mut end = client(&[8081, 80]);
    let fragments = [frame(0x02, &[2, 80]), frame(0x80, &[0]), message(3, &[80, 0]), sound].concat();
    end.take(Instant::now(), &fragments, 1);
    assert_eq!(end.error, None);
}

// Holds PFW-14.
#[test]
fn only_close_1000_with_nothing_cut_off_is_a_good_end() {
    let first = firsts(&[80]);
    let data = message(0, b"some");
    let cut_off = frame(0x02, &[0, b'x']);
    for (what, stream, ends) in [
        ("close 1000", [&first[..], &data, &CLOSE].concat(), 1),
        ("close 1001", [&first[..], &data, &[0x88, 2, 3, 233]].concat(), 0),
        ("close without a code", [&first[..], &data, &[0x88, 0]].concat(), 0),
        ("the end of the stream", [&first[..], &data].concat(), 0),
        ("inside a message", [&first[..], &data, &cut_off, &CLOSE].concat(), 0),
        ("never connected", CLOSE.to_vec(), 0),
        ("half connected", [&message(0, &[80, 0])[..], &CLOSE].concat(), 0),
    ] {
        for cut in CUTS {
            let mut end = client(&[80]);
            let id = end.forward.connect(80).unwrap();
            end.take(Instant::now(), &stream, cut);
            end.forward.handle_eof();
            end.events.extend(std::iter::from_fn(|| end.forward.poll_event()));
            assert_eq!(end.ends(id).len(), ends, "{what}");
            assert!(matches!(end.events.last(), Some(ForwardEvent::Ended(_))), "{what}");
        }
    }
    // When we closed first, the answer says nothing about the connection.
    let mut end = client(&[80]);
    let id = end.forward.connect(80).unwrap();
    end.take(Instant::now(), &first, 1);
    end.forward.abort();
    end.take(Instant::now(), &[&data[..], &CLOSE].concat(), 1);
    assert!(matches!(end.events[..], [ForwardEvent::Ended(Some(_))]), "{:?} {id:?}", end.events);
}

// Holds PFW-12.
#[test]
fn what_comes_before_somebody_connects_is_kept_and_then_stops_the_peer() {
    let now = Instant::now();
    let mut config = SessionConfig::client([3; 32]);
    config.limits.unread = 10;
    let forward = Forward::over_channels(Role::Client, &[1, 2, 3], Subprotocol::V4, &config, now).unwrap();
    let mut end = End::of(forward);
    let stream = [
        firsts(&[1, 2, 3]),
        message(0, b"banner"),
        message(3, b"refused"),
        message(2, b"dropped, for it failed"),
        message(0, b" more"),
        message(4, b"behind"),
        CLOSE.to_vec(),
    ];
    let mut input = BytesMut::from(&stream.concat()[..]);
    end.forward.handle_input(now, &mut input).unwrap();
    assert_eq!(end.forward.poll_event(), None);
    assert_eq!(input.len(), message(4, b"behind").len() + CLOSE.len(), "nothing is read behind what waits");
    // The silence is of our own making.
    end.forward.set_reading(now, Reading::Active);
    let later = now + Duration::from_secs(100);
    assert_eq!(end.forward.handle_timeout(later), Ok(()));
    let id = end.forward.connect(1).unwrap();
    let told: Vec<_> = std::iter::from_fn(|| end.forward.poll_event()).collect();
    let data = |text: &'static [u8]| ForwardEvent::Data(id, text.into());
    assert_eq!(told, [data(b"banner"), data(b" more")]);
    end.forward.handle_input(later, &mut input).unwrap();
    let failed = end.forward.connect(2);
    assert_eq!(failed, Err(ForwardError::GoingAway), "it ended meanwhile");
    assert_eq!(end.forward.poll_event(), Some(ForwardEvent::End(id)));
}

#[test]
fn who_leaves_reads_on_whatever_waits_for_somebody_to_connect() {
    let now = Instant::now();
    let mut config = SessionConfig::client([3; 32]);
    config.limits.unread = 4;
    let forward = Forward::over_channels(Role::Client, &[1], Subprotocol::V4, &config, now).unwrap();
    let mut end = End::of(forward);
    end.take(now, &[&firsts(&[1])[..], &message(0, b"banner")].concat(), 1);
    end.forward.abort();
    end.take(now, &CLOSE, 1);
    assert!(matches!(end.events[..], [ForwardEvent::Ended(Some(_))]), "{:?}", end.events);
}

#[test]
fn a_failure_before_somebody_connects_is_told_then() {
    let mut end = client(&[1, 2]);
    end.take(Instant::now(), &[firsts(&[1, 2]), message(3, b"refused")].concat(), 1);
    assert_eq!(end.events, []);
    let id = end.forward.connect(2).unwrap();
    end.pump(Instant::now());
    assert_eq!(end.events, [ForwardEvent::Failed(id, "refused".into())]);
}

#[test]
fn a_writer_waits_for_room_and_is_told() {
    let mut pair = Pair::over_channels(&[1, 2], Subprotocol::V4, usize::MAX);
    let (one, two) = (pair.connect(1), pair.connect(2));
    let mut sent = 0;
    while let Ok(count) = pair.client.forward.write(one, &[1; 4096]) {
        sent += count;
    }
    assert!((1..=128 << 10).contains(&sent), "{sent}");
    assert_eq!(pair.client.forward.write(two, b"x"), Err(ForwardError::Blocked));
    assert_eq!(pair.client.forward.write(two, b"x"), Err(ForwardError::Blocked));
    assert_eq!(pair.client.forward.poll_event(), None);
    pair.settle();
    pair.client.pump(pair.now);
    let writable: Vec<_> = pair.client.events.iter().collect();
    assert_eq!(writable, [&ForwardEvent::Writable(one), &ForwardEvent::Writable(two)]);
    assert_eq!(pair.server.data(one).len(), sent);
}

#[test]
fn forwards_that_cannot_be() {
    let make = |ports: &[u16], form| {
        let made = Forward::over_channels(Role::Server, ports, form, &config(), Instant::now());
        made.map(|forward| forward.connections())
    };
    assert_eq!(make(&[80; 128], Subprotocol::V4), Ok(128));
    assert_eq!(make(&[80; 129], Subprotocol::V4), Err(ForwardError::TooMany));
    assert_eq!(make(&[80; 40], Subprotocol::V4Base64), Ok(40));
    assert_eq!(make(&[80; 41], Subprotocol::V4Base64), Err(ForwardError::TooMany));
    for form in [Subprotocol::V5, Subprotocol::V1, Subprotocol::Tunnel, Subprotocol::PortForward] {
        assert_eq!(make(&[80], form), Err(ForwardError::Subprotocol), "{form:?}");
    }
}

// Holds PFW-11.
#[test]
fn as_many_ports_as_there_are_channels() {
    for (form, most) in [(Subprotocol::V4, 128), (Subprotocol::V4Base64, 40)] {
        let ports: Vec<u16> = (1..=most).collect();
        let mut pair = Pair::over_channels(&ports, form, 1009);
        let ids: Vec<ConnectionId> = ports.iter().map(|port| pair.connect(*port)).collect();
        for id in &ids {
            pair.client.forward.write(*id, format!("{id:?}").as_bytes()).unwrap();
        }
        pair.settle();
        assert!(ids.iter().all(|id| pair.server.data(*id) == format!("{id:?}").as_bytes()));
        let last = ids[ids.len() - 1];
        pair.server.forward.fail_connection(last, "no");
        pair.settle();
        assert_eq!(pair.client.ends(last), ["failed: no"]);
    }
}

// Holds PFW-12.
#[test]
fn a_server_without_ports_closes_at_once() {
    let mut pair = Pair::over_channels(&[], Subprotocol::V4, 1);
    pair.settle();
    assert!(matches!(pair.client.events[..], [ForwardEvent::Ended(Some(_))]));
    assert!(matches!(pair.server.events[..], [ForwardEvent::Ended(Some(_))]));
}
