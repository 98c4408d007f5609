//! stdout and stderr, and what else comes from a server.

use channel_proto::{ClientEvent, ErrorKind, Outcome, Output, Streams, Subprotocol, WriteError};

use crate::harness::{ALL, PIPES, TERMINAL, setups, websocket_setups};

// Holds EXE-1, FRM-2.
#[test]
fn stdout_and_stderr_are_kept_apart() {
    for setup in setups(&ALL) {
        let mut pair = setup.start();
        for at in 0..200u8 {
            let output = if at % 3 == 0 { Output::Stderr } else { Output::Stdout };
            assert_eq!(pair.server.session.write_output(output, &[at, at]), Ok(2));
            if at % 10 == 0 {
                pair.drive_bounded();
            }
        }
        pair.drive_bounded();
        let of = |stderr: bool| (0..200u8).filter(move |at| (at % 3 == 0) == stderr).flat_map(|at| [at, at]);
        assert!(pair.stdout.iter().copied().eq(of(false)) && pair.stderr.iter().copied().eq(of(true)));
    }
}

// Holds FRM-2, EXE-8.
#[test]
fn an_output_that_was_not_asked_for_cannot_be_written() {
    let no_stdout = Streams { stdout: false, ..PIPES };
    // Beside a terminal stderr counts as not asked for.
    let terminal = Streams { stderr: true, ..TERMINAL };
    for (streams, refused) in
        [(no_stdout, Output::Stdout), (TERMINAL, Output::Stderr), (terminal, Output::Stderr)]
    {
        for mut setup in setups(&ALL) {
            setup.streams = streams;
            let mut pair = setup.start();
            assert_eq!(pair.server.session.write_output(refused, b"x"), Err(WriteError::NotRequested));
            let result = pair.server.session.write_output_bytes(refused, &"x".into());
            assert_eq!(result, Err(WriteError::NotRequested));
            pair.drive_bounded();
            assert!(pair.stdout.is_empty() && pair.stderr.is_empty());
        }
    }
}

// Holds FRM-8, FRM-16.
#[test]
fn the_first_message_says_connected_on_whatever_channel_it_comes() {
    let only_stdin = Streams { stdin: true, ..Streams::default() };
    let no_stdout = Streams { stdout: false, ..PIPES };
    for streams in [PIPES, TERMINAL, no_stdout, only_stdin] {
        for mut setup in setups(&ALL) {
            setup.streams = streams;
            let mut pair = setup.start();
            pair.drive_bounded();
            assert_eq!(pair.client_events, [ClientEvent::Connected], "{setup:?}");
        }
    }
}

// Holds FRM-15, FRM-16.
#[test]
fn a_client_ignores_empty_messages_and_channels_that_nobody_reads() {
    for setup in websocket_setups(&[Subprotocol::Unnamed, Subprotocol::V1, Subprotocol::V4, Subprotocol::V5])
    {
        let mut pair = setup.start();
        pair.drive_bounded();
        for message in [&b""[..], &[1], &[2], &[3], &[0], b"\0x", b"\x04x", b"\x05x", b"\xfex"] {
            pair.inject_to_client(message);
            pair.drive_bounded();
        }
        assert_eq!((pair.client_events.as_slice(), pair.stdout.len()), (&[ClientEvent::Connected][..], 0));
        assert!(pair.client.error.is_none());
    }
}

// Holds FRM-12.
#[test]
fn before_v5_nothing_is_a_close_signal_to_either_end() {
    for setup in websocket_setups(&[Subprotocol::Unnamed, Subprotocol::V1, Subprotocol::V4]) {
        let mut pair = setup.start();
        pair.drive_bounded();
        for message in [&[255, 0][..], &[255, 1], &[255], &[255, 9, 9]] {
            pair.inject_to_client(message);
            pair.inject_to_server(message);
            pair.drive_bounded();
        }
        pair.type_in("on", false);
        pair.drive_bounded();
        assert_eq!((&pair.stdin[..], pair.client_events.len(), pair.server_events.len()), (&b"on"[..], 1, 0));
    }
}

// Holds FRM-13.
#[test]
fn a_close_signal_from_the_server_ends_that_output_and_nothing_else() {
    for setup in setups(&[Subprotocol::V5]) {
        let mut pair = setup.start();
        pair.drive_bounded();
        for channel in 0..5 {
            pair.inject_to_client(&[255, channel]);
            pair.drive_bounded();
        }
        pair.server.session.finish(pair.now, &Outcome::Exited(3));
        pair.drive_bounded();
        let expected = [
            ClientEvent::Connected,
            ClientEvent::OutputClosed(Output::Stdout),
            ClientEvent::OutputClosed(Output::Stderr),
            ClientEvent::Ended(Outcome::Exited(3)),
        ];
        assert_eq!(pair.client_events, expected);
    }
}

// Holds FRM-10, FRM-14.
#[test]
fn a_malformed_close_signal_fails_either_end() {
    for setup in setups(&[Subprotocol::V5]) {
        for message in [&[255][..], &[255, 5], &[255, 255], &[255, 0, 0]] {
            let mut pair = setup.start();
            pair.drive_bounded();
            pair.inject_to_client(message);
            pair.inject_to_server(message);
            pair.drive_bounded();
            for error in [pair.client.error.unwrap(), pair.server.error.unwrap()] {
                assert!(matches!(error.kind(), ErrorKind::Channel(_)), "{error}");
            }
        }
    }
}
