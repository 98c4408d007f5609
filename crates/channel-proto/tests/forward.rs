//! Port-forward over SPDY streams, raw and in the tunnel: a client and a server against each other.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod forward_support;

use std::time::Duration;

use channel_proto::{
    Role,
    forward::{Forward, ForwardError, ForwardEvent},
    spdy::{Connection as Spdy, Headers, Priority, ResetStatus, StreamId},
};
use forward_support::{CUTS, End, Pair, WIRES, Wire, config};

// Holds PFW-5, PFW-6, TUN-1.
#[test]
fn data_goes_both_ways_in_any_cut_over_either_wire() {
    for wire in WIRES {
        for cut in CUTS {
            let mut pair = Pair::new(wire, cut);
            let client = pair.connect(8080);
            let server = pair.accepted(8080);
            let up: Vec<u8> = (0..200_000u32).map(|at| (at / 5).to_le_bytes()[0]).collect();
            let down: Vec<u8> = up.iter().rev().copied().collect();
            pair.exchange(client, &up, server, &down);
            assert!(pair.client.data(client) == down && pair.server.data(server) == up, "{wire:?} {cut:?}");
            assert_eq!(pair.client.ends(client), ["end"]);
            assert_eq!(pair.server.ends(server), ["end"]);
        }
    }
}

// Holds PFW-9.
#[test]
fn the_first_byte_takes_one_trip() {
    let mut pair = Pair::new(Wire::Tunnel, usize::MAX);
    let id = pair.client.forward.connect(80).unwrap();
    assert_eq!(pair.client.forward.write(id, b"GET /"), Ok(5));
    pair.carry_up();
    let server = pair.accepted(80);
    assert_eq!(pair.server.data(server), b"GET /");
}

// Holds PFW-10.
#[test]
fn an_answer_after_the_end_of_the_question_arrives() {
    for wire in WIRES {
        let mut pair = Pair::new(wire, 7);
        let client = pair.connect(80);
        let server = pair.accepted(80);
        pair.client.forward.write(client, b"question").unwrap();
        pair.client.forward.finish(client).unwrap();
        assert_eq!(pair.client.forward.write(client, b"more"), Err(ForwardError::Finished));
        pair.settle();
        assert_eq!(pair.server.ends(server), ["end"]);
        pair.wait(Duration::from_secs(600));
        pair.server.forward.write(server, b"answer").unwrap();
        pair.server.forward.finish(server).unwrap();
        pair.settle();
        assert_eq!(pair.client.data(client), b"answer");
        assert_eq!(pair.client.ends(client), ["end"]);
        assert_eq!(pair.client.forward.write(client, b"more"), Err(ForwardError::Gone));
    }
}

// Holds PFW-4.
#[test]
fn of_a_hundred_connections_the_bad_ones_end_alone() {
    for wire in WIRES {
        let mut pair = Pair::new(wire, 1000);
        let clients: Vec<_> = (1..=100).map(|port| pair.connect(port)).collect();
        let servers: Vec<_> = (1..=100).map(|port| pair.accepted(port)).collect();
        pair.server.forward.fail_connection(servers[0], "connection refused");
        pair.server.forward.forget(servers[1]);
        pair.client.forward.forget(clients[2]);
        for (at, server) in servers.iter().enumerate().skip(3) {
            pair.server.forward.write(*server, format!("from {at}").as_bytes()).unwrap();
            pair.server.forward.finish(*server).unwrap();
        }
        pair.settle();
        assert_eq!(pair.client.ends(clients[0]), ["failed: connection refused"]);
        assert_eq!(pair.client.ends(clients[1]), ["reset"]);
        assert_eq!(pair.server.ends(servers[2]), ["reset"]);
        for (at, client) in clients.iter().enumerate().skip(3) {
            assert_eq!(pair.client.data(*client), format!("from {at}").as_bytes());
            assert_eq!(pair.client.ends(*client), ["end"]);
        }
    }
}

// Holds PFW-7.
#[test]
fn an_end_is_not_told_before_the_error_stream_had_its_say() {
    for (text, told) in [(None, "end"), (Some("no route to host"), "failed: no route to host")] {
        let mut pair = Pair::with_raw_server();
        let id = pair.client.forward.connect(80).unwrap();
        let streams = pair.raw_streams();
        pair.raw(|spdy| {
            for stream in &streams {
                spdy.reply(*stream).unwrap();
            }
            // The data first, as the real server has it.
            spdy.finish(streams[1]).unwrap();
        });
        pair.carry_down();
        assert_eq!(pair.client.ends(id), [""; 0]);
        match text {
            Some(text) => pair.raw(|spdy| {
                spdy.send(streams[0], text.as_bytes()).unwrap();
                spdy.finish(streams[0]).unwrap();
            }),
            None => pair.wait(Duration::from_millis(500)),
        }
        pair.carry_down();
        assert_eq!(pair.client.ends(id), [told]);
    }
}

/// What the client by hand opens, with whatever headers.
fn open(spdy: &mut Spdy, headers: &[(&str, &str)]) -> StreamId {
    let mut all = Headers::new();
    for (name, value) in headers {
        all.insert(*name, *value).unwrap();
    }
    spdy.open(all, Priority::default()).unwrap()
}

