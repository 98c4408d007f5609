//! How connections over SPDY end, and what is told of it and when.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod forward_support;

use std::time::Duration;

use bytes::BytesMut;
use channel_proto::{
    Reading, Role,
    forward::{ConnectionId, Forward, ForwardError, ForwardEvent},
    spdy::{Connection as Spdy, GoAwayStatus, Headers, Priority, ResetStatus, StreamId},
};
use forward_support::{End, Pair, WIRES, Wire, config};

fn headers(kind: &str, request: &str) -> Headers {
    [("streamtype", kind), ("port", "80"), ("requestid", request)].try_into().unwrap()
}

fn open(spdy: &mut Spdy, kind: &str, request: &str) -> StreamId {
    spdy.open(headers(kind, request), Priority::default()).unwrap()
}

/// A connection of ours to a server by hand, which accepted it: the error stream and the data stream.
fn accepted() -> (Pair, ConnectionId, [StreamId; 2]) {
    let mut pair = Pair::with_raw_server();
    let id = pair.client.forward.connect(80).unwrap();
    let streams = pair.raw_streams();
    pair.raw(|spdy| streams.iter().for_each(|stream| spdy.reply(*stream).unwrap()));
    (pair, id, [streams[0], streams[1]])
}

// Holds PFW-15.
#[test]
fn a_reset_behind_the_end_is_told_too() {
    for wire in WIRES {
        let mut pair = Pair::new(wire, 13);
        let client = pair.connect(80);
        let server = pair.accepted(80);
        pair.client.forward.finish(client).unwrap();
        pair.settle();
        pair.client.forward.forget(client);
        pair.settle();
        assert_eq!(pair.server.ends(server), ["end", "reset"]);
        assert_eq!(pair.server.forward.write(server, b"x"), Err(ForwardError::Gone));

        let client = pair.connect(81);
        let server = pair.accepted(81);
        pair.server.forward.write(server, b"all").unwrap();
        pair.server.forward.finish(server).unwrap();
        pair.server.forward.forget(server);
        pair.settle();
        assert_eq!(
            (pair.client.data(client), pair.client.ends(client)),
            (b"all".to_vec(), vec!["end".into(), "reset".into()])
        );
    }
}

// Holds PFW-17.
#[test]
fn a_failure_without_a_reason_is_no_good_end() {
    let mut pair = Pair::new(Wire::Tunnel, 1);
    let client = pair.connect(80);
    let server = pair.accepted(80);
    pair.server.forward.fail_connection(server, "");
    pair.settle();
    assert_eq!(pair.client.ends(client), ["failed: the connection failed"]);
}

// Holds PFW-7.
#[test]
fn an_error_stream_that_nobody_could_read_is_no_good_verdict() {
    // Reset while the data went on.
    let (mut pair, id, [error, data]) = accepted();
    pair.raw(|spdy| spdy.reset(error, ResetStatus::CANCEL));
    pair.raw(|spdy| spdy.finish(data).unwrap());
    pair.carry_down();
    assert_eq!(pair.client.ends(id), ["reset"]);
    // Reset behind the end of the data: there was nothing to say.
    let (mut pair, id, [error, data]) = accepted();
    pair.raw(|spdy| spdy.finish(data).unwrap());
    pair.carry_down();
    pair.raw(|spdy| spdy.reset(error, ResetStatus::CANCEL));
    pair.carry_down();
    assert_eq!(pair.client.ends(id), ["end"]);
}

// Holds PFW-7.
#[test]
fn time_in_which_nothing_is_read_is_no_grace() {
    let (mut pair, id, [error, data]) = accepted();
    pair.raw(|spdy| spdy.finish(data).unwrap());
    pair.carry_down();
    pair.client.forward.set_reading(pair.now, Reading::Paused);
    assert_eq!(pair.client.forward.poll_timeout(), None);
    let later = pair.now + Duration::from_secs(60);
    pair.client.forward.handle_timeout(later).unwrap();
    pair.client.forward.set_reading(later, Reading::Active);
    pair.client.forward.handle_timeout(later).unwrap();
    assert_eq!(pair.client.forward.poll_event(), None);
    assert_eq!(pair.client.forward.poll_timeout(), Some(later + Duration::from_millis(500)));
    pair.raw(|spdy| {
        spdy.send(error, b"no route").unwrap();
        spdy.finish(error).unwrap();
    });
    pair.carry_down();
    assert_eq!(pair.client.ends(id), ["failed: no route"]);
    assert_eq!(pair.client.forward.poll_timeout(), None, "nothing is left of it");
}

