//! A client of exec and attach over SPDY, beside what the recordings show: servers that are slow, odd or wrong.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod spdy_exec_support;
mod spdy_support;

use std::time::Duration;

use channel_proto::{
    ClientEvent, ClientSession, ErrorKind, Outcome, Output, Reading, SessionConfig, SpdyViolation, Status,
    Streams, Subprotocol, TerminalSize, WriteError, session::ResizeError,
};
use spdy_exec_support::{
    Frame,
    play::{PIPES, Play, SUCCESS, TERMINAL, VERSIONS, accepted, client, close, ended, goaway},
};
use spdy_support::{FIN, data, rst};

// Holds SPE-1, SPE-2, SPE-7.
#[test]
fn a_client_opens_a_stream_for_each_channel_and_sizes_have_one_from_v3_on() {
    for version in VERSIONS {
        let mut play = client(TERMINAL, version);
        let sizes = matches!(version, Subprotocol::V3 | Subprotocol::V4);
        let kinds = ["error", "stdin", "stdout", "resize"].into_iter().take(if sizes { 4 } else { 3 });
        let expected: Vec<Frame> =
            (0..).zip(kinds).map(|(at, kind)| Frame::Open(2 * at + 1, kind.into())).collect();
        assert_eq!(play.written(), expected, "{version}");
        assert_eq!(play.session.can_resize(), sizes);
        let size = play.session.resize(TerminalSize { width: 80, height: 24 });
        assert_eq!(size, if sizes { Ok(()) } else { Err(ResizeError) }, "{version}");
    }
    // A terminal has no stderr of its own.
    let mut play = client(Streams { stderr: true, ..TERMINAL }, Subprotocol::V4);
    assert!(!play.written().contains(&Frame::Open(7, "stderr".into())));
}

// Holds SPE-8.
#[test]
fn a_finished_output_is_at_its_end_and_a_reset_one_may_be_cut_short() {
    let mut play = accepted(Subprotocol::V4);
    play.hear(&data(5, FIN, b"x")).unwrap();
    play.hear(&rst(7, 5)).unwrap();
    let stdout = Output::Stdout;
    let expected = [ClientEvent::Output(stdout, "x".into()), ClientEvent::OutputClosed(stdout)];
    assert_eq!(play.events, expected);
    // Without a status, such an end is none that a v1 to v3 client could take for a good one.
    for version in [Subprotocol::V1, Subprotocol::V2, Subprotocol::V3] {
        let mut play = accepted(version);
        play.hear(&[data(5, FIN, b"x"), rst(7, 5), rst(1, 5), goaway(7, 0)].concat()).unwrap();
        assert_eq!(ended(&play), Some(ClientEvent::Ended(Outcome::EndedWithoutStatus(close(1011)))));
    }
}

// Holds SPE-9, SPE-10.
#[test]
fn a_status_may_come_in_any_number_of_frames_behind_a_reset_or_not() {
    for reset in [true, false] {
        let mut play = accepted(Subprotocol::V4);
        if reset {
            play.hear(&rst(1, 5)).unwrap();
        }
        for byte in SUCCESS.bytes().chain(*b" \n") {
            assert!(play.events.is_empty());
            play.hear(&data(1, 0, &[byte])).unwrap();
        }
        assert_eq!(play.session.write_stdin(b"x"), Err(WriteError::Ended));
        play.eof();
        assert_eq!(play.events, [ClientEvent::Ended(Outcome::Exited(0))]);
    }
    for version in [Subprotocol::V1, Subprotocol::V2, Subprotocol::V3] {
        let mut play = accepted(version);
        play.hear(&[rst(1, 5), data(1, 0, b"exit "), data(1, 0, b"code 7")].concat()).unwrap();
        play.eof();
        let failed = Outcome::Failed(Box::new(Status::from_text("exit code 7")));
        assert_eq!(play.events, [ClientEvent::Ended(failed)]);
    }
}

// Holds SPE-12.
#[test]
fn streams_that_are_open_go_on_behind_a_goaway() {
    let mut play = accepted(Subprotocol::V4);
    play.hear(&goaway(7, 0)).unwrap();
    play.session.write_stdin(b"on").unwrap();
    assert_eq!(play.written(), [Frame::Data(3, b"on".to_vec(), false)]);
    play.hear(&[data(5, FIN, b"on"), data(7, FIN, b"")].concat()).unwrap();
    assert!(!matches!(ended(&play), Some(ClientEvent::Ended(_))));
    play.hear(&data(1, FIN, SUCCESS.as_bytes())).unwrap();
    assert_eq!(ended(&play), Some(ClientEvent::Ended(Outcome::Exited(0))));
    assert_eq!(play.written(), [Frame::GoAway(0, 0)], "the answer");
}

