//! Every recorded exec and attach over WebSocket, of the API server, a kubelet and a container runtime, replayed to our client: the
//! response and the frames of the real server go in, and the outputs, the outcome and the answer to the close frame are those that
//! the recording itself shows.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod recording;

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, BytesMut};
use channel_proto::{
    ClientEvent, ClientSession, CloseReason, Encoding, Limits, Message, Outcome, Output, SessionConfig,
    Streams, Subprotocol, TerminalSize,
    upgrade::{BodyEnd, ClientUpgrade, Fallback, Refusal, UpgradeError, UpgradeRequest, Upgraded},
};
use recording::{
    Recording, Sender, all,
    cut::Cut,
    frames::{self, Frame, decode},
    told,
};
use serde_json::Value;

/// Streams beyond this are fed by 13 bytes in the place of byte by byte.
const LONG: usize = 256 << 10;

/// What came of a recording.
#[derive(PartialEq)]
struct Played {
    /// Adjacent pieces of one output are one.
    outputs: Vec<(Output, Vec<u8>)>,
    connected: usize,
    ended: Option<Outcome>,
    /// What our client sent.
    sent: Vec<Frame>,
}

impl Played {
    fn of(events: Vec<ClientEvent>, sent: Vec<Frame>) -> Self {
        let mut played = Self { outputs: Vec::new(), connected: 0, ended: None, sent };
        for event in events {
            assert!(played.ended.is_none(), "an event after the last");
            match event {
                ClientEvent::Connected => played.connected += 1,
                ClientEvent::Output(output, bytes) => match played.outputs.last_mut() {
                    Some((last, joined)) if *last == output => joined.extend_from_slice(&bytes),
                    _ => played.outputs.push((output, bytes.to_vec())),
                },
                ClientEvent::Ended(outcome) => played.ended = Some(outcome),
                other => panic!("unexpected {other:?}"),
            }
        }
        played
    }

    fn output(&self, output: Output) -> Vec<u8> {
        let pieces = self.outputs.iter().filter(|piece| piece.0 == output);
        pieces.flat_map(|piece| &piece.1).copied().collect()
    }
}

fn upgrade(recording: &Recording, cut: Cut, follows: &[u8]) -> Result<(Upgraded, Vec<u8>), UpgradeError> {
    let mut offers: Vec<_> =
        recording.offers.iter().filter_map(|name| Subprotocol::from_name(name)).collect();
    if recording.offers.is_empty() {
        offers.push(Subprotocol::Unnamed);
    }
    let request = UpgradeRequest::new("127.0.0.1", recording.path_and_query.as_str()).offers(offers);
    let key = recording.request_line("Sec-WebSocket-Key").unwrap_or("dGhlIHNhbXBsZSBub25jZQ==");
    let nonce = STANDARD.decode(key).unwrap().try_into().unwrap();
    let mut client = ClientUpgrade::new(&request, nonce, &Limits::default()).unwrap();
    let head = String::from_utf8(client.transmit().to_vec()).unwrap();
    assert!(head.contains(&format!("Sec-WebSocket-Key: {key}\r\n")));

    let stream = [&recording.response, follows].concat();
    let (mut input, mut pieces) = (BytesMut::new(), cut.pieces(&stream));
    for piece in pieces.by_ref() {
        input.extend_from_slice(piece);
        if let Some(upgraded) = client.handle_input(&mut input)? {
            pieces.for_each(|piece| input.extend_from_slice(piece));
            return Ok((upgraded, input.to_vec()));
        }
    }
    Err(client.handle_eof())
}

fn client(recording: &Recording) -> (Streams, SessionConfig) {
    (recording.pod().unwrap().streams, SessionConfig::client([7; 32]))
}

/// Feeds `stream`, then its end.
fn play(recording: &Recording, subprotocol: Subprotocol, stream: &[u8], cut: Cut) -> Played {
    let ((streams, config), now) = (client(recording), Instant::now());
    let mut session = ClientSession::client(streams, subprotocol, &config, now);
    let (mut input, mut events) = (BytesMut::new(), Vec::new());
    for piece in cut.pieces(stream) {
        input.extend_from_slice(piece);
        take_events(&mut session, now, &mut input, &mut events);
    }
    assert!(input.is_empty());
    session.handle_eof();
    events.extend(std::iter::from_fn(|| session.poll_event()));
    assert!(session.is_ended());
    Played::of(events, sent(&mut session))
}

