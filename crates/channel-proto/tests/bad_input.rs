//! Input that a peer may not send: what error it is, whose fault, where, and which close frame answers it; and that all that
//! came before it counts.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

#[path = "bad_input_support/mod.rs"]
mod fed;
mod recording;

use std::time::Instant;

use channel_proto::{
    ChannelViolation, ErrorKind, Fault, FrameViolation, Message, Role, ServerEvent, ServerSession,
    SessionConfig, Streams, Strictness, Subprotocol,
};
use fed::{ENDS, Setup, v5};
use recording::{
    cut::Cut,
    frames::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT},
};

// Holds WSF-2, WSF-3, WSF-4, WSF-5, WSF-6, WSF-7.
#[test]
fn frames_that_rfc_6455_forbids_are_refused_at_both_ends() {
    for end in ENDS.map(v5) {
        let data = || end.frame(BINARY, "\u{1}x");
        let wrong = if end.role == Role::Client { FrameViolation::Masked } else { FrameViolation::Unmasked };
        end.refuses(&Frame { masked: !data().masked, ..data() }.encode(), wrong);
        for rsv in [1, 2, 4, 7] {
            end.refuses(&Frame { rsv, ..data() }.encode(), FrameViolation::ReservedBits);
        }
        for opcode in (3..8).chain(11..16) {
            end.refuses(&end.frame(opcode, "x").encode(), FrameViolation::ReservedOpcode);
        }
        for opcode in [CLOSE, PING, PONG] {
            end.refuses(&end.frame(opcode, [b'x'; 126]).encode(), FrameViolation::ControlLength);
            end.refuses(&end.frame(opcode, "").unfinished().encode(), FrameViolation::ControlFragmented);
        }
        end.refuses(&end.frame(CONTINUATION, "x").encode(), FrameViolation::StrayContinuation);
    }
}

// Holds WSF-5.
#[test]
fn lengths_in_too_many_bytes_are_refused_under_lax_too() {
    for strictness in [Strictness::Strict, Strictness::Lax] {
        for end in ENDS.map(|role| Setup { strictness, ..v5(role) }) {
            let mask = if end.role == Role::Client { 0 } else { 0x80 };
            let header = |len: &[u8]| [&[0x82, mask | len[0]], &len[1..], &[0; 4]].concat();
            for short in [
                &[126, 0, 125][..],
                &[126, 0, 0],
                &[127, 0, 0, 0, 0, 0, 0, 0, 1],
                &[127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            ] {
                end.refuses(&header(short), FrameViolation::LengthNotMinimal);
            }
            end.refuses(&header(&[127, 0x80, 0, 0, 0, 0, 0, 0, 0]), FrameViolation::LengthSign);
        }
    }
}

// Holds WSF-2, WSF-7.
#[test]
fn lax_lets_neither_masks_nor_a_broken_row_of_fragments_pass() {
    for strictness in [Strictness::Strict, Strictness::Lax] {
        for end in ENDS.map(|role| Setup { strictness, ..v5(role) }) {
            let data = end.frame(BINARY, "\u{9}x");
            let wrong =
                if end.role == Role::Client { FrameViolation::Masked } else { FrameViolation::Unmasked };
            end.refuses(&Frame { masked: !data.masked, ..data.clone() }.encode(), wrong);
            // The fault is at the second frame.
            let (first, hi) = (data.clone().unfinished().encode(), end.hi());
            let fed = end.feed(&[&hi[..], &first, &data.encode()].concat(), Cut::Whole);
            let error = fed.error.unwrap();
            assert_eq!(*error.kind(), FrameViolation::Interrupted.into());
            assert_eq!(error.offset(), Some((hi.len() + first.len()) as u64));
        }
    }
}

// Holds WSF-8.
#[test]
fn close_frames_that_cannot_be_read_are_answered_with_1002() {
    for end in ENDS.map(v5) {
        end.refuses(&end.frame(CLOSE, [3]).encode(), FrameViolation::CloseLength);
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 0xffff_u16] {
            end.refuses(&end.frame(CLOSE, code.to_be_bytes()).encode(), FrameViolation::CloseCode);
        }
        end.refuses(&end.frame(CLOSE, [3, 232, 0xff]).encode(), FrameViolation::CloseReason);
    }
}

