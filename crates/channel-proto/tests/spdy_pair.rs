//! Two connections that talk to each other over a wire that cuts and delays.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod spdy_support;

use std::time::Duration;

use bytes::Bytes;
use channel_proto::{
    Limits,
    spdy::{Event, GoAwayStatus, Headers, Priority, ResetStatus, StreamError, StreamId, StreamState},
};
use spdy_support::{headers, id, pair::Pair};

fn data(number: u32, payload: impl Into<Bytes>, fin: bool) -> Event {
    Event::Data { id: id(number), payload: payload.into(), fin }
}

/// A pair with one stream, opened by the client and accepted.
fn opened(seed: u64) -> (Pair, StreamId) {
    let mut pair = Pair::new(seed);
    let stream = pair.client.open(headers([("streamtype", "data")]), Priority::HIGHEST).unwrap();
    assert_eq!(
        pair.server_events(),
        [Event::Opened {
            id: stream,
            headers: headers([("streamtype", "data")]),
            priority: Priority::HIGHEST,
            fin: false
        }]
    );
    assert_eq!(pair.server.send(stream, b"too soon"), Err(StreamError::NotReplied));
    assert_eq!(pair.server.finish(stream), Err(StreamError::NotReplied));
    pair.server.reply(stream).unwrap();
    assert_eq!(pair.server.reply(stream), Err(StreamError::Replied));
    assert_eq!(pair.client.reply(stream), Err(StreamError::Replied));
    assert_eq!(pair.client_events(), [Event::Replied { id: stream, headers: Headers::new(), fin: false }]);
    (pair, stream)
}

// Holds SPD-12.
#[test]
fn data_goes_right_behind_the_opening() {
    let mut pair = Pair::new(3);
    let stream = pair.client.open(headers([]), Priority::new(7).unwrap()).unwrap();
    pair.client.send(stream, b"at once").unwrap();
    let events = pair.server_events();
    assert!(
        matches!(&events[..], [Event::Opened { priority, .. }, Event::Data { .. }] if priority.get() == 7)
    );
}

// Holds SPD-13.
#[test]
fn a_half_close_either_way_leaves_the_other_open() {
    for seed in 1..50 {
        let (mut pair, stream) = opened(seed);
        pair.client.send(stream, b"question").unwrap();
        pair.client.finish(stream).unwrap();
        assert_eq!(pair.client.state(stream), StreamState::AwaitFin);
        assert_eq!(pair.client.send(stream, b"more"), Err(StreamError::Finished));
        assert_eq!(pair.client.room(stream), 0);
        assert_eq!(pair.server_events(), [data(1, "question", true)]);
        assert_eq!(pair.server.state(stream), StreamState::AwaitOurFin);
        pair.server.send(stream, &[9; 50_000]).unwrap();
        assert_eq!(pair.client_events(), [data(1, vec![9; 50_000], false)]);
        pair.server.finish(stream).unwrap();
        assert_eq!(pair.client_events(), [data(1, "", true)]);
        for end in [&pair.client, &pair.server] {
            assert_eq!((end.state(stream), end.open_streams()), (StreamState::Closed, 0));
        }
        assert_eq!(pair.server.send(stream, b"x"), Err(StreamError::Gone));
    }
}

// Holds SPD-13.
#[test]
fn the_server_may_finish_first() {
    let (mut pair, stream) = opened(7);
    pair.server.finish(stream).unwrap();
    assert_eq!(pair.client_events(), [data(1, "", true)]);
    pair.client.send(stream, b"still").unwrap();
    pair.client.finish(stream).unwrap();
    assert_eq!(pair.server_events(), [data(1, "still", true)]);
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
}

// Holds SPD-14.
#[test]
fn what_is_under_way_when_we_reset_is_dropped_silently() {
    for seed in 1..100 {
        let (mut pair, stream) = opened(seed);
        pair.server.send(stream, &[1; 60_000]).unwrap();
        for _ in 0..seed % 5 {
            pair.step();
        }
        pair.client.abort(stream, ResetStatus::CANCEL);
        pair.client_events();
        pair.server.send(stream, b"late").ok();
        assert_eq!(pair.client_events(), []);
        assert_eq!(pair.server_events(), [Event::Reset { id: stream, status: ResetStatus::CANCEL }]);
        assert_eq!(pair.server.send(stream, b"x"), Err(StreamError::Gone));
        assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
        assert!(pair.client.is_drained() && pair.server.is_drained());
    }
}

