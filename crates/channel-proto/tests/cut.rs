//! Recorded sessions whose connection is lost at every byte: what had arrived is delivered, and nothing is success before the
//! status was whole.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod recording;

use std::time::Instant;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use channel_proto::{
    ClientEvent, ClientSession, Encoding, ErrorKind, HeadViolation, Limits, Outcome, Output, SessionConfig,
    Subprotocol,
    upgrade::{BodyEnd, ClientUpgrade, UpgradeError, UpgradeRequest},
};
use recording::{
    Recording, Sender,
    frames::{self, Frame},
    named, told,
};
use serde_json::json;

const SESSIONS: [&str; 16] = [
    "exec-v5-exit7",
    "exec-v5-killed",
    "exec-v5-not-found",
    "exec-v5-tty-resize",
    "exec-v5-stdout-stderr",
    "exec-v5-stdin-only",
    "exec-v5-close-frame",
    "exec-v5-ping",
    "exec-v5-output-1MiB-64k",
    "exec-v4-background-holds-stdout",
    "exec-v4-base64-stdout-stderr",
    "exec-v4-base64-exit7",
    "exec-v4-base64-output-1MiB-64k",
    "exec-none-exit7",
    "exec-base64-killed",
    "kubectl-attach-ws",
];

/// What came of a stream that ends early.
#[derive(Debug, PartialEq)]
enum Came {
    /// No session.
    Truncated,
    Session {
        stdout: Vec<u8>,
        stderr: Vec<u8>,
        outcome: serde_json::Value,
    },
}

/// Feeds `arrived` and then the end of the stream.
fn play(recording: &Recording, arrived: &[u8]) -> Came {
    let offers = recording.offers.iter().filter_map(|name| Subprotocol::from_name(name));
    let offers: Vec<_> = offers.chain(recording.offers.is_empty().then_some(Subprotocol::Unnamed)).collect();
    let request = UpgradeRequest::new("127.0.0.1", recording.path_and_query.as_str()).offers(offers);
    let key = STANDARD.decode(recording.request_line("Sec-WebSocket-Key").unwrap()).unwrap();
    let mut upgrade = ClientUpgrade::new(&request, key.try_into().unwrap(), &Limits::default()).unwrap();
    let mut input = BytesMut::from(arrived);
    let Some(upgraded) = upgrade.handle_input(&mut input).unwrap() else {
        let UpgradeError::Failed(error) = upgrade.handle_eof() else { panic!("a refusal") };
        assert_eq!(*error.kind(), ErrorKind::Head(HeadViolation::Truncated));
        return Came::Truncated;
    };
    let (now, streams) = (Instant::now(), recording.pod().unwrap().streams);
    let config = SessionConfig::client([1; 32]);
    let mut session = ClientSession::client(streams, upgraded.subprotocol, &config, now);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        session.handle_input(now, &mut input).unwrap();
        let event = match session.poll_event() {
            Some(event) => event,
            None => {
                session.handle_eof();
                session.poll_event().unwrap()
            }
        };
        match event {
            ClientEvent::Output(Output::Stdout, bytes) => stdout.extend_from_slice(&bytes),
            ClientEvent::Output(Output::Stderr, bytes) => stderr.extend_from_slice(&bytes),
            ClientEvent::Ended(outcome) => {
                assert_eq!(outcome.success(), outcome == Outcome::Exited(0));
                return Came::Session { stdout, stderr, outcome: told(&outcome) };
            }
            _ => {}
        }
    }
}

