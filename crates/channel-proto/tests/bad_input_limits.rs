//! Input that is too much: the caps of `Limits`, and statuses and sizes that cannot be used.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

#[path = "bad_input_support/mod.rs"]
mod fed;
mod recording;

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, BytesMut};
use channel_proto::{
    ChannelViolation, ClientEvent, ClientSession, ErrorKind, Outcome, Role, ServerSession, SessionConfig,
    Streams, Subprotocol,
};
use fed::{ENDS, Setup, v5};
use recording::{
    cut::Cut,
    frames::{BINARY, CONTINUATION, Frame, PING, PONG, TEXT, decode},
};

const SUCCESS: &str = r#"{"metadata":{},"status":"Success"}"#;

/// A message on the status channel.
fn status(subprotocol: Subprotocol, text: &str) -> Frame {
    match subprotocol {
        Subprotocol::V4Base64 | Subprotocol::V1Base64 => {
            Frame::from_server(TEXT, format!("3{}", STANDARD.encode(text)))
        }
        _ => Frame::from_server(BINARY, format!("\x03{text}")),
    }
}

fn client(subprotocol: Subprotocol) -> Setup {
    Setup { subprotocol, ..v5(Role::Client) }
}

// Holds EXE-13, EXE-14.
#[test]
fn a_status_that_is_not_a_status_in_json_is_refused() {
    for subprotocol in [Subprotocol::V4, Subprotocol::V4Base64, Subprotocol::V5] {
        let texts = [
            "banana",
            "null",
            "0",
            "[]",
            r#"[{},"Success"]"#,
            r#""Success""#,
            r#"{"status":1}"#,
            r#"{"metadata":{},"status":"Success"}x"#,
            r#"{"status":"Success","status":"Failure"}"#,
            "{\"status\":\"\x01\"}",
        ];
        for text in texts {
            client(subprotocol).refuses(&status(subprotocol, text).encode(), ChannelViolation::StatusNotJson);
        }
    }
    let not_utf8 = Frame::from_server(BINARY, b"\x03{\"status\":\"\xff\"}").encode();
    client(Subprotocol::V5).refuses(&not_utf8, ChannelViolation::StatusNotJson);
}

// Holds EXE-13, EXE-17.
#[test]
fn a_second_status_is_refused_where_it_begins() {
    for subprotocol in [Subprotocol::V4, Subprotocol::V4Base64, Subprotocol::V5] {
        let (setup, one) = (client(subprotocol), status(subprotocol, SUCCESS).encode());
        let (hi, second) = (setup.hi(), status(subprotocol, SUCCESS).encode());
        for cut in [Cut::Whole, Cut::Every(1)] {
            let fed = setup.feed(&[&hi[..], &one, &hi, &second].concat(), cut);
            let error = fed.error.unwrap();
            assert_eq!(*error.kind(), ChannelViolation::StatusTwice.into());
            assert_eq!(error.offset(), Some((2 * hi.len() + one.len()) as u64));
            assert_eq!(fed.data, b"hihi", "output behind the status is output");
        }
    }
}

// Holds EXE-9, EXE-13.
#[test]
fn a_status_over_the_limit_is_refused_in_one_message_and_in_many() {
    for subprotocol in [Subprotocol::V5, Subprotocol::V4Base64, Subprotocol::V1, Subprotocol::V1Base64] {
        let mut setup = client(subprotocol);
        setup.limits.status = 60;
        let limit = ErrorKind::Limit { what: "bytes of the status", limit: 60 };
        let json = |len: usize| format!("{{{}", " ".repeat(len - 1));
        assert_eq!(setup.takes(&status(subprotocol, &json(60)).encode()).data, b"hihi");
        setup.refuses(&status(subprotocol, &json(61)).encode(), limit.clone());
        setup.refuses(&status(subprotocol, &json(10_000)).encode(), limit.clone());
        let parts = [json(40), " ".repeat(21)].map(|part| status(subprotocol, &part).encode());
        assert_eq!(setup.feed(&parts.concat(), Cut::Every(1)).error.unwrap().kind(), &limit);
    }
}

