//! How a command's end arrives.

use channel_proto::{CloseReason, ErrorKind, Outcome, Output, Status, StatusForm, Subprotocol};

use crate::harness::{ALL, Entry, Pair, Setup, setups};

const JSON: [Subprotocol; 3] = [Subprotocol::V4, Subprotocol::V4Base64, Subprotocol::V5];
const TEXT: [Subprotocol; 5] =
    [Subprotocol::Unnamed, Subprotocol::V1, Subprotocol::V1Base64, Subprotocol::V2, Subprotocol::V3];

/// Runs a session to its end by this outcome; some output comes before it.
fn finished(setup: &Setup, outcome: &Outcome) -> Pair {
    let mut pair = setup.start();
    pair.server.session.write_output(Output::Stdout, &[b'x'; 9000]).unwrap();
    pair.server.session.finish(pair.now, outcome);
    pair.server.session.finish(pair.now, &Outcome::Exited(99)); // Too late, and harmless.
    pair.drive_bounded();
    assert_eq!(pair.stdout.len(), 9000, "all output comes before the end");
    pair
}

fn close_1000() -> Option<CloseReason> {
    Some(CloseReason { code: Some(1000), reason: "".into() })
}

// Holds EXE-10, EXE-12, EXE-14, SPE-9.
#[test]
fn exit_codes_arrive_as_they_are() {
    for setup in setups(&JSON) {
        for code in [0, 1, 7, 126, 137, 255, 256, -1, i32::MAX, i32::MIN] {
            let pair = finished(&setup, &Outcome::Exited(code));
            assert_eq!(pair.outcome(), Some(&Outcome::Exited(code)));
            assert_eq!(pair.outcome().map(Outcome::success), Some(code == 0));
        }
    }
}

// Holds EXE-11, ATT-3.
#[test]
fn a_command_that_cannot_start_is_failed() {
    for setup in setups(&JSON) {
        let status = Status::internal_error("exec: \"nope\": not found");
        let pair = finished(&setup, &Outcome::Failed(Box::new(status.clone())));
        let Some(Outcome::Failed(failed)) = pair.outcome() else { panic!("{:?}", pair.outcome()) };
        assert_eq!((&**failed, failed.reason.as_str(), failed.code), (&status, "InternalError", Some(500)));
    }
}

// Holds EXE-9, EXE-11, SPE-9.
#[test]
fn in_the_v1_forms_a_failure_is_a_text() {
    for setup in setups(&TEXT) {
        let pair = finished(&setup, &Outcome::Exited(7));
        let Some(Outcome::Failed(status)) = pair.outcome() else { panic!("{:?}", pair.outcome()) };
        assert!(status.message.contains("exit code 7"), "{}", status.message);
        let pair = finished(&setup, &Outcome::Failed(Box::new(Status::from_text("no such thing"))));
        let Some(Outcome::Failed(status)) = pair.outcome() else { panic!("{:?}", pair.outcome()) };
        assert_eq!(status.message, "no such thing");
    }
}

// Holds EXE-9, EXE-16, SPE-13.
#[test]
fn in_the_v1_forms_success_is_silent_and_so_not_known() {
    for setup in setups(&TEXT) {
        let pair = finished(&setup, &Outcome::Exited(0));
        assert_eq!(pair.outcome(), Some(&Outcome::EndedWithoutStatus(close_1000())));
    }
}

// Holds EXE-9.
#[test]
fn in_the_v1_forms_all_of_channel_3_is_one_text() {
    for setup in setups(&[Subprotocol::V1]) {
        let mut pair = setup.start();
        pair.drive_bounded();
        for message in [b"\x03exit ", b"\x03code "] {
            pair.inject_to_client(message);
            pair.drive_bounded();
        }
        pair.server.session.finish(pair.now, &Outcome::Exited(0));
        pair.drive_bounded();
        assert_eq!(pair.outcome(), Some(&Outcome::Failed(Box::new(Status::from_text("exit code ")))));
    }
}

// Holds EXE-15.
#[test]
fn an_end_without_a_status_is_never_success() {
    for setup in setups(&ALL) {
        let pair = finished(&setup, &Outcome::EndedWithoutStatus(None));
        assert_eq!(pair.outcome(), Some(&Outcome::EndedWithoutStatus(close_1000())));
        assert!(!pair.outcome().unwrap().success());
    }
}

// Holds EXE-13.
#[test]
fn a_second_status_or_none_in_json_fails_the_session() {
    for setup in setups(&[Subprotocol::V4, Subprotocol::V5]) {
        assert_eq!(setup.subprotocol.status_form(), StatusForm::Json);
        let good = &b"\x03{\"status\":\"Success\"}"[..];
        for messages in
            [&[&b"\x03banana"[..]][..], &[b"\x03[1]"], &[b"\x03{}{}"], &[good, good], &[good, b"\x03 "]]
        {
            // Over SPDY white space between objects is nothing.
            if setup.entry == Entry::Spdy && messages.ends_with(&[b"\x03 "]) {
                continue;
            }
            let mut pair = setup.start();
            pair.drive_bounded();
            for message in messages {
                pair.inject_to_client(message);
                pair.drive_bounded();
            }
            let error = pair.client.error.as_ref().unwrap();
            assert!(matches!(error.kind(), ErrorKind::Channel(_)), "{error}");
            assert_eq!(pair.outcome(), None, "an error is no outcome");
        }
    }
}

// Holds EXE-13, EXE-15.
#[test]
fn a_status_may_come_in_several_messages_and_counts_once_it_is_whole() {
    for setup in setups(&[Subprotocol::V4, Subprotocol::V5]) {
        for (rest, expected) in
            [("\x03\"Success\"}", Outcome::Exited(0)), ("", Outcome::EndedWithoutStatus(None))]
        {
            let mut pair = setup.start();
            pair.drive_bounded();
            for message in ["\x03{\"status\":", rest] {
                pair.inject_to_client(message.as_bytes());
                pair.drive_bounded();
            }
            pair.cut();
            pair.drive_bounded();
            assert_eq!(pair.outcome(), Some(&expected));
        }
    }
}

// Holds EXE-10, EXE-14.
#[test]
fn a_status_without_a_code_that_can_be_read_is_failed() {
    for setup in setups(&[Subprotocol::V5]) {
        for cause in
            ["{}", r#"{"reason":"ExitCode","message":"x"}"#, r#"{"reason":"ExitCode","message":"0"}"#]
        {
            let mut pair = setup.start();
            pair.drive_bounded();
            let status = format!(
                "\x03{{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"details\":{{\"causes\":[{cause}]}}}}"
            );
            pair.inject_to_client(status.as_bytes());
            pair.drive_bounded();
            pair.cut();
            pair.drive_bounded();
            assert!(matches!(pair.outcome(), Some(Outcome::Failed(_))), "{:?}", pair.outcome());
        }
    }
}