/// The same, worked out from the frames: what of each frame lies before `cut`.
fn expect(recording: &Recording, frames: &[Frame], cut: usize) -> Came {
    let Some(mut left) = cut.checked_sub(recording.response.len()) else { return Came::Truncated };
    let mut outputs = [const { Vec::new() }; 4];
    let mut status = None;
    let mut close = json!({ "close": null });
    for frame in frames {
        let len = frame.encode().len();
        let header = len - frame.payload.len();
        let payload = &frame.payload[..left.saturating_sub(header).min(frame.payload.len())];
        let whole = left >= len;
        if frame.opcode == frames::CLOSE && whole {
            close = json!({ "close": frame.close().0, "reason": "" });
        }
        if let (true, Some((&channel, payload))) = (frame.opcode < frames::CLOSE, payload.split_first()) {
            match recording.subprotocol().encoding() {
                Encoding::Base64 => {
                    let groups = if whole { payload } else { &payload[..payload.len() / 4 * 4] };
                    let padded = !whole && groups.ends_with(b"=");
                    let sure = &groups[..groups.len() - if padded { 4 } else { 0 }];
                    outputs[usize::from(channel - b'0')].extend(STANDARD.decode(sure).unwrap());
                }
                _ => outputs[usize::from(channel)].extend_from_slice(payload),
            }
            if channel & 0x0f == 3 && whole && frame.payload.len() > 1 {
                status = Some(recording.outcome());
            }
        }
        left = left.saturating_sub(len);
    }
    let [_, stdout, stderr, _] = outputs;
    Came::Session { stdout, stderr, outcome: status.unwrap_or(close) }
}

// Holds EXE-15, EXE-17, EXE-14, EXE-16, EXE-18, UPG-16, WSF-12.
#[test]
fn a_connection_lost_at_any_byte_gives_what_had_arrived_and_no_success() {
    let mut cuts = 0;
    for name in SESSIONS {
        let recording = named(name);
        let mut frames: Vec<Frame> = recording.sent_by(Sender::Server).cloned().collect();
        shorten(&mut frames, recording.subprotocol().encoding());
        let stream = frames.iter().flat_map(Frame::encode);
        let stream: Vec<u8> = recording.response.iter().copied().chain(stream).collect();
        let end = play(&recording, &stream);
        for cut in 0..=stream.len() {
            let came = play(&recording, &stream[..cut]);
            assert_eq!(came, expect(&recording, &frames, cut), "{name} cut at {cut} of {}", stream.len());
            cuts += 1;
        }
        let Came::Session { outcome, .. } = end else { panic!("{name}: no session") };
        assert_eq!(outcome, recording.outcome(), "{name}");
    }
    assert_eq!(cuts, 10_554);
}

/// Outputs of a MiB, with the first two and the last messages, and of these the beginning.
fn shorten(frames: &mut Vec<Frame>, encoding: Encoding) {
    let status_and_close = frames.len() - 2;
    if frames.len() > 40 {
        frames.drain(4..status_and_close);
    }
    for frame in frames.iter_mut().filter(|frame| frame.payload.len() > 4096) {
        frame.payload.truncate(if encoding == Encoding::Base64 { 1 + 200 * 4 } else { 1 + 700 });
    }
}

// Holds UPG-17, UPG-18.
#[test]
fn a_refusal_lost_at_any_byte_is_never_a_session_and_says_whether_it_is_whole() {
    for name in [
        "exec-v5-forbidden",
        "exec-negotiate-no-key-v5",
        "exec-negotiate-unknown-only",
        "attach-v5-no-streams",
    ] {
        let recording = named(name);
        let head = recording.response.len() - recording.body.len();
        for cut in 0..=recording.response.len() {
            let request = UpgradeRequest::new("127.0.0.1", "/");
            let mut upgrade = ClientUpgrade::new(&request, [0; 16], &Limits::default()).unwrap();
            let mut input = BytesMut::from(&recording.response[..cut]);
            let error = upgrade.handle_input(&mut input).map(|none| assert!(none.is_none())).err();
            match error.unwrap_or_else(|| upgrade.handle_eof()) {
                UpgradeError::Failed(error) => {
                    assert_eq!(*error.kind(), ErrorKind::Head(HeadViolation::Truncated));
                    assert!(cut < head, "{name} cut at {cut}");
                }
                UpgradeError::Refused(refusal) => {
                    assert_eq!(
                        (refusal.status.as_u16(), &refusal.body[..]),
                        (recording.status, &recording.response[head..cut])
                    );
                    // Where the body ends with the connection nobody can tell.
                    let told = recording.response_line("Content-Length").is_some();
                    let end =
                        if told && cut < recording.response.len() { BodyEnd::Cut } else { BodyEnd::Complete };
                    assert_eq!(refusal.body_end, end, "{name} cut at {cut}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
