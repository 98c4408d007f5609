//! Terminal sizes.

use channel_proto::{ServerEvent, Subprotocol, TerminalSize, WriteError, session::ResizeError};

use crate::harness::{ALL, Entry, Pair, Setup, TERMINAL, setups, websocket_setups};

fn size(width: u16, height: u16) -> TerminalSize {
    TerminalSize { width, height }
}

fn sizes(pair: &Pair) -> Vec<TerminalSize> {
    let size = |event: &ServerEvent| match event {
        ServerEvent::Resize(size) => Some(*size),
        _ => None,
    };
    pair.server_events.iter().filter_map(size).collect()
}

fn terminals() -> impl Iterator<Item = Setup> {
    let setups = setups(&ALL).into_iter().map(|setup| Setup { streams: TERMINAL, ..setup });
    setups.filter(Setup::can_resize)
}

// Holds EXE-5, EXE-6, ATT-2, SPE-7.
#[test]
fn sizes_reach_the_server() {
    for setup in terminals() {
        let mut pair = setup.start();
        for size in [size(80, 24), size(1, 65535)] {
            pair.client.session.resize(size).unwrap();
            pair.drive_bounded();
        }
        assert_eq!(sizes(&pair), [size(80, 24), size(1, 65535)], "{setup:?}");
    }
}

// Holds EXE-5.
#[test]
fn while_there_is_no_room_only_the_newest_size_is_kept() {
    for setup in terminals() {
        let mut pair = setup.start();
        pair.to_server.capacity = 0;
        let mut written = 0;
        let blocked = loop {
            match pair.client.session.write_stdin(&[b'x'; 1000]) {
                Ok(count) => written += count,
                Err(blocked) => break blocked,
            }
        };
        assert_eq!(blocked, WriteError::Blocked);
        for width in 1..100 {
            pair.client.session.resize(size(width, 50)).unwrap();
            pair.drive_bounded();
        }
        pair.to_server.capacity = 64 << 10;
        pair.drive_bounded();
        let mut sizes = sizes(&pair);
        if setup.entry == Entry::Spdy {
            // A stream of its own has room for the first ones, which were laid out at once.
            let first = sizes.len() - 1;
            assert!(first < 3 && sizes.drain(..first).all(|size| size.width < 4));
        }
        assert_eq!((pair.stdin.len(), sizes), (written, vec![size(99, 50)]), "{setup:?}");
    }
}

// Holds EXE-5, EXE-7.
#[test]
fn a_size_of_zero_is_not_sent_and_none_is_without_a_terminal() {
    for mut setup in terminals() {
        let mut pair = setup.start();
        pair.client.session.resize(size(80, 0)).unwrap();
        pair.drive_bounded();
        assert_eq!(sizes(&pair), []);

        setup.streams.tty = false;
        let mut pair = setup.start();
        assert_eq!(pair.client.session.resize(size(80, 24)), Err(ResizeError));
        pair.drive_bounded();
        assert!(pair.client.sent_at.is_empty());
    }
}

// Holds EXE-7.
#[test]
fn a_server_without_a_terminal_ignores_sizes() {
    for setup in websocket_setups(&[Subprotocol::V4, Subprotocol::V5]) {
        let mut pair = setup.start();
        for _ in 0..5 {
            pair.inject_to_server(b"\x04{\"Width\":80,\"Height\":24}");
            pair.drive_bounded();
        }
        assert!(pair.server_events.is_empty() && pair.server.error.is_none());
    }
}

// Holds FRM-11.
#[test]
fn sizes_after_the_end_of_their_channel_are_dropped() {
    for setup in setups(&[Subprotocol::V5]) {
        let mut pair = Setup { streams: TERMINAL, ..setup }.start();
        pair.inject_to_server(&[255, 4]);
        pair.drive_bounded();
        pair.client.session.resize(size(80, 24)).unwrap();
        pair.type_in("on", false);
        pair.drive_bounded();
        assert_eq!((sizes(&pair), &pair.stdin[..]), (vec![], &b"on"[..]));
    }
}

// Holds WSF-14.
#[test]
fn a_size_that_waited_is_not_sent_behind_the_close_frame() {
    for setup in setups(&[Subprotocol::V5]) {
        let mut pair = Setup { streams: TERMINAL, ..setup }.start();
        pair.drive_bounded();
        pair.client.session.resize(size(80, 24)).unwrap();
        // A close signal without a channel: the client fails.
        pair.inject_to_client(&[255]);
        pair.to_server.capacity = 0;
        pair.drive_bounded();
        let waits = |pair: &mut Pair| pair.client.session.transmit().map(|transmit| transmit.len());
        let before = waits(&mut pair);
        pair.client.session.resize(size(81, 24)).unwrap();
        assert_eq!(waits(&mut pair), before);
        pair.to_server.capacity = 64 << 10;
        pair.drive_bounded();
        assert!(pair.client.error.is_some());
        assert!(sizes(&pair).len() <= 1, "only what was sent before the failure: {:?}", sizes(&pair));
        assert!(matches!(pair.server_events.last(), Some(ServerEvent::Ended(Some(_)))));
    }
}