// Holds SPD-14.
#[test]
fn both_may_reset_at_once() {
    for seed in 1..50 {
        let (mut pair, stream) = opened(seed);
        pair.client.reset(stream, ResetStatus::CANCEL);
        pair.server.reset(stream, ResetStatus::INTERNAL_ERROR);
        assert_eq!((pair.client_events(), pair.server_events()), (vec![], vec![]));
        assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
    }
}

// Holds SPD-14.
#[test]
fn a_stream_that_the_peer_reset_is_forgotten_without_an_answer() {
    let (mut pair, stream) = opened(31);
    pair.server.reset(stream, ResetStatus::CANCEL);
    assert_eq!(pair.client_events(), [Event::Reset { id: stream, status: ResetStatus::CANCEL }]);
    assert_eq!(pair.client.state(stream), StreamState::PeerReset);
    assert_eq!(pair.client.send(stream, b"x"), Err(StreamError::Gone));
    assert_eq!(pair.client.finish(stream), Err(StreamError::Gone));
    pair.client.reset(stream, ResetStatus::CANCEL);
    assert_eq!(pair.client.state(stream), StreamState::Closed);
    assert!(pair.client.is_drained());
    assert_eq!(pair.server_events(), []);
}

#[test]
fn a_reset_of_the_peer_is_not_told_of_a_stream_that_we_reset() {
    let (mut pair, stream) = opened(37);
    pair.server.send(stream, b"the status").unwrap();
    pair.server.reset(stream, ResetStatus::CANCEL);
    pair.client.reset(stream, ResetStatus::CANCEL);
    // The client's reset comes while the server's waits behind the data.
    let now = pair.now;
    let mut sent = Bytes::from_static(&[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 5]);
    assert_eq!(pair.server.next(now, &mut sent), Ok(None));
    assert!(pair.server.is_drained());
}

#[test]
fn a_reset_and_a_fin_may_cross() {
    for seed in 1..50 {
        let (mut pair, stream) = opened(seed);
        pair.client.finish(stream).unwrap();
        pair.server.reset(stream, ResetStatus::CANCEL);
        assert_eq!(pair.client_events(), [Event::Reset { id: stream, status: ResetStatus::CANCEL }]);
        assert_eq!(pair.server_events(), []);
    }
}

// Holds SPD-11.
#[test]
fn replies_come_in_any_order_and_before_the_data_of_their_stream() {
    let mut pair = Pair::new(41);
    let ids = [1, 3, 5].map(|_| pair.client.open(headers([]), Priority::HIGHEST).unwrap());
    assert_eq!(pair.server_events().len(), 3);
    let replied = |id| Event::Replied { id, headers: Headers::new(), fin: false };
    for at in [2, 0, 1] {
        assert_eq!(pair.server.send(ids[at], b"too soon"), Err(StreamError::NotReplied));
        pair.server.reply(ids[at]).unwrap();
        pair.server.send(ids[at], b"data").unwrap();
        assert_eq!(pair.client_events(), [replied(ids[at]), data(ids[at].get(), "data", false)]);
    }
}

// Holds SPD-11.
#[test]
fn a_stream_may_be_refused_instead_of_replied_to() {
    let mut pair = Pair::new(5);
    let stream = pair.client.open(headers([("port", "70000")]), Priority::HIGHEST).unwrap();
    pair.server_events();
    pair.server.reset(stream, ResetStatus::CANCEL);
    assert_eq!(pair.client_events(), [Event::Reset { id: stream, status: ResetStatus::CANCEL }]);
    // What the client sends before it knows is dropped.
    assert_eq!(pair.server_events(), []);
}

#[test]
fn a_reset_of_the_peer_drops_what_waits_behind_a_fin_too() {
    let (mut pair, stream) = opened(11);
    pair.server.finish(stream).unwrap();
    pair.client_events();
    pair.client.send(stream, &[5; 60_000]).unwrap();
    pair.client.finish(stream).unwrap();
    assert_eq!(pair.client.open_streams(), 0, "both finished");
    pair.server.abort(stream, ResetStatus::CANCEL);
    // The reset overtakes the data, of which at most what was laid out already goes.
    let sent = Bytes::from([&[0x80, 3, 0, 3, 0, 0, 0, 8][..], &[0, 0, 0, 1, 0, 0, 0, 5]].concat());
    let now = pair.now;
    assert_eq!(
        pair.client.next(now, &mut sent.clone()),
        Ok(Some(Event::Reset { id: stream, status: ResetStatus::CANCEL }))
    );
    assert_eq!(pair.client.queued_on(stream), 0);
    assert!(pair.client.is_drained());
}