fn take_events(
    session: &mut ClientSession,
    now: Instant,
    input: &mut BytesMut,
    events: &mut Vec<ClientEvent>,
) {
    loop {
        session.handle_input(now, input).unwrap();
        let before = events.len();
        events.extend(std::iter::from_fn(|| session.poll_event()));
        if events.len() == before {
            return;
        }
    }
}

fn sent(session: &mut ClientSession) -> Vec<Frame> {
    let transmit = session.transmit().unwrap();
    decode(&transmit.copy_to_bytes(transmit.remaining()))
}

/// The same through the entry for whole messages.
fn play_messages(recording: &Recording, subprotocol: Subprotocol) -> Played {
    let ((streams, config), now) = (client(recording), Instant::now());
    let mut session = ClientSession::client_over_messages(streams, subprotocol, &config, now);
    let mut events = Vec::new();
    for frame in recording.sent_by(Sender::Server) {
        let payload = frame.payload.clone();
        let message = match frame.opcode {
            frames::TEXT => Message::Text(payload),
            frames::BINARY => Message::Binary(payload),
            frames::PONG => Message::Pong(payload),
            frames::CLOSE => {
                let (code, reason) = frame.close();
                Message::Close(CloseReason { code: Some(code), reason: reason.into() })
            }
            other => panic!("opcode {other}"),
        };
        assert_eq!(session.handle_message(now, message), Ok(None));
        events.extend(std::iter::from_fn(|| session.poll_event()));
    }
    session.handle_eof();
    events.extend(std::iter::from_fn(|| session.poll_event()));
    assert_eq!(session.poll_message(), None, "answering is the library's");
    Played::of(events, Vec::new())
}

fn replay(recording: &Recording) {
    let name = &recording.name;
    let stream: Vec<u8> = recording.sent_by(Sender::Server).flat_map(Frame::encode).collect();
    let follows = &stream[..stream.len().min(100)];
    let small = if stream.len() > LONG { 13 } else { 1 };
    for cut in [Cut::Whole, Cut::Every(1), Cut::Random(3)] {
        let (upgraded, rest) = upgrade(recording, cut, follows).unwrap();
        assert_eq!(upgraded.subprotocol.name(), recording.chosen, "{name}");
        assert_eq!(rest, follows, "{name}: what follows the head is the session's");
    }
    let subprotocol = recording.subprotocol();
    let played = play(recording, subprotocol, &stream, Cut::Whole);
    check(recording, &played);
    for cut in [Cut::Every(small), Cut::Random(7), Cut::Random(1 << 40)] {
        assert!(play(recording, subprotocol, &stream, cut) == played, "{name}: {cut:?}");
    }
    let over_messages = Played { sent: played.sent.clone(), ..play_messages(recording, subprotocol) };
    assert!(over_messages == played, "{name}: over messages");
}

fn check(recording: &Recording, played: &Played) {
    let name = &recording.name;
    assert_eq!(told(played.ended.as_ref().unwrap()), recording.outcome(), "{name}");
    assert_eq!(played.ended.as_ref().unwrap().success(), recording.outcome()["exited"] == 0, "{name}");
    assert!(played.output(Output::Stdout) == recording.output(1), "{name}: stdout");
    assert!(played.output(Output::Stderr) == recording.output(2), "{name}: stderr");
    assert_eq!(played.connected, 1, "{name}: the first message");
    let close = Frame { masked: true, ..Frame::from_server(frames::CLOSE, 1000_u16.to_be_bytes()) };
    let answer: Vec<Frame> = recording.server_frames().1.map(|_| close).into_iter().collect();
    assert_eq!(played.sent, answer, "{name}");
}

