//! Peers that do not close.

use std::time::Duration;

use channel_proto::{HeartbeatConfig, Outcome, ServerEvent, Subprotocol};

use crate::harness::{ALL, Appetite, setups};

const SUCCESS: &[u8] = b"\x03{\"metadata\":{},\"status\":\"Success\"}";

// Holds EXE-17, EXE-18.
#[test]
fn a_server_that_never_closes_after_its_status_is_left_after_the_linger_time() {
    for setup in setups(&[Subprotocol::V4, Subprotocol::V5]) {
        let mut pair = setup.start();
        pair.drive_bounded();
        pair.inject_to_client(SUCCESS);
        pair.run_for(Duration::from_secs(1));
        assert_eq!(pair.outcome(), None, "a status is not yet the end");
        pair.inject_to_client(b"\x01late");
        pair.run_for(Duration::from_millis(3900));
        assert_eq!((pair.outcome(), &pair.stdout[..]), (None, &b"late"[..]));
        pair.run_for(Duration::from_millis(200));
        assert_eq!(pair.outcome(), Some(&Outcome::Exited(0)));
    }
}

// Holds EXE-18.
#[test]
fn a_connection_that_ends_after_the_status_without_a_close_frame_is_no_fault() {
    for setup in setups(&[Subprotocol::V4, Subprotocol::V5]) {
        let mut pair = setup.start();
        pair.drive_bounded();
        pair.inject_to_client(SUCCESS);
        pair.drive_bounded();
        pair.cut();
        pair.drive_bounded();
        assert_eq!((pair.outcome(), &pair.client.error), (Some(&Outcome::Exited(0)), &None));
    }
}

// Holds EXE-19.
#[test]
fn a_client_that_never_answers_the_close_frame_is_left_after_the_linger_time() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.client.appetite = Appetite::Leaves;
        pair.drive_bounded();
        pair.server.session.finish(pair.now, &Outcome::Exited(0));
        pair.run_for(Duration::from_millis(4900));
        assert!(pair.server_events.is_empty());
        pair.run_for(Duration::from_millis(200));
        assert_eq!(pair.server_events, [ServerEvent::Ended(None)]);
    }
}

// Holds EXE-12, EXE-19.
#[test]
fn a_server_that_finished_reads_on_until_the_client_leaves() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.type_in(vec![b'x'; 1 << 20], false);
        pair.run_for(Duration::from_millis(40));
        assert!(pair.stdin.len() < 1 << 20, "the client is still at it");
        let before = pair.server.session.bytes_taken();
        pair.server.session.finish(pair.now, &Outcome::Exited(5));
        assert!(pair.server.session.wants_input());
        pair.drive_bounded();
        assert!(pair.outcome().is_some() && pair.client.error.is_none() && pair.server.error.is_none());
        if setup.subprotocol.has_exit_code() {
            assert_eq!(pair.outcome(), Some(&Outcome::Exited(5)));
        }
        assert!(pair.server.session.bytes_taken() > before, "what was under way was read");
        assert!(
            matches!(pair.server_events[..], [ServerEvent::Ended(Some(_))]),
            "{setup:?} {:?}",
            pair.server_events
        );
    }
}

// Holds EXE-18.
#[test]
fn after_giving_up_a_client_waits_no_longer_than_the_linger_time() {
    for mut setup in setups(&ALL) {
        setup.client.heartbeat = HeartbeatConfig::OFF;
        setup.client.linger = Duration::from_secs(2);
        for disconnect in [true, false] {
            let mut pair = setup.start();
            pair.drive_bounded();
            pair.to_client.swallows = true;
            match disconnect {
                true => pair.client.session.disconnect(pair.now),
                false => pair.client.session.abort(pair.now),
            }
            pair.run_for(Duration::from_millis(1900));
            assert_eq!(pair.outcome(), None);
            pair.run_for(Duration::from_millis(200));
            assert_eq!(pair.outcome(), Some(&Outcome::EndedWithoutStatus(None)));
            assert_eq!(pair.client.session.poll_timeout(), None);
        }
    }
}
