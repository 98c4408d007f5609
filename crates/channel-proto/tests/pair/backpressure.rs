//! What is not taken stops the peer, and costs no memory.

use std::time::Duration;

use channel_proto::{ClientEvent, Outcome, Output, ServerEvent, Subprotocol, TerminalSize, WriteError};

use crate::harness::{ALL, Appetite, Pair, Setup, TERMINAL, setups};

/// Writes to stdin until it is blocked, and tells how much went. Twice, since over SPDY there is room again once frames were laid out.
fn fill(pair: &mut Pair) -> usize {
    let mut written = 0;
    for _ in 0..2 {
        let blocked = loop {
            match pair.client.session.write_stdin(&[b'x'; 10_000]) {
                Ok(count) => written += count,
                Err(blocked) => break blocked,
            }
        };
        assert_eq!(blocked, WriteError::Blocked);
        let _ = pair.client.session.transmit();
    }
    written
}

fn writable(pair: &Pair) -> usize {
    pair.client_events.iter().filter(|event| **event == ClientEvent::Writable).count()
}

// Holds WSF-12.
#[test]
fn a_write_is_blocked_at_the_limit_and_told_once_when_there_is_room() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.to_server.capacity = 0;
        let written = fill(&mut pair);
        let limit = setup.client.limits.transmit;
        assert!((limit / 2..=limit).contains(&written), "{written} of {limit}");
        pair.drive_bounded();
        assert_eq!(pair.client.session.write_stdin(b"x"), Err(WriteError::Blocked));
        assert_eq!(writable(&pair), 0);
        pair.to_server.capacity = 64 << 10;
        pair.drive_bounded();
        assert_eq!((writable(&pair), pair.stdin.len()), (1, written));
        assert_eq!(pair.client.session.write_stdin(b"x"), Ok(1));
    }
}

// Holds WSF-12.
#[test]
fn a_server_that_writes_more_than_the_client_takes_is_blocked_too() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.client.appetite = Appetite::Leaves;
        pair.drive_bounded();
        let mut written = 0;
        while let Ok(count) = pair.server.session.write_output(Output::Stdout, &[b'y'; 5000]) {
            written += count;
            pair.drive_bounded();
        }
        assert!(written < 400 << 10, "{written}");
        pair.client.appetite = Appetite::Takes;
        pair.drive_bounded();
        assert_eq!((pair.stdout.len(), &pair.server_events[..]), (written, &[ServerEvent::Writable][..]));
    }
}

// Holds EXE-1, EXE-5.
#[test]
fn an_untaken_event_stops_input_and_nothing_else() {
    for setup in setups(&ALL) {
        if !setup.can_resize() {
            continue;
        }
        let mut pair = Setup { streams: TERMINAL, ..setup.clone() }.start();
        pair.client.appetite = Appetite::Leaves;
        pair.server.session.write_output(Output::Stdout, &[b'y'; 50_000]).unwrap();
        pair.drive_bounded();
        let taken = pair.client.session.bytes_taken();
        assert!(!pair.client.session.wants_input());
        let start = pair.now;
        pair.client.session.write_stdin(b"typed").unwrap();
        pair.client.session.resize(TerminalSize { width: 80, height: 24 }).unwrap();
        pair.run_for(Duration::from_secs(11));
        assert_eq!(pair.stdin, b"typed");
        assert!(matches!(pair.server_events[..], [ServerEvent::Resize(_)]), "{:?}", pair.server_events);
        assert!(pair.client.sent_at.iter().any(|at| *at >= start + Duration::from_secs(4)), "pings go out");
        assert_eq!(pair.client.session.bytes_taken(), taken, "nothing is read behind an event");
        pair.client.appetite = Appetite::Takes;
        pair.drive_bounded();
        assert_eq!(pair.stdout.len(), 50_000);
    }
}

// Holds EXE-18.
#[test]
fn a_blocked_writer_hears_of_the_status_at_once_and_of_nothing_after_the_end() {
    for setup in setups(&[Subprotocol::V4, Subprotocol::V5]) {
        let mut pair = setup.start();
        pair.drive_bounded();
        pair.to_server.capacity = 0;
        fill(&mut pair);
        pair.inject_to_client(b"\x03{\"status\":\"Success\"}");
        pair.drive_bounded();
        assert_eq!(writable(&pair), 1, "so that it finds out");
        assert_eq!(pair.client.session.write_stdin(b"x"), Err(WriteError::Ended));

        let mut pair = setup.start();
        pair.drive_bounded();
        pair.to_server.capacity = 0;
        fill(&mut pair);
        pair.server.session.finish(pair.now, &Outcome::EndedWithoutStatus(None));
        pair.drive_bounded();
        assert!(pair.outcome().is_some());
        // `Pair` checks that nothing follows the last event.
        pair.to_server.capacity = 1 << 20;
        pair.drive_bounded();
        assert_eq!(writable(&pair), 0);
    }
}

// Holds EXE-12.
#[test]
fn finishing_with_a_full_buffer_wakes_no_writer() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.to_client.capacity = 0;
        let limit = setup.server.limits.transmit;
        pair.server.session.write_output(Output::Stdout, &vec![b'z'; limit]).unwrap();
        pair.server.session.finish(pair.now, &Outcome::Exited(4));
        pair.to_client.capacity = limit;
        pair.drive_bounded();
        assert!(matches!(pair.server_events[..], [ServerEvent::Ended(_)]), "{:?}", pair.server_events);
    }
}

// Holds EXE-12.
#[test]
fn finishing_while_blocked_still_sends_all_output_first() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        pair.drive_bounded();
        pair.to_client.capacity = 0;
        let mut written = 0;
        while let Ok(count) = pair.server.session.write_output(Output::Stdout, &[b'z'; 30_000]) {
            written += count;
        }
        pair.server.session.finish(pair.now, &Outcome::Exited(4));
        pair.drive_bounded();
        pair.to_client.capacity = 64 << 10;
        pair.drive_bounded();
        assert_eq!(pair.stdout.len(), written);
        assert!(pair.outcome().is_some());
    }
}