fn refuse(recording: &Recording) {
    let name = &recording.name;
    for cut in [Cut::Whole, Cut::Every(1), Cut::Random(5)] {
        let Err(UpgradeError::Refused(refusal)) = upgrade(recording, cut, b"") else {
            panic!("{name} is a refusal")
        };
        assert_eq!(refusal.status.as_u16(), recording.status, "{name}");
        assert_eq!((&refusal.body[..], refusal.body_end), (&recording.body[..], BodyEnd::Complete), "{name}");
        let told = refusal.status_object().map(|status| serde_json::to_value(status).unwrap());
        let json: Option<Value> = serde_json::from_slice(&recording.body).ok();
        let text = String::from_utf8(recording.body.clone()).unwrap();
        match (told, json) {
            (Some(told), Some(json)) => {
                let fields = ["status", "message", "reason", "code", "details"];
                assert!(fields.iter().all(|field| told.get(field) == json.get(field)), "{name}: {told}");
                assert_eq!(refusal.message(), json["message"].as_str().unwrap(), "{name}");
            }
            (None, None) => assert_eq!(refusal.message(), text.trim(), "{name}"),
            _ => panic!("{name}: JSON or not"),
        }
        assert_eq!(refusal.fallback().is_some(), another_attempt(recording, &refusal), "{name}");
        if refusal.fallback() == Some(Fallback::OlderSubprotocol) {
            assert_eq!(recording.offers, ["v5.channel.k8s.io"], "{name}");
        }
    }
}

/// UPG-19, word by word.
fn another_attempt(recording: &Recording, refusal: &Refusal) -> bool {
    let only_v5 = refusal.offered == [Subprotocol::V5];
    let is_status = recording.body.starts_with(b"{");
    recording.status == 403 && recording.body.is_empty()
        || matches!(recording.status, 400 | 403) && !is_status && only_v5
}

// Holds UPG-9, UPG-14, UPG-15, UPG-16, UPG-17, UPG-18, UPG-19, WSF-9, WSF-12, WSF-14, WSF-15, FRM-1, FRM-3, FRM-8, FRM-16, EXE-1,
// EXE-9, EXE-10, EXE-11, EXE-14, EXE-15, EXE-16, EXE-17, EXE-18, ATT-2, ATT-3.
#[test]
fn every_recording_ends_as_it_did() {
    let (mut sessions, mut refusals) = (0, 0);
    for recording in all() {
        if recording.status == 101 {
            replay(&recording);
            sessions += 1;
        } else {
            refuse(&recording);
            refusals += 1;
        }
    }
    assert_eq!((sessions, refusals), (246, 53));
    assert_eq!(sessions + refusals, recording::COUNT);
}

/// What the application told the recorded client to do, if ours can be told the same.
enum Command {
    Write(Vec<u8>),
    CloseStdin,
    Resize(TerminalSize),
    Disconnect,
    /// Nobody told it to: time passed.
    Ping,
}

impl Command {
    fn behind(recording: &Recording, frame: &Frame) -> Option<Self> {
        let json = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
        let as_ours = Frame { opcode: frame.opcode, ..Frame::from_client(0, &frame.payload) } == *frame;
        let wrapped = data_opcode(recording) == frames::TEXT && frame.payload.contains(&b'\n');
        Some(match (frame.opcode, recording.split(frame)) {
            _ if !as_ours || wrapped => return None,
            (frames::PING, _) if frame.payload.is_empty() => Self::Ping,
            (frames::CLOSE, _) if frame.payload[..] == [3, 232] => Self::Disconnect,
            (opcode, Some((channel, payload))) if opcode == data_opcode(recording) => {
                match (channel, &payload[..]) {
                    (0, [_, ..]) if payload.len() <= 32 << 10 => Self::Write(payload),
                    (255, [0]) if recording.subprotocol() == Subprotocol::V5 => Self::CloseStdin,
                    (4, text) => {
                        let size = json(text)?;
                        let field =
                            |name: &str| u16::try_from(size[name].as_u64()?).ok().filter(|side| *side > 0);
                        Self::Resize(TerminalSize { width: field("Width")?, height: field("Height")? })
                    }
                    _ => return None,
                }
            }
            _ => return None,
        })
    }

