//! Pings, silence, and neither.

use std::time::{Duration, Instant};

use bytes::Bytes;
use channel_proto::{ErrorKind, Fault, HeartbeatConfig, Message, Outcome, Reading, Subprotocol};

use crate::harness::{ALL, Appetite, Entry, Pair, setups, websocket_setups};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The moments at which the client sent something, in seconds since `start`.
fn sent(pair: &Pair, start: Instant) -> Vec<u64> {
    pair.client.sent_at.iter().map(|at| (*at - start).as_secs()).collect()
}

// Holds WSF-16, WSF-17, WSF-20, SPE-16.
#[test]
fn an_idle_client_pings_every_5_s_and_lives_on_the_answers() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        let (start, replies) = (pair.now, pair.client.session.bytes_taken());
        pair.run_for(seconds(121));
        assert_eq!(sent(&pair, start), (1..=24).map(|nth| nth * 5).collect::<Vec<_>>(), "{setup:?}");
        assert!(pair.client.error.is_none() && pair.server.error.is_none());
        match setup.entry {
            // The first message, and one pong for each ping.
            Entry::Bytes => assert_eq!(pair.client.session.bytes_taken(), 3 + 24 * 2),
            Entry::Spdy => assert_eq!(pair.client.session.bytes_taken(), replies + 24 * 12),
            Entry::Messages => {}
        }
        pair.server.session.finish(pair.now, &Outcome::Exited(0));
        pair.drive_bounded();
        assert!(pair.outcome().is_some());
    }
}

// Holds WSF-18, SPE-16.
#[test]
fn a_server_that_is_silent_for_61_s_is_dead() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.drive_bounded();
        pair.to_client.swallows = true;
        pair.run_for(Duration::from_millis(60_900));
        assert!(pair.client.error.is_none());
        pair.run_for(seconds(1));
        let error = pair.client.error.clone().unwrap();
        assert_eq!((error.kind(), error.fault()), (&ErrorKind::Silent { after: seconds(61) }, Fault::Peer));
        assert_eq!(pair.client.session.poll_timeout(), None);
        let now = pair.now;
        assert_eq!(pair.client.session.handle_timeout(now), Err(error), "it sticks");
    }
}

// Holds WSF-18.
#[test]
fn anything_that_comes_is_a_sign_of_life() {
    for setup in setups(&[Subprotocol::V5]) {
        let mut pair = setup.start();
        pair.drive_bounded();
        pair.to_client.swallows = true;
        for _ in 0..5 {
            pair.run_for(seconds(50));
            pair.to_client.swallows = false;
            pair.inject_to_client(&[9]);
            pair.to_client.swallows = true;
        }
        assert!(pair.client.error.is_none());
    }
}

// Holds WSF-17, WSF-19.
#[test]
fn a_paused_reader_pings_and_calls_nobody_dead() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.drive_bounded();
        pair.to_client.swallows = true;
        pair.client.session.set_reading(pair.now, Reading::Paused);
        let start = pair.now;
        pair.run_for(seconds(1000));
        assert!(pair.client.error.is_none());
        assert!(sent(&pair, start).len() >= 199, "{:?}", sent(&pair, start));
        pair.client.session.set_reading(pair.now, Reading::Active);
        pair.run_for(seconds(60));
        assert!(pair.client.error.is_none(), "the silence counts from now");
        pair.run_for(seconds(2));
        assert!(pair.client.error.is_some());
    }
}

// Holds WSF-17, WSF-18.
#[test]
fn off_is_off() {
    for mut setup in setups(&ALL) {
        setup.client.heartbeat = HeartbeatConfig::OFF;
        let mut pair = setup.start();
        assert_eq!(pair.client.session.poll_timeout(), None);
        pair.run_for(seconds(24 * 3600));
        assert!(pair.client.sent_at.is_empty() && pair.client.error.is_none());
    }
}

