//! Ends that no status announces.

use channel_proto::{Outcome, Output, ServerEvent, Subprotocol, WriteError};

use crate::harness::{ALL, Entry, Setup, setups};

/// What the server hears of a client that leaves; over SPDY, its stdin ends first.
fn left(setup: &Setup, code: u16) -> Vec<ServerEvent> {
    let stdin = (setup.entry == Entry::Spdy).then_some(ServerEvent::StdinClosed);
    stdin.into_iter().chain([ServerEvent::Ended(setup.close(code))]).collect()
}

// Holds EXE-15, EXE-17, EXE-20.
#[test]
fn a_lost_connection_ends_without_a_status_behind_what_arrived() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.server.session.write_output(Output::Stdout, b"arrived").unwrap();
        pair.drive_bounded();
        pair.cut();
        pair.drive_bounded();
        assert_eq!(pair.stdout, b"arrived");
        assert_eq!(pair.outcome(), Some(&Outcome::EndedWithoutStatus(None)));
        assert_eq!(pair.server_events, [ServerEvent::Ended(None)], "the command's cue for the end of stdin");
        assert_eq!(pair.client.session.write_stdin(b"x"), Err(WriteError::Ended));
        assert_eq!(pair.server.session.write_output(Output::Stdout, b"x"), Err(WriteError::Ended));
    }
}

// Holds EXE-17.
#[test]
fn what_was_taken_off_the_wire_before_a_loss_is_delivered_even_to_a_slow_reader() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        for _ in 0..3 {
            pair.server.session.write_output(Output::Stdout, &[b'x'; 10_000]).unwrap();
            pair.server.session.write_output(Output::Stderr, &[b'y'; 100]).unwrap();
        }
        pair.server.session.abort(pair.now);
        pair.drive_bounded();
        assert_eq!((pair.stdout.len(), pair.stderr.len()), (30_000, 300));
        assert_eq!(pair.outcome(), Some(&Outcome::EndedWithoutStatus(setup.close(1001))));
    }
}

// Holds EXE-4, EXE-20, SPE-15.
#[test]
fn disconnecting_ends_stdin_and_costs_the_status() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.client.session.write_stdin(b"last words").unwrap();
        pair.client.session.disconnect(pair.now);
        pair.client.session.disconnect(pair.now);
        assert_eq!(pair.client.session.write_stdin(b"x"), Err(WriteError::Closed));
        pair.drive_bounded();
        assert_eq!(pair.stdin, b"last words");
        assert_eq!(pair.server_events, left(&setup, 1000));
        assert_eq!(pair.outcome(), Some(&Outcome::EndedWithoutStatus(setup.close(1000))));
    }
}

// Holds WSF-14, EXE-15, SPE-14.
#[test]
fn an_abort_says_so_to_the_peer() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.drive_bounded();
        pair.client.session.abort(pair.now);
        assert!(pair.client.session.is_closing());
        assert_eq!(pair.client.session.write_stdin(b"x"), Err(WriteError::Ended));
        pair.drive_bounded();
        assert_eq!(pair.server_events, left(&setup, 1001));
        assert!(matches!(pair.outcome(), Some(Outcome::EndedWithoutStatus(Some(_)))), "the answer");
    }
}

// Holds WSF-15.
#[test]
fn nothing_is_sent_to_a_peer_that_closed() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.drive_bounded();
        pair.client.session.disconnect(pair.now);
        pair.drive_bounded();
        pair.server.session.abort(pair.now);
        pair.server.session.finish(pair.now, &Outcome::Exited(0));
        assert_eq!(pair.server.session.transmit().map_or(0, |transmit| transmit.len()), 0);
        assert_eq!(pair.server.session.poll_message(), None);
    }
}

// Holds WSF-14, WSF-15.
#[test]
fn when_both_close_at_once_both_end() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.drive_bounded();
        pair.client.session.disconnect(pair.now);
        pair.server.session.finish(pair.now, &Outcome::Exited(1));
        pair.drive_bounded();
        assert!(pair.client.session.is_ended() && pair.server.session.is_ended());
        // The status was under way, and counts.
        match pair.outcome() {
            Some(Outcome::Exited(1)) => assert!(setup.subprotocol.has_exit_code()),
            Some(Outcome::Failed(_)) => assert!(!setup.subprotocol.has_exit_code()),
            other => panic!("{other:?}"),
        }
    }
}

// Holds EXE-17.
#[test]
fn output_before_a_fault_is_delivered_before_the_error() {
    for setup in setups(&[Subprotocol::V5]) {
        let mut pair = setup.start();
        pair.drive_bounded();
        pair.server.session.write_output(Output::Stdout, b"good").unwrap();
        pair.drive_bounded();
        pair.inject_to_client(b"\x01more");
        pair.inject_to_client(&[255, 77]);
        pair.drive_bounded();
        assert_eq!(pair.stdout, b"goodmore");
        assert!(pair.client.error.is_some() && pair.outcome().is_none());
        assert!(matches!(pair.server_events[..], [ServerEvent::Ended(Some(_))]), "the server is told");
    }
}
