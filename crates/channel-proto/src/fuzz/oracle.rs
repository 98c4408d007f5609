//! tungstenite, as the oracle of strict WebSocket framing.

use std::io::{self, Read};

use bytes::BytesMut;
use tungstenite::{
    Error as Refusal,
    error::ProtocolError,
    protocol::{self, Message, WebSocket, WebSocketConfig},
};

use crate::{
    error::{Error, ErrorKind, FrameViolation},
    limits::Limits,
    websocket::{Connection, Decoder, Item, Received, Role, Strictness},
};

/// The longest message, for both. It bounds what tungstenite allocates for a header that promises more than comes.
const MAX_MESSAGE: usize = 4 << 10;

/// What one of the two made of some bytes.
struct Outcome<R> {
    messages: Vec<Whole>,
    refusal: Option<R>,
}

#[derive(Debug, PartialEq)]
enum Whole {
    Data(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<(u16, String)>),
}

/// Asserts that we and tungstenite take the same messages out of `bytes` and refuse the same frame, but for these differences:
///
/// * tungstenite refuses text that is not UTF-8; we hand messages out before they are whole, and leave that to whoever needs text (WSF-9);
/// * tungstenite takes a length in more bytes than it needs, which RFC 6455 §5.2 forbids;
/// * tungstenite reports a close code that may not be sent as 1002, where we refuse the frame (RFC 6455 §7.4.1), and so it
///   does 1014, which IANA's registry has since, and we take;
/// * tungstenite finds most faults when a frame is whole, we at its header: behind what we refuse it is shown zeros that make it whole.
pub(super) fn assert_agrees_with_tungstenite(role: Role, bytes: &[u8]) {
    let ours = ours(role, bytes);
    let padding = if ours.refusal.is_some() { 2 * MAX_MESSAGE } else { 0 };
    let theirs = theirs(role, bytes, padding);
    let replaced = Whole::Close(Some((1002, "Protocol violation".into())));
    let refused = ours.refusal.as_ref().map(Error::kind);
    match (refused, &theirs.refusal) {
        (Some(ErrorKind::Frame(FrameViolation::LengthNotMinimal)), _) => {
            let both = ours.messages.len().min(theirs.messages.len());
            assert_eq!(ours.messages[..both], theirs.messages[..both]);
        }
        (_, Some(Refusal::Utf8(_))) => assert!(ours.messages.starts_with(&theirs.messages)),
        (Some(ErrorKind::Frame(FrameViolation::CloseCode)), None) => {
            assert_eq!(theirs.messages.split_last(), Some((&replaced, &ours.messages[..])));
        }
        (None, None)
            if theirs.messages.last() == Some(&replaced) && ours.messages.last() != Some(&replaced) =>
        {
            let (close, before) = ours.messages.split_last().expect("a close frame");
            assert!(matches!(close, Whole::Close(Some((1014, _)))), "{close:?}");
            assert_eq!(theirs.messages.split_last(), Some((&replaced, before)));
        }
        (refused, their_refusal) => {
            assert_eq!(ours.messages, theirs.messages, "{refused:?} {their_refusal:?}");
            assert_eq!(refused.is_some(), their_refusal.is_some(), "{refused:?} {their_refusal:?}");
        }
    }
}

fn ours(role: Role, bytes: &[u8]) -> Outcome<Error> {
    let mut decoder = Decoder::new(role, Strictness::Strict, MAX_MESSAGE as u64);
    let mut input = BytesMut::from(bytes);
    let (mut messages, mut message) = (Vec::new(), Vec::new());
    loop {
        match decoder.decode(&mut input) {
            Ok(Some(Item::Data(piece))) => {
                message.extend_from_slice(&piece.payload);
                if piece.end {
                    messages.push(Whole::Data(std::mem::take(&mut message)));
                }
            }
            Ok(Some(Item::Ping(payload))) => messages.push(Whole::Ping(payload.into())),
            Ok(Some(Item::Pong)) => messages.push(Whole::Pong),
            Ok(Some(Item::Close(_))) => {
                // What is in a close frame is judged a layer above.
                let refusal = our_close(role, bytes).map(|close| messages.push(close)).err();
                return Outcome { messages, refusal };
            }
            Ok(Some(Item::Ignored)) => panic!("strict ignores nothing"),
            Ok(None) => return Outcome { messages, refusal: None },
            Err(error) => return Outcome { messages, refusal: Some(error) },
        }
    }
}

/// The close frame that is somewhere in `bytes`.
fn our_close(role: Role, bytes: &[u8]) -> Result<Whole, Error> {
    let limits = Limits { message: MAX_MESSAGE as u64, ..Limits::default() };
    let mut connection = Connection::new(role, Strictness::Strict, &limits, [1; 32]);
    let mut input = BytesMut::from(bytes);
    loop {
        if let Received::Close(close) = connection.next(&mut input)?.expect("a close frame was decoded") {
            return Ok(Whole::Close(close.code.map(|code| (code, close.reason.into()))));
        }
    }
}

fn theirs(role: Role, bytes: &[u8], padding: usize) -> Outcome<Refusal> {
    let role = match role {
        Role::Client => protocol::Role::Client,
        Role::Server => protocol::Role::Server,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(1 << 10)
        .max_frame_size(Some(MAX_MESSAGE))
        .max_message_size(Some(MAX_MESSAGE));
    let stream = Recorded(bytes.chain(io::repeat(0).take(padding as u64)));
    let mut socket = WebSocket::from_raw_socket(stream, role, Some(config));
    let mut messages = Vec::new();
    loop {
        messages.push(match socket.read() {
            Ok(Message::Text(text)) => Whole::Data(text.as_bytes().to_vec()),
            Ok(Message::Binary(data)) => Whole::Data(data.into()),
            Ok(Message::Ping(payload)) => Whole::Ping(payload.into()),
            Ok(Message::Pong(_)) => Whole::Pong,
            Ok(Message::Close(close)) => {
                messages.push(Whole::Close(close.map(|close| (close.code.into(), close.reason.to_string()))));
                return Outcome { messages, refusal: None };
            }
            Ok(Message::Frame(_)) => panic!("tungstenite hands out no frames"),
            Err(Refusal::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                return Outcome { messages, refusal: None };
            }
            Err(refusal) => return Outcome { messages, refusal: Some(refusal) },
        });
    }
}

/// A stream that was recorded: nobody hears what is written to it.
struct Recorded<R>(R);

impl<R: io::Read> io::Read for Recorded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R> io::Write for Recorded<R> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
