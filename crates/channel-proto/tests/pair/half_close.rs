//! The end of stdin, which over WebSocket only v5 has, and over SPDY every version.

use std::collections::BTreeSet;

use channel_proto::{
    Outcome, Output, ServerEvent, Streams, Subprotocol, WriteError, session::CloseStdinError,
};

use crate::harness::{ALL, Entry, PIPES, Setup, setups};

fn half_closers() -> impl Iterator<Item = Setup> {
    setups(&ALL).into_iter().filter(Setup::can_half_close)
}

#[test]
fn over_spdy_every_version_half_closes_and_over_websocket_v5_alone() {
    let versions: BTreeSet<_> =
        half_closers().map(|setup| (setup.entry == Entry::Spdy, setup.subprotocol.name())).collect();
    assert_eq!(versions.len(), if cfg!(feature = "spdy") { 5 } else { 1 }, "{versions:?}");
    for setup in setups(&ALL) {
        let pair = setup.start();
        assert_eq!(pair.client.session.can_half_close(), setup.can_half_close());
        assert_eq!(pair.server.session.can_half_close(), setup.can_half_close());
    }
}

// Holds EXE-2, FRM-9, SPE-6.
#[test]
fn output_goes_on_after_the_end_of_stdin() {
    for setup in half_closers() {
        let mut pair = setup.start();
        pair.type_in("in", true);
        pair.drive_bounded();
        assert_eq!((&pair.stdin[..], &pair.server_events[..]), (&b"in"[..], &[ServerEvent::StdinClosed][..]));
        assert_eq!(pair.server.session.write_output(Output::Stdout, b"later"), Ok(5));
        pair.drive_bounded();
        assert_eq!((&pair.stdout[..], pair.outcome()), (&b"later"[..], None));
        pair.server.session.finish(pair.now, &Outcome::Exited(7));
        pair.drive_bounded();
        match pair.outcome() {
            Some(Outcome::Exited(7)) => assert!(setup.subprotocol.has_exit_code()),
            Some(Outcome::Failed(_)) => assert!(!setup.subprotocol.has_exit_code()),
            other => panic!("{other:?}"),
        }
    }
}

// Holds EXE-3, SPE-6.
#[test]
fn ending_stdin_twice_is_harmless_and_nothing_follows_it() {
    for setup in half_closers().filter(|setup| setup.subprotocol.has_exit_code()) {
        let mut pair = setup.start();
        let client = &mut pair.client.session;
        assert_eq!((client.close_stdin(), client.close_stdin()), (Ok(()), Ok(())));
        assert_eq!(client.write_stdin(b"x"), Err(WriteError::Closed));
        pair.drive_bounded();
        // A client that does not know that.
        for message in [&[255, 0][..], b"\0late", &[255, 0]] {
            pair.inject_to_server(message);
            pair.drive_bounded();
        }
        assert_eq!((pair.stdin.len(), &pair.server_events[..]), (0, &[ServerEvent::StdinClosed][..]));
        pair.server.session.finish(pair.now, &Outcome::Exited(0));
        pair.drive_bounded();
        assert_eq!(pair.outcome(), Some(&Outcome::Exited(0)));
    }
}

// Holds EXE-4.
#[test]
fn before_v5_the_refusal_is_typed_and_the_session_goes_on() {
    for setup in setups(&ALL) {
        let subprotocol = setup.subprotocol;
        if setup.can_half_close() {
            continue;
        }
        let mut pair = setup.start();
        for _ in 0..2 {
            let refusal = pair.client.session.close_stdin().unwrap_err();
            assert_eq!(refusal, CloseStdinError::Unsupported(subprotocol));
            assert!(refusal.to_string().starts_with("this subprotocol cannot end stdin"), "{refusal}");
        }
        assert!(!pair.client.session.is_closing());
        pair.type_in("more", false);
        pair.drive_bounded();
        assert_eq!((&pair.stdin[..], &pair.server_events[..]), (&b"more"[..], &[][..]));
    }
}

// Holds EXE-4.
#[test]
fn stdin_that_was_not_asked_for_can_be_neither_written_nor_ended() {
    for mut setup in setups(&ALL) {
        setup.streams = Streams { stdin: false, ..PIPES };
        let mut pair = setup.start();
        assert_eq!(pair.client.session.write_stdin(b"x"), Err(WriteError::NotRequested));
        assert_eq!(pair.client.session.close_stdin(), Err(CloseStdinError::NotRequested));
        pair.drive_bounded();
        assert!(pair.stdin.is_empty() && pair.server_events.is_empty());
    }
}

// Holds FRM-15, FRM-11.
#[test]
fn a_server_ignores_stdin_that_was_not_asked_for_and_ends_of_channels_that_are_not_the_clients() {
    for mut setup in setups(&[Subprotocol::V5]) {
        setup.streams = Streams { stdin: false, ..PIPES };
        let mut pair = setup.start();
        for message in
            [&b"\0x"[..], &[255, 0], &[255, 1], &[255, 2], &[255, 3], &[255, 4], b"\x01x", b"\x09x"]
        {
            pair.inject_to_server(message);
            pair.drive_bounded();
        }
        assert!(pair.stdin.is_empty() && pair.server_events.is_empty() && pair.server.error.is_none());
        pair.server.session.finish(pair.now, &Outcome::Exited(0));
        pair.drive_bounded();
        assert_eq!(pair.outcome(), Some(&Outcome::Exited(0)));
    }
}