/// How a session of a client ends after `stream` and its end.
fn outcome(subprotocol: Subprotocol, stream: &[u8]) -> Outcome {
    let (now, streams) = (Instant::now(), Streams { stdout: true, ..Streams::default() });
    let mut session = ClientSession::client(streams, subprotocol, &SessionConfig::client([9; 32]), now);
    let mut input = BytesMut::from(stream);
    let mut events = Vec::new();
    for _ in 0..9 {
        session.handle_input(now, &mut input).unwrap();
        events.extend(session.poll_event());
    }
    session.handle_eof();
    match session.poll_event() {
        Some(ClientEvent::Ended(outcome)) => outcome,
        other => panic!("{events:?}, then {other:?}"),
    }
}

// Holds EXE-9, EXE-15, EXE-16, FRM-16.
#[test]
fn what_is_no_whole_status_is_no_status() {
    use Subprotocol::{V1, V1Base64, V4Base64, V5};
    let raw = |text: &str| Frame::from_server(TEXT, text).encode();
    let nothing = [
        outcome(V1, &status(V1, "").encode()),
        outcome(V1, &status(V1, "tex").unfinished().encode()),
        outcome(V1Base64, &raw("3")),
        outcome(V1Base64, &raw("3\r\n")),
        outcome(V4Base64, &raw("3\n")),
        outcome(V5, &status(V5, " \n").encode()),
        outcome(V5, &status(V5, &SUCCESS[..30]).encode()),
        outcome(V5, &status(V5, SUCCESS).unfinished().encode()),
    ];
    assert_eq!(nothing, [const { Outcome::EndedWithoutStatus(None) }; 8]);
    // In the v1 forms all of it is one text, and in JSON it may come in parts.
    let parts = |subprotocol, parts: [&str; 2]| {
        outcome(subprotocol, &parts.map(|part| status(subprotocol, part).encode()).concat())
    };
    assert!(matches!(parts(V1, ["some", "how"]), Outcome::Failed(status) if status.message == "somehow"));
    assert_eq!(parts(V5, [&SUCCESS[..30], &SUCCESS[30..]]), Outcome::Exited(0));
}