    /// Does it, if our client can.
    fn issue(self, session: &mut ClientSession, begin: Instant, at: Duration) -> Option<()> {
        match self {
            Self::Write(data) => assert_eq!(session.write_stdin(&data).ok()?, data.len()),
            Self::CloseStdin => session.close_stdin().ok()?,
            Self::Resize(size) => session.resize(size).ok()?,
            Self::Disconnect => session.disconnect(begin + at),
            Self::Ping => {
                let due = session.poll_timeout().unwrap();
                let early = at.abs_diff(due - begin);
                assert!(early < Duration::from_millis(500), "a ping was recorded at {at:?}");
                session.handle_timeout(due).unwrap();
            }
        }
        Some(())
    }
}

fn data_opcode(recording: &Recording) -> u8 {
    if recording.subprotocol().encoding() == Encoding::Base64 { frames::TEXT } else { frames::BINARY }
}

/// What our client sends where the recorded one sent something, and what that was; `None` where ours cannot be brought to send it.
fn reissue(recording: &Recording) -> Option<(Vec<Frame>, Vec<Frame>)> {
    let ((streams, config), begin) = (client(recording), Instant::now());
    let mut session = ClientSession::client(streams, recording.subprotocol(), &config, begin);
    let (mut ours, mut theirs, mut input) = (Vec::new(), Vec::new(), BytesMut::new());
    for event in &recording.events {
        match event.by {
            Sender::Server => {
                input.extend_from_slice(&event.frame.encode());
                take_events(&mut session, begin + event.at, &mut input, &mut Vec::new());
            }
            Sender::Client => {
                // The answer to a close frame comes by itself.
                if !session.is_closing() {
                    Command::behind(recording, &event.frame)?.issue(&mut session, begin, event.at)?;
                }
                theirs.push(event.frame.clone());
            }
        }
        ours.extend(sent(&mut session));
    }
    Some((ours, theirs))
}

// Holds REQ-2, WSF-1, WSF-10, WSF-17, FRM-1, FRM-2, FRM-3, FRM-9, EXE-5.
#[test]
fn our_client_sends_what_the_recorded_clients_sent() {
    let mut same = Vec::new();
    for recording in all().filter(|recording| recording.status == 101) {
        let Some((mut ours, mut theirs)) = reissue(&recording) else { continue };
        if theirs.is_empty() {
            continue;
        }
        // Ours ends stdin once, however often it is told to.
        theirs.dedup_by(|second, first| second == first && first.payload[..] == [255, 0]);
        // kubectl ends its sizes with a newline, and not always answers a close frame.
        let size = |frame: &Frame| frame.payload.starts_with(b"\x04{");
        theirs.iter_mut().filter(|frame| size(frame)).for_each(|frame| {
            frame.payload.truncate(frame.payload.trim_ascii_end().len());
        });
        ours.truncate(if theirs.last().unwrap().opcode == frames::CLOSE { ours.len() } else { theirs.len() });
        assert_eq!(ours, theirs, "{}", recording.name);
        same.push(recording.name);
    }
    let kubectl = same.iter().filter(|name| name.starts_with("kubectl-")).count();
    assert_eq!((same.len(), kubectl), (52, 5), "{same:?}");
}

// Holds REQ-1, REQ-2, REQ-3, REQ-5, ATT-1.
#[test]
fn our_client_asks_for_what_kubectl_asked() {
    let mut count = 0;
    for recording in all().filter(|recording| recording.name.starts_with("kubectl-")) {
        // Sorted by name only, so that the arguments keep their order. kubectl writes a space as `+`.
        let parts = |target: &str| {
            let (path, query) = target.split_once('?').unwrap();
            let mut query: Vec<String> = query.split('&').map(|pair| pair.replace('+', "%20")).collect();
            query.sort_by_key(|pair| pair.split('=').next().unwrap().to_owned());
            (path.to_owned(), query)
        };
        let ours = recording.pod().unwrap().path_and_query();
        assert_eq!(parts(&ours), parts(&recording.path_and_query), "{}", recording.name);
        count += 1;
    }
    assert_eq!(count, 6);
}