// Holds WSF-20.
#[test]
fn a_server_does_not_ping() {
    for mut setup in setups(&ALL) {
        setup.client.heartbeat = HeartbeatConfig::OFF;
        let mut pair = setup.start();
        assert_eq!(pair.server.session.poll_timeout(), None);
        pair.run_for(seconds(3600));
        let first_message = usize::from(setup.entry != Entry::Spdy);
        assert_eq!(pair.server.sent_at.len(), first_message);
    }
}

// Holds WSF-16, WSF-20.
#[test]
fn a_server_that_is_told_to_ping_is_answered() {
    for mut setup in setups(&ALL) {
        setup.client.heartbeat = HeartbeatConfig::OFF;
        setup.server.heartbeat = HeartbeatConfig::default();
        let mut pair = setup.start();
        pair.run_for(seconds(600));
        assert!(pair.server.error.is_none(), "{:?}", pair.server.error);
        assert!(pair.server.sent_at.len() > 100);
        pair.to_server.swallows = true;
        pair.run_for(seconds(70));
        assert!(pair.server.error.is_some(), "a client that vanished is found out");
    }
}

// Holds WSF-17.
#[test]
fn pings_that_cannot_leave_do_not_pile_up() {
    for mut setup in setups(&ALL) {
        setup.client.heartbeat.dead_after = None;
        setup.client.limits.transmit = 1000;
        setup.client.limits.outgoing_message = 500;
        let mut pair = setup.start();
        pair.to_server.capacity = 0;
        pair.type_in(vec![b'x'; 5000], false);
        pair.run_for(seconds(10 * 3600));
        // `End` checks the limit at every turn.
        pair.to_server.capacity = 64 << 10;
        pair.drive_bounded();
        assert_eq!(pair.stdin.len(), 5000);
        // Pongs are all that comes back over bytes: of the pings, few were left.
        assert!(pair.client.session.bytes_taken() < 1000, "{}", pair.client.session.bytes_taken());
    }
}

// Holds WSF-17.
#[test]
fn pings_that_nobody_fetches_do_not_pile_up() {
    for mut setup in websocket_setups(&ALL) {
        setup.client.heartbeat.dead_after = None;
        setup.entry = Entry::Messages;
        let session = &mut setup.start().client.session;
        for _ in 0..100 {
            session.handle_timeout(session.poll_timeout().unwrap()).unwrap();
        }
        assert_eq!(session.poll_message(), Some(Message::Ping(Bytes::new())));
        assert_eq!(session.poll_message(), None);
    }
}

// Holds WSF-16.
#[test]
fn of_the_pings_that_could_not_be_answered_the_newest_is() {
    for mut setup in setups(&[Subprotocol::V5]) {
        setup.client.heartbeat = HeartbeatConfig::OFF;
        setup.client.limits.transmit = 100;
        setup.server.heartbeat = HeartbeatConfig { ping_every: Some(seconds(1)), dead_after: None };
        let mut pair = setup.start();
        pair.to_server.capacity = 0;
        pair.type_in(vec![b'x'; 300], false);
        pair.run_for(seconds(1000));
        assert!(pair.client.most_queued < 300, "{}", pair.client.most_queued);
        pair.to_server.capacity = 64 << 10;
        pair.run_for(seconds(2));
        assert_eq!(pair.stdin.len(), 300);
        assert!(pair.client.error.is_none() && pair.server.error.is_none());
    }
}

// Holds WSF-19.
#[test]
fn an_application_that_takes_nothing_stops_neither_pings_nor_the_session() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.client.appetite = Appetite::Leaves;
        pair.drive_bounded();
        // The driver sees that nobody takes the event, and stops reading.
        pair.client.session.set_reading(pair.now, Reading::Paused);
        let start = pair.now;
        pair.run_for(seconds(600));
        assert!(pair.client.error.is_none() && sent(&pair, start).len() >= 119);
    }
}