// Holds EXE-6, EXE-7.
#[test]
fn sizes_up_to_the_limit_are_read_and_longer_ones_dropped_in_any_cut() {
    let mut server = v5(Role::Server);
    server.limits.resize = 100;
    let resize = |text: &str| server.frame(BINARY, format!("\x04{text}")).encode();
    let padded = |len: usize| {
        let size = r#"{"Width":9,"Height":8,"x":""#;
        resize(&format!("{size}{}\"}}", "y".repeat(len - size.len() - 2)))
    };
    let good = resize(r#"{"Width":5,"Height":4}"#);
    let read = |frames: &[&[u8]]| -> Vec<(u16, u16)> {
        server.takes(&frames.concat()).sizes.iter().map(|size| (size.width, size.height)).collect()
    };
    assert_eq!(read(&[&padded(100)]), [(9, 8)]);
    assert_eq!(read(&[&padded(99), &padded(100)]), [(9, 8), (9, 8)]);
    for long in [101, 102, 199, 200, 201, 5000] {
        assert!(read(&[&padded(long)]).is_empty(), "{long}");
        assert_eq!(read(&[&padded(long), &good]), [(5, 4)], "{long}");
    }
    for bad in ["banana", "[]", r#"{"Width":70000,"Height":1}"#, r#"{"Width":-1,"Height":1}"#, "\x7f"] {
        assert_eq!(read(&[&resize(bad), &good]), [(5, 4)], "{bad}");
    }
}

/// Frames that carry nothing, to this end.
fn free_frames(end: &Setup) -> Vec<Frame> {
    let mut frames = vec![
        end.frame(BINARY, ""),
        end.frame(TEXT, ""),
        end.frame(PING, "x"),
        end.frame(PONG, ""),
        end.frame(BINARY, [9]),
        end.frame(BINARY, [9, 9]),
        end.frame(BINARY, [254, 0, 0]),
        end.frame(BINARY, [255, 3]),
    ];
    if end.role == Role::Server {
        // What is the server's to send, and sizes that are none.
        let to_server = [&[0][..], &[1, 7], &[2, 7], &[3, 7], &[4, b'x'], &[255, 1], &[255, 4]];
        frames.extend(to_server.map(|payload| end.frame(BINARY, payload)));
    } else {
        frames.extend([end.frame(BINARY, [0, 7]), end.frame(BINARY, [4, 7])]);
    }
    frames
}

// Holds FRM-15, FRM-16, FRM-11.
#[test]
fn frames_that_carry_nothing_are_counted_alike_in_any_cut() {
    for mut end in ENDS.map(v5) {
        end.limits.free_frames = 50;
        let limit = ErrorKind::Limit { what: "frames a second that carry nothing", limit: 50 };
        let over = |frames: Vec<u8>, more: &[u8]| {
            let at = frames.len() as u64;
            for cut in [Cut::Whole, Cut::Every(1), Cut::Random(8)] {
                assert_eq!(end.feed(&frames, cut).error, None, "{more:?}");
                let fed = end.feed(&[&frames, more].concat(), cut);
                let error = fed.error.unwrap_or_else(|| panic!("{more:?}"));
                assert_eq!((error.kind(), error.offset()), (&limit, Some(at)), "{more:?}");
            }
        };
        // A client is told of its first bare message, which is not free; so are all others counted behind one.
        let first = end.frame(BINARY, [9]).encode();
        let counted = if end.role == Role::Client { 50 } else { 49 };
        for frame in free_frames(&end) {
            let frame = frame.encode();
            over([first.clone(), frame.repeat(counted)].concat(), &frame);
        }
        // Empty fragments, before the channel byte and behind it.
        let fragment = Frame { opcode: CONTINUATION, ..end.frame(BINARY, "") }.unfinished().encode();
        over([end.frame(BINARY, "").unfinished().encode(), fragment.repeat(49)].concat(), &fragment);
        for channel in [0, 1, 9] {
            over(
                [end.frame(BINARY, [channel]).unfinished().encode(), fragment.repeat(50)].concat(),
                &fragment,
            );
        }
    }
}

// Holds FRM-5.
#[test]
fn dropped_base64_is_counted() {
    let mut server = Setup { subprotocol: Subprotocol::V4Base64, ..v5(Role::Server) };
    server.limits.free_frames = 50;
    let bad = server.frame(TEXT, "0!!!!").encode();
    for cut in [Cut::Whole, Cut::Every(1)] {
        assert_eq!(server.feed(&bad.repeat(50), cut).error, None);
        assert!(server.feed(&bad.repeat(51), cut).error.is_some());
    }
}

// Holds WSF-16.
#[test]
fn free_frames_are_counted_by_the_second() {
    let mut config = SessionConfig::server();
    config.limits.free_frames = 50;
    let (begin, streams) = (Instant::now(), Streams { stdin: true, stdout: true, ..Streams::default() });
    let mut session = ServerSession::server(streams, Subprotocol::V5, &config, begin);
    let pings = Frame::from_client(PING, "").encode().repeat(50);
    for second in 0..20 {
        let now = begin + Duration::from_secs(second);
        assert_eq!(session.handle_input(now, &mut BytesMut::from(&pings[..])), Ok(()), "{second}");
    }
}

// Holds WSF-16.
#[test]
fn of_pings_to_a_peer_that_does_not_read_the_newest_is_answered_and_little_kept() {
    let mut config = SessionConfig::server();
    (config.limits.transmit, config.limits.free_frames) = (1000, u32::MAX);
    let (now, streams) = (Instant::now(), Streams { stdin: true, stdout: true, ..Streams::default() });
    let mut session = ServerSession::server(streams, Subprotocol::V5, &config, now);
    let ping = |session: &mut ServerSession, number: u32| {
        let frame = Frame::from_client(PING, number.to_be_bytes().repeat(20)).encode();
        session.handle_input(now, &mut BytesMut::from(&frame[..])).unwrap();
    };
    let read = |session: &mut ServerSession| {
        let transmit = session.transmit().unwrap();
        let frames = decode(&transmit.copy_to_bytes(transmit.remaining())).into_iter();
        let pongs = frames.filter(|frame| frame.opcode == PONG);
        pongs.map(|pong| u32::from_be_bytes(pong.payload[..4].try_into().unwrap())).collect::<Vec<u32>>()
    };
    for number in 0..5000 {
        ping(&mut session, number);
        assert!(session.transmit().unwrap().remaining() < 1000 + 2 + 125, "after {number}");
    }
    let first = read(&mut session);
    assert!(first.is_sorted() && first.len() < 20, "{first:?}");
    // There is room now: an older ping needs no answer behind a newer one.
    ping(&mut session, 5000);
    assert_eq!(read(&mut session), [5000]);
    assert!(read(&mut session).is_empty());
    // And with nothing newer the newest of before is answered.
    (0..5000).for_each(|number| ping(&mut session, number));
    read(&mut session);
    assert_eq!(read(&mut session), [4999]);
}