// Holds SPE-12.
#[test]
fn a_server_that_ends_all_streams_and_stays_is_left_after_the_linger_time() {
    for version in VERSIONS {
        for last in [data(1, FIN, b""), rst(1, 5)] {
            let mut play = accepted(version);
            play.hear(&[data(5, FIN, b""), data(7, FIN, b""), last.clone()].concat()).unwrap();
            let waits = play.session.poll_timeout().is_some();
            // The first version resets the error stream at the start: that tells nothing.
            assert_eq!(waits, version != Subprotocol::V1 || last != rst(1, 5), "{version}");
            play.wait(Duration::from_secs(6)).unwrap();
            let over = ended(&play) == Some(ClientEvent::Ended(Outcome::EndedWithoutStatus(None)));
            assert_eq!(over, waits);
        }
    }
}

// Holds SPE-12, EXE-15.
#[test]
fn streams_that_the_server_never_took_are_over() {
    let mut play = client(PIPES, Subprotocol::V4);
    play.hear(&goaway(0, 2)).unwrap();
    assert_eq!(play.events, [ClientEvent::Ended(Outcome::EndedWithoutStatus(close(1011)))]);
}

// Holds SPE-13.
#[test]
fn silence_is_not_success_however_good_the_end() {
    for version in [Subprotocol::V1, Subprotocol::V2, Subprotocol::V3] {
        for end in [data(1, FIN, b""), rst(1, 5)] {
            let mut play = accepted(version);
            play.hear(&[data(5, FIN, b"out"), data(7, FIN, b""), end, goaway(7, 0)].concat()).unwrap();
            let Some(ClientEvent::Ended(outcome)) = ended(&play) else { panic!("{:?}", play.events) };
            assert_eq!(
                outcome,
                Outcome::EndedWithoutStatus(close(1000)),
                "a good end, and no more than that"
            );
            assert!(!outcome.success());
        }
    }
}

// Holds SPE-14.
#[test]
fn a_goaway_is_told_in_the_words_of_a_close_frame() {
    for (status, code) in [(0, 1000), (1, 1002), (2, 1011), (77, 1011)] {
        let mut play = accepted(Subprotocol::V4);
        play.hear(&[data(5, FIN, b""), data(7, FIN, b""), rst(1, 5), goaway(7, status)].concat()).unwrap();
        assert_eq!(ended(&play), Some(ClientEvent::Ended(Outcome::EndedWithoutStatus(close(code)))));
    }
}

// Holds SPE-15.
#[test]
fn a_client_that_leaves_finishes_stdin_and_resets_what_it_read() {
    let mut play = accepted(Subprotocol::V4);
    play.session.write_stdin(b"last words").unwrap();
    play.session.disconnect(play.now);
    let mut written = play.written();
    assert_eq!(written.pop(), Some(Frame::GoAway(0, 0)));
    for frame in [Frame::Data(3, b"last words".to_vec(), true), Frame::Reset(5, 5), Frame::Reset(7, 5)] {
        assert!(written.contains(&frame), "{written:?}");
    }
    assert_eq!(written.len(), 3, "a status that is under way still counts");
    play.hear(&[data(1, 0, SUCCESS.as_bytes()), goaway(7, 0)].concat()).unwrap();
    assert_eq!(play.events, [ClientEvent::Ended(Outcome::Exited(0))]);
}

// Holds SPE-8, EXE-17.
#[test]
fn output_that_breaks_spdy_fails_the_session() {
    let mut play = accepted(Subprotocol::V4);
    play.hear(&data(5, FIN, b"all")).unwrap();
    let error = play.hear(&data(5, 0, b"more")).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Spdy(SpdyViolation::DataAfterFin));
    assert_eq!(play.written().last(), Some(&Frame::GoAway(0, 1)));
    let size = data(1, 0, b"").len();
    assert!(error.offset().is_some_and(|at| at >= size as u64 && at < play.session.bytes_taken()));
}

// Holds SPE-16.
#[test]
fn pings_that_are_not_answered_do_not_pile_up() {
    let mut play = Play::new(|now| {
        ClientSession::client_over_spdy(PIPES, Subprotocol::V4, &SessionConfig::client([1; 32]), now)
    });
    play.session.set_reading(play.now, Reading::Paused);
    play.wait(Duration::from_secs(10 * 3600)).unwrap();
    let pings = play.written().iter().filter(|frame| matches!(frame, Frame::Ping(_))).count();
    assert_eq!(pings, 16);
    play.wait(Duration::from_secs(5)).unwrap();
    assert_eq!(play.written(), [Frame::Ping(33)], "once they went, there is room for the next");
}

// Holds SPE-1.
#[test]
fn a_client_refuses_what_a_server_opens() {
    let mut play = accepted(Subprotocol::V4);
    let frame = play.writer.syn_stream(2, 0, &[("streamtype", "stdin")]);
    play.hear(&frame).unwrap();
    assert_eq!(play.written(), [Frame::Reset(2, 3)]);
    assert!(play.events.is_empty());
}