// Holds PFW-7.
#[test]
fn a_reader_that_stops_again_and_again_puts_no_verdict_off_for_ever() {
    let (mut pair, id, [_, data]) = accepted();
    pair.raw(|spdy| spdy.finish(data).unwrap());
    pair.carry_down();
    for _ in 0..5 {
        assert_eq!(pair.client.ends(id), [""; 0]);
        pair.client.forward.set_reading(pair.now, Reading::Paused);
        pair.now += Duration::from_secs(10);
        pair.client.forward.set_reading(pair.now, Reading::Active);
        pair.wait(Duration::from_millis(100));
    }
    assert_eq!(pair.client.ends(id), ["end"]);
}

// Holds PFW-18.
#[test]
fn what_came_with_the_end_of_the_stream_is_told() {
    for wire in WIRES {
        let mut pair = Pair::new(wire, usize::MAX);
        let client = pair.connect(80);
        let failed = pair.connect(81);
        let (server, failing) = (pair.accepted(80), pair.accepted(81));
        for part in [b"one", b"two"] {
            pair.server.forward.write(server, part).unwrap();
            let _ = pair.server.forward.transmit().is_empty();
        }
        pair.server.forward.finish(server).unwrap();
        pair.server.forward.fail_connection(failing, "refused");
        // All in one read, and then the end, before anybody took an event.
        let mut input = BytesMut::from(&pair.server.sends()[..]);
        pair.client.forward.handle_input(pair.now, &mut input).unwrap();
        let left = input.len();
        assert!(wire == Wire::Tunnel || left == 0);
        if left == 0 {
            pair.client.forward.handle_eof();
            pair.client.events.extend(std::iter::from_fn(|| pair.client.forward.poll_event()));
        } else {
            pair.client.take(pair.now, &input, usize::MAX);
            pair.client.forward.handle_eof();
            pair.client.pump(pair.now);
        }
        assert_eq!(pair.client.data(client), b"onetwo", "{wire:?}");
        assert_eq!(pair.client.ends(client), ["end"], "{wire:?}");
        assert_eq!(pair.client.ends(failed), ["failed: refused"], "{wire:?}");
        assert_eq!(pair.client.events.last(), Some(&ForwardEvent::Ended(None)));
    }
}

// Holds PFW-7, PFW-18.
#[test]
fn at_the_end_of_the_stream_a_failure_is_told_and_an_end_without_a_verdict_is_not() {
    let (mut pair, id, [_, data]) = accepted();
    pair.raw(|spdy| spdy.finish(data).unwrap());
    pair.carry_down();
    pair.client.forward.handle_eof();
    assert_eq!(pair.client.forward.poll_event(), Some(ForwardEvent::Ended(None)), "{id:?} was cut");

    let (mut pair, id, [error, _]) = accepted();
    pair.raw(|spdy| assert_eq!(spdy.send(error, b"half a rea"), Ok(10)));
    pair.carry_down();
    pair.client.forward.handle_eof();
    pair.client.pump(pair.now);
    assert_eq!(pair.client.ends(id), ["failed: half a rea"]);
}

// Holds PFW-19.
#[test]
fn what_a_peer_that_leaves_did_not_accept_is_broken_off() {
    let (mut pair, first, _) = accepted();
    pair.carry_down();
    pair.raw(|spdy| spdy.goaway(GoAwayStatus::OK));
    let second = pair.client.forward.connect(81).unwrap();
    pair.carry_down();
    assert!(pair.client.events.contains(&ForwardEvent::GoingAway));
    assert_eq!(pair.client.ends(second), ["reset"]);
    assert_eq!(pair.client.ends(first), [""; 0]);
    assert_eq!(pair.client.forward.connect(82), Err(ForwardError::GoingAway));
    assert_eq!(pair.client.forward.write(first, b"goes on"), Ok(7));
}

// Holds PFW-16.
#[test]
fn what_is_kept_for_a_lone_stream_has_a_limit_of_its_own() {
    let mut limited = config();
    // That of what goes out is another.
    (limited.limits.forward_early, limited.limits.spdy_stream_transmit) = (10, 4);
    for (len, connects) in [(10, true), (11, false)] {
        let mut pair = Pair::with_raw_client();
        pair.server = End::of(Forward::over_spdy(Role::Server, &limited, pair.now));
        pair.raw(|spdy| {
            let stream = open(spdy, "data", "1");
            assert_eq!(spdy.send(stream, &vec![b'e'; len]), Ok(len));
        });
        pair.carry_up();
        pair.raw(|spdy| _ = open(spdy, "error", "1"));
        pair.carry_up();
        assert_eq!(
            (pair.server.connects().len() == 1, pair.raw_resets()),
            (connects, usize::from(!connects))
        );
    }
}