// Holds WSF-13, WSF-12.
#[test]
fn a_message_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    for strictness in [Strictness::Strict, Strictness::Lax] {
        for mut end in ENDS.map(|role| Setup { strictness, ..v5(role) }) {
            end.limits.message = 300;
            let message = |len: usize| end.frame(BINARY, vec![u8::from(end.role == Role::Client); len]);
            let limit = ErrorKind::Limit { what: "bytes of one message", limit: 300 };
            assert_eq!(end.takes(&message(300).encode()).data.len(), 2 + 299 + 2);
            end.refuses(&message(301).encode(), limit.clone());
            // The length that is said counts, and not what came.
            end.refuses(&message(70_000).encode()[..14], limit.clone());
            let huge = [
                &[0x82, u8::from(end.role != Role::Client) << 7 | 127],
                &i64::MAX.to_be_bytes()[..],
                &[0; 4],
            ];
            end.refuses(&huge.concat(), limit.clone());
            // Fragments count together.
            let rest = |len| Frame { opcode: CONTINUATION, ..message(len) }.encode();
            end.takes(&[message(200).unfinished().encode(), rest(100)].concat());
            let (hi, first) = (end.hi(), message(200).unfinished().encode());
            let fed = end.feed(&[hi, first, rest(101)].concat(), Cut::Whole);
            assert_eq!((fed.error.unwrap().kind(), fed.data.len()), (&limit, 2 + 199));
        }
    }
}

// Holds WSF-13.
#[test]
fn a_message_over_the_limit_is_refused_over_messages_too() {
    let mut config = SessionConfig::server();
    config.limits.message = 300;
    let (now, streams) = (Instant::now(), Streams { stdin: true, stdout: true, ..Streams::default() });
    let mut session = ServerSession::server_over_messages(streams, Subprotocol::V5, &config, now);
    let message = |len| Message::Binary(vec![0; len].into());
    assert_eq!(session.handle_message(now, message(300)), Ok(None));
    assert_eq!(session.poll_event(), Some(ServerEvent::Stdin(vec![0; 299].into())));
    let error = session.handle_message(now, message(301)).unwrap_err();
    assert_eq!((error.fault(), error.offset()), (Fault::Limit, Some(300)));
    let sent: Vec<Message> = std::iter::from_fn(|| session.poll_message()).collect();
    assert!(matches!(sent.last(), Some(Message::Close(close)) if close.code == Some(1009)), "{sent:?}");
}

// Holds FRM-10, FRM-13, FRM-14.
#[test]
fn close_signals_are_two_bytes_and_name_a_channel_of_0_to_4() {
    for end in ENDS.map(v5) {
        let bads: [&[u8]; 6] = [&[255], &[255, 5], &[255, 9], &[255, 255], &[255, 0, 0], &[255, 4, 255, 4]];
        for bad in bads {
            end.refuses(&end.frame(BINARY, bad).encode(), ChannelViolation::CloseSignal);
        }
        for channel in 3..5 {
            end.takes(&end.frame(BINARY, [255, channel]).encode());
            end.takes(
                &[
                    end.frame(BINARY, [255]).unfinished().encode(),
                    end.frame(CONTINUATION, [channel]).encode(),
                ]
                .concat(),
            );
        }
    }
}

// Holds FRM-7, FRM-6, FRM-5.
#[test]
fn bad_base64_ends_a_client_and_a_server_only_behind_what_is_good() {
    let texts = ["!!!!", "YQ", "_-_-", "YQ==YQ==", "Y===", "YQ=", "="];
    for subprotocol in [Subprotocol::V1Base64, Subprotocol::V4Base64] {
        let [client, server] = ENDS.map(|role| Setup { subprotocol, ..v5(role) });
        for text in texts {
            for channel in ["1", "2", "3", "9"] {
                let bad = client.frame(TEXT, format!("{channel}{text}")).encode();
                client.refuses(&bad, ChannelViolation::Base64);
            }
            assert_eq!(server.takes(&server.frame(TEXT, format!("0{text}")).encode()).data, b"hihi");
            let (hi, behind) = (server.hi(), server.frame(TEXT, format!("0YWJj{text}")).encode());
            for cut in [Cut::Whole, Cut::Every(1), Cut::Random(6)] {
                let fed = server.feed(&[&hi[..], &behind, &hi].concat(), cut);
                let error = fed.error.unwrap_or_else(|| panic!("{text} {cut:?}"));
                assert_eq!(
                    (error.kind(), error.offset()),
                    (&ChannelViolation::Base64.into(), Some(hi.len() as u64))
                );
                assert_eq!(fed.data, b"hiabc", "{text}");
            }
        }
    }
}