// Holds PFW-8.
#[test]
fn a_server_pairs_streams_by_request_or_by_neighbourhood() {
    let mut pair = Pair::with_raw_client();
    pair.raw(|spdy| {
        open(spdy, &[("streamtype", "data"), ("port", "81"), ("requestid", "7")]);
        open(spdy, &[("streamtype", "error"), ("port", "82")]);
        open(spdy, &[("streamtype", "data"), ("port", "82")]);
        open(spdy, &[("streamtype", "error"), ("port", "81"), ("requestid", "7")]);
        // None of these is a connection.
        open(spdy, &[("port", "83"), ("requestid", "8")]);
        open(spdy, &[("streamtype", "data"), ("requestid", "9")]);
        open(spdy, &[("streamtype", "data"), ("port", "70000"), ("requestid", "10")]);
        open(spdy, &[("streamtype", "data"), ("port", "0"), ("requestid", "11")]);
        open(spdy, &[("streamtype", "data"), ("port", "84"), ("requestid", "12")]);
    });
    pair.carry_up();
    assert_eq!(pair.server.connects(), [82, 81]);
    assert_eq!(pair.raw_resets(), 4);
    pair.wait(Duration::from_secs(29));
    assert_eq!(pair.raw_resets(), 0);
    pair.wait(Duration::from_secs(1));
    assert_eq!(pair.raw_resets(), 1, "the one that stayed alone");
    assert!(pair.server.error.is_none());
}

// Holds PFW-8, PFW-4.
#[test]
fn a_stream_that_contradicts_one_that_is_alone_is_cancelled_and_the_first_waits_on() {
    for second in [("data", "81"), ("data", "82"), ("error", "82")] {
        let mut pair = Pair::with_raw_client();
        pair.raw(|spdy| {
            open(spdy, &[("streamtype", "data"), ("port", "81"), ("requestid", "7")]);
        });
        pair.carry_up();
        assert_eq!(pair.raw_resets_with(), []);
        let mut refused = None;
        pair.raw(|spdy| {
            let (kind, port) = second;
            refused = Some(open(spdy, &[("streamtype", kind), ("port", port), ("requestid", "7")]));
        });
        pair.carry_up();
        assert_eq!(pair.raw_resets_with(), [(refused.unwrap(), ResetStatus::CANCEL)], "{second:?}");
        pair.raw(|spdy| {
            open(spdy, &[("streamtype", "error"), ("port", "81"), ("requestid", "7")]);
        });
        pair.carry_up();
        assert_eq!((pair.server.connects(), pair.raw_resets_with()), (vec![81], vec![]));
    }
}

// Holds PFW-8, PFW-4.
#[test]
fn a_server_that_is_full_refuses_streams_and_still_completes_pairs() {
    let mut pair = Pair::with_raw_client();
    let mut few = config();
    few.limits.spdy_streams = 4;
    pair.server = End::of(Forward::over_spdy(Role::Server, &few, pair.now));
    let mut streams = Vec::new();
    pair.raw(|spdy| {
        for request in ["1", "2", "3"] {
            streams.push(open(spdy, &[("streamtype", "error"), ("port", "81"), ("requestid", request)]));
        }
    });
    pair.carry_up();
    assert_eq!(pair.raw_resets_with(), [(streams[2], ResetStatus::REFUSED_STREAM)]);
    pair.raw(|spdy| {
        for request in ["2", "1"] {
            open(spdy, &[("streamtype", "data"), ("port", "81"), ("requestid", request)]);
        }
    });
    pair.carry_up();
    assert_eq!((pair.server.connects(), pair.raw_resets_with()), (vec![81, 81], vec![]));
}

// Holds TUN-2.
#[test]
fn a_close_frame_ends_the_forward_and_says_so() {
    let mut pair = Pair::new(Wire::Tunnel, usize::MAX);
    let client = pair.connect(80);
    pair.server.forward.abort();
    pair.settle();
    assert!(
        matches!(pair.client.events.last(), Some(ForwardEvent::Ended(Some(close))) if close.code == Some(1000))
    );
    assert_eq!(pair.client.ends(client), [""; 0], "cut off, not ended");
    assert_eq!(pair.client.forward.connect(80), Err(ForwardError::GoingAway));
}

#[test]
fn ten_thousand_connections_one_after_the_other_leave_nothing() {
    let mut pair = Pair::new(Wire::Tunnel, usize::MAX);
    for _ in 0..10_000 {
        let client = pair.connect(80);
        let server = pair.accepted(80);
        assert_eq!((client.index(), server.index()), (0, 0), "ids are used again");
        pair.client.forward.write(client, b"x").unwrap();
        pair.client.forward.finish(client).unwrap();
        pair.server.forward.finish(server).unwrap();
        pair.settle();
        pair.client.forward.forget(client);
        pair.server.forward.forget(server);
        pair.clear();
    }
    assert_eq!((pair.client.forward.connections(), pair.server.forward.connections()), (0, 0));
}

#[test]
fn a_writer_is_stopped_and_told_when_to_go_on_and_holds_up_no_other() {
    let mut pair = Pair::new(Wire::Raw, usize::MAX);
    let (slow, quick) = (pair.connect(1), pair.connect(2));
    let mut sent = 0;
    while let Ok(count) = pair.client.forward.write(slow, &[1; 4096]) {
        sent += count;
    }
    assert!((1..1 << 20).contains(&sent), "{sent}");
    assert_eq!(pair.client.forward.write(slow, b"x"), Err(ForwardError::Blocked));
    assert_eq!(pair.client.forward.write(quick, b"quick"), Ok(5));
    pair.settle();
    assert!(pair.client.events.contains(&ForwardEvent::Writable(slow)));
    let (slow, quick) = (pair.accepted(1), pair.accepted(2));
    assert_eq!((pair.server.data(slow).len(), pair.server.data(quick)), (sent, b"quick".to_vec()));
}

#[test]
fn only_so_many_connections() {
    let mut pair = Pair::new(Wire::Raw, usize::MAX);
    let limit = (0..).take_while(|_| pair.client.forward.connect(80).is_ok()).count();
    assert_eq!(limit, 500);
    assert_eq!(pair.client.forward.connect(80), Err(ForwardError::TooMany));
    assert_eq!(pair.client.forward.role(), Role::Client);
}