// Holds PFW-16.
#[test]
fn what_comes_before_the_error_stream_is_kept_as_far_as_there_is_room() {
    let mut pair = Pair::with_raw_client();
    let mut lone = Vec::new();
    for (request, len, fin) in [("1", 5, false), ("2", 60 << 10, true), ("3", 10 << 10, false)] {
        pair.raw(|spdy| {
            let stream = open(spdy, "data", request);
            assert_eq!(spdy.send(stream, &vec![b'e'; len]), Ok(len));
            if fin {
                spdy.finish(stream).unwrap();
            }
            lone.push(stream);
        });
        pair.carry_up();
    }
    assert_eq!(pair.raw_resets(), 1, "the third is too much");
    pair.raw(|spdy| {
        open(spdy, "error", "1");
        open(spdy, "error", "2");
        spdy.send(lone[0], b"more").unwrap();
    });
    pair.carry_up();
    assert_eq!(pair.server.connects(), [80, 80]);
    let id = |at: usize| match pair
        .server
        .events
        .iter()
        .filter(|event| matches!(event, ForwardEvent::Connect(..)))
        .nth(at)
    {
        Some(ForwardEvent::Connect(id, _)) => *id,
        _ => panic!("no connection {at}"),
    };
    assert_eq!(pair.server.data(id(0)), b"eeeeemore");
    assert_eq!(pair.server.data(id(1)).len(), 60 << 10);
    assert_eq!((pair.server.ends(id(0)), pair.server.ends(id(1))), (vec![], vec!["end".to_owned()]));
}

// Holds PFW-6.
#[test]
fn what_a_client_says_on_an_error_stream_is_no_failure() {
    let mut pair = Pair::with_raw_client();
    pair.raw(|spdy| {
        let error = open(spdy, "error", "1");
        let data = open(spdy, "data", "1");
        spdy.send(error, b"I am the pod").unwrap();
        spdy.finish(error).unwrap();
        spdy.finish(data).unwrap();
    });
    pair.carry_up();
    let id = pair.accepted(80);
    assert_eq!(pair.server.ends(id), ["end"]);
}

#[test]
fn an_aborted_forward_tells_nothing_more_and_does_not_wait_for_ever() {
    for wire in WIRES {
        let mut pair = Pair::new(wire, usize::MAX);
        let client = pair.connect(80);
        let server = pair.accepted(80);
        pair.client.forward.abort();
        let due = pair.client.forward.poll_timeout().unwrap();
        assert!(due <= pair.now, "at once, to be told the time");
        pair.now += Duration::from_secs(60);
        pair.client.forward.handle_timeout(pair.now).unwrap();
        assert_eq!(pair.client.forward.write(client, b"x"), Err(ForwardError::Gone));
        assert_eq!(pair.client.forward.finish(client), Err(ForwardError::Gone));
        pair.server.forward.write(server, b"too late").unwrap();
        pair.carry_down();
        assert_eq!(pair.client.events, []);
        let due = pair.client.forward.poll_timeout().unwrap();
        assert_eq!(due, pair.now + Duration::from_secs(5));
        pair.client.forward.handle_timeout(due).unwrap();
        assert_eq!(pair.client.forward.poll_event(), Some(ForwardEvent::Ended(None)));
        assert_eq!((pair.client.forward.poll_event(), pair.client.forward.poll_timeout()), (None, None));
    }
}

// Holds PFW-17.
#[test]
fn a_connection_is_broken_off_behind_what_was_written_or_at_once() {
    for wire in WIRES {
        let mut pair = Pair::new(wire, usize::MAX);
        let [behind, at_once] = [80, 81].map(|port| pair.connect(port));
        let [first, second] = [80, 81].map(|port| pair.accepted(port));
        let sent = pair.server.forward.write(first, &[7; 60 << 10]).unwrap();
        pair.server.forward.write(second, &[7; 60 << 10]).unwrap();
        pair.server.forward.break_off(first);
        pair.server.forward.reset(second);
        pair.settle();
        assert_eq!((pair.client.data(behind).len(), pair.client.data(at_once).len()), (sent, 0), "{wire:?}");
        assert_eq!(
            (pair.client.ends(behind), pair.client.ends(at_once)),
            (vec!["reset".into()], vec!["reset".into()])
        );
    }
}