// Holds SPD-18.
#[test]
fn pings_are_answered_both_ways() {
    let (mut pair, _) = opened(13);
    assert_eq!((pair.client.ping(), pair.client.ping(), pair.server.ping()), (1, 3, 2));
    assert_eq!(pair.client_events(), [Event::Pong { id: 1 }, Event::Pong { id: 3 }]);
    assert_eq!(pair.server_events(), [Event::Pong { id: 2 }]);
}

// Holds SPD-10.
#[test]
fn either_end_opens_streams_with_ids_of_its_own() {
    let mut pair = Pair::new(17);
    let of_client: Vec<u32> =
        (0..3).map(|_| pair.client.open(headers([]), Priority::HIGHEST).unwrap().get()).collect();
    let of_server: Vec<u32> =
        (0..3).map(|_| pair.server.open(headers([]), Priority::HIGHEST).unwrap().get()).collect();
    assert_eq!((of_client, of_server), (vec![1, 3, 5], vec![2, 4, 6]));
    assert_eq!((pair.client_events().len(), pair.server_events().len()), (3, 3));
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (6, 6));
}

// Holds SPD-19.
#[test]
fn a_goaway_goes_last_and_what_is_open_goes_on() {
    let (mut pair, stream) = opened(19);
    pair.server.send(stream, &[2; 50_000]).unwrap();
    pair.server.goaway(GoAwayStatus::OK);
    pair.server.goaway(GoAwayStatus::INTERNAL_ERROR);
    let goaway = Event::GoAway { last: 1, status: GoAwayStatus::OK };
    assert_eq!(pair.client_events(), [data(1, vec![2; 50_000], false), goaway]);
    pair.client.send(stream, b"still there").unwrap();
    assert_eq!(pair.server_events(), [data(1, "still there", false)]);
    pair.server.send(stream, b"yes").unwrap();
    assert_eq!(pair.client_events(), [data(1, "yes", false)]);
}

#[test]
fn ten_thousand_streams_leave_nothing_behind() {
    let mut pair = Pair::new(23);
    for nth in 0..10_000u32 {
        let stream = pair.client.open(headers([("requestid", &nth.to_string())]), Priority::HIGHEST).unwrap();
        pair.server_events();
        match nth % 4 {
            0 | 1 => {
                pair.server.reply(stream).unwrap();
                pair.client.send(stream, b"ping").unwrap();
                pair.client.finish(stream).unwrap();
                pair.server.send(stream, b"pong").unwrap();
                pair.server.finish(stream).unwrap();
            }
            2 => pair.server.reset(stream, ResetStatus::CANCEL),
            _ => pair.client.abort(stream, ResetStatus::CANCEL),
        }
        pair.drive();
        pair.client_events();
        pair.server_events();
        assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0), "{nth}");
        assert!(pair.client.is_drained() && pair.server.is_drained());
        pair.now += Duration::from_millis(1);
    }
}

// Holds SPD-5.
#[test]
fn much_data_both_ways_on_many_streams_arrives_whole() {
    let mut limits = Limits::default();
    limits.transmit = 20_000;
    limits.spdy_stream_transmit = 5_000;
    let mut pair = Pair::with_limits(29, &limits);
    let ids: Vec<StreamId> =
        (0..10).map(|_| pair.client.open(headers([]), Priority::HIGHEST).unwrap()).collect();
    pair.server_events();
    for id in &ids {
        pair.server.reply(*id).unwrap();
    }
    pair.client_events();
    let byte = |at: usize| u8::try_from(at * 7 % 251).unwrap();
    let all: Vec<u8> = (0..200_000).map(byte).collect();
    let mut sent = vec![[0usize; 2]; ids.len()];
    loop {
        for (sent, id) in sent.iter_mut().zip(&ids) {
            for (sent, end) in sent.iter_mut().zip([&mut pair.client, &mut pair.server]) {
                if *sent == all.len() {
                    continue;
                }
                match end.send(*id, &all[*sent..]) {
                    Ok(len) => *sent += len,
                    Err(error) => assert_eq!(error, StreamError::Blocked),
                }
                if *sent == all.len() {
                    end.finish(*id).unwrap();
                }
            }
        }
        if !pair.step() && sent.iter().flatten().all(|sent| *sent == all.len()) {
            break;
        }
    }
    for events in [pair.client_events(), pair.server_events()] {
        for id in &ids {
            let mut received = Vec::new();
            let mut fins = 0;
            for event in &events {
                if let Event::Data { id: of, payload, fin } = event
                    && of == id
                {
                    received.extend_from_slice(payload);
                    fins += usize::from(*fin);
                }
            }
            assert!(received == all && fins == 1, "stream {id}: {} bytes, {fins} FINs", received.len());
        }
    }
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
}
