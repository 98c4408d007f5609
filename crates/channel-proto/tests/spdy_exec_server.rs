//! A server of exec and attach over SPDY, beside what the recordings show: clients that are slow, odd or wrong.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod spdy_exec_support;
mod spdy_support;

use std::time::Duration;

use channel_proto::{
    ChannelViolation, ErrorKind, Outcome, Output, ServerEvent, Streams, Subprotocol, WriteError,
};
use spdy_exec_support::{
    Frame,
    play::{PIPES, SUCCESS, TERMINAL, VERSIONS, close, goaway, server},
};
use spdy_support::{FIN, data, rst};

// Holds SPE-3, SPE-4.
#[test]
fn a_server_accepts_streams_in_any_order_and_is_blocked_until_all_are_there() {
    for version in VERSIONS {
        let mut play = server(PIPES, version);
        for (id, kind) in [(1, "stdout"), (3, "stdin"), (5, "error")] {
            play.open(id, kind);
            assert_eq!(play.written(), [Frame::Reply(id)]);
            assert_eq!(play.session.write_output(Output::Stdout, b"early"), Err(WriteError::Blocked));
        }
        play.hear(&data(3, 0, b"typed")).unwrap();
        play.open(7, "stderr");
        let stdin: Vec<u8> = play
            .events
            .iter()
            .flat_map(|event| match event {
                ServerEvent::Stdin(data) => data.to_vec(),
                ServerEvent::Writable => vec![],
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!((&stdin[..], play.events.last()), (&b"typed"[..], Some(&ServerEvent::Writable)));
        assert_eq!(play.session.write_output(Output::Stdout, b"now"), Ok(3));
        assert_eq!(play.session.poll_timeout(), None, "nothing more is awaited");
    }
}

// Holds SPE-4.
#[test]
fn a_server_gives_up_after_30_s_and_says_so() {
    let mut play = server(PIPES, Subprotocol::V4);
    play.open(1, "stdout");
    play.wait(Duration::from_millis(29_900)).unwrap();
    play.written();
    let error = play.wait(Duration::from_millis(200)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Channel(ChannelViolation::StreamsMissing));
    assert_eq!(play.written(), [Frame::Reset(1, 5), Frame::GoAway(1, 1)]);
    assert!(play.session.is_closing() && play.events.is_empty());
}

// Holds SPE-5.
#[test]
fn a_server_ignores_streams_that_it_does_not_expect() {
    let mut play = server(Streams { stdout: true, ..Streams::default() }, Subprotocol::V4);
    for (id, kind) in
        [(1, "banana"), (3, "stdin"), (5, "resize"), (7, "error"), (9, "error"), (11, "stdout"), (13, "")]
    {
        play.open(id, kind);
        play.hear(&data(id, FIN, b"data")).unwrap();
    }
    assert_eq!(play.written(), [Frame::Reply(7), Frame::Reply(11)]);
    assert!(play.events.is_empty(), "{:?}", play.events);
    play.session.finish(play.now, &Outcome::Exited(0));
    let written = play.written();
    assert_eq!(written.last(), Some(&Frame::GoAway(13, 0)), "{written:?}");
}

// Holds SPE-6.
#[test]
fn the_end_of_stdin_may_come_with_its_last_data_or_with_the_stream() {
    for version in VERSIONS {
        let mut play = server(Streams { stdin: true, stdout: true, ..Streams::default() }, version);
        let stdin = play.writer.syn_stream(1, FIN, &[("streamtype", "stdin")]);
        play.hear(&stdin).unwrap();
        assert_eq!(play.events, [ServerEvent::StdinClosed]);

        let mut play = server(Streams { stdin: true, stdout: true, ..Streams::default() }, version);
        play.open(1, "stdin");
        play.hear(&data(1, FIN, b"x")).unwrap();
        assert_eq!(play.events, [ServerEvent::Stdin("x".into()), ServerEvent::StdinClosed]);
        // A client that does not know that: the stream is reset, and the session goes on.
        play.hear(&data(1, 0, b"y")).unwrap();
        assert!(play.written().contains(&Frame::Reset(1, 9)) && play.events.len() == 2);
    }
}

// Holds SPE-7.
#[test]
fn sizes_are_objects_in_a_stream_and_bad_ones_are_passed_over() {
    let mut play = server(TERMINAL, Subprotocol::V3);
    for (id, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "resize")] {
        play.open(id, kind);
    }
    let good = |width: u16| format!("{{\"Width\":{width},\"Height\":9}}");
    for text in [
        good(1),
        "\n".into(),
        good(2) + &good(3),
        "banana".into(),
        good(4),
        "{\"Width\":70000,\"Height\":1}{\"Width\":0,\"Height\":0}[]".into(),
        good(5),
    ] {
        play.hear(&data(7, 0, text.as_bytes())).unwrap();
    }
    let sizes: Vec<u16> = play
        .events
        .iter()
        .map(|event| match event {
            ServerEvent::Resize(size) => size.width,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes, [1, 2, 3, 4, 5]);
}

// Holds SPE-8.
#[test]
fn whoever_writes_an_output_that_the_client_reset_is_told() {
    let mut play = server(PIPES, Subprotocol::V4);
    for (id, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
        play.open(id, kind);
    }
    while play.session.write_output(Output::Stdout, &[b'x'; 5_000]).is_ok() {}
    play.hear(&rst(5, 5)).unwrap();
    assert_eq!(play.events, [ServerEvent::Writable]);
    assert_eq!(play.session.write_output(Output::Stdout, b"x"), Err(WriteError::Closed));
    assert_eq!(play.session.write_output(Output::Stderr, b"x"), Ok(1));
}

// Holds SPE-11.
#[test]
fn a_server_ends_outputs_then_status_then_the_rest() {
    for version in VERSIONS {
        let mut play = server(PIPES, version);
        for (id, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
            play.open(id, kind);
        }
        play.written();
        play.session.write_output(Output::Stdout, &[b'o'; 60_000]).unwrap();
        play.session.write_output(Output::Stderr, &[b'e'; 60_000]).unwrap();
        play.session.finish(play.now, &Outcome::Exited(0));
        assert!(!play.session.is_closing(), "the end waits for the outputs");
        let written = play.written();
        assert!(play.session.is_closing());
        let [outputs @ .., status, reset, farewell] = &written[..] else { panic!("{written:?}") };
        let ends: Vec<u32> = outputs
            .iter()
            .filter_map(|frame| match frame {
                Frame::Data(id @ (5 | 7), _, fin) => fin.then_some(*id),
                other => panic!("{other:?} among the outputs"),
            })
            .collect();
        assert!(ends == [5, 7] || ends == [7, 5], "{ends:?}");
        let text = if version == Subprotocol::V4 { SUCCESS } else { "" };
        assert_eq!(*status, Frame::Data(1, text.into(), true), "{version}");
        assert_eq!((reset, farewell), (&Frame::Reset(3, 5), &Frame::GoAway(7, 0)));
    }
}

// Holds SPE-4, SPE-11.
#[test]
fn a_command_that_ends_at_once_waits_for_the_streams_to_say_so() {
    let mut play = server(Streams { stdout: true, ..Streams::default() }, Subprotocol::V4);
    play.session.finish(play.now, &Outcome::Exited(3));
    assert_eq!(play.written(), []);
    assert!(!play.session.is_closing());
    play.open(1, "error");
    play.open(3, "stdout");
    let written = play.written();
    let [
        Frame::Reply(1),
        Frame::Reply(3),
        Frame::Data(3, _, true),
        Frame::Data(1, status, true),
        Frame::GoAway(3, 0),
    ] = &written[..]
    else {
        panic!("{written:?}")
    };
    assert!(String::from_utf8_lossy(status).contains("NonZeroExitCode"));
    play.hear(&goaway(0, 0)).unwrap();
    assert_eq!(play.events, [ServerEvent::Ended(close(1000))]);
}
