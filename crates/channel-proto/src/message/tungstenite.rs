//! To and from the messages of tungstenite, which are also those of tokio-tungstenite and async-tungstenite.

use tungstenite::{
    Utf8Bytes,
    protocol::{CloseFrame, Message as Theirs},
};

use super::Message;
use crate::outcome::CloseReason;

impl From<Theirs> for Message {
    fn from(message: Theirs) -> Self {
        match message {
            Theirs::Text(text) => Self::Text(text.into()),
            Theirs::Binary(data) => Self::Binary(data),
            Theirs::Ping(data) => Self::Ping(data),
            Theirs::Pong(data) => Self::Pong(data),
            Theirs::Close(close) => Self::Close(match close {
                Some(close) => {
                    CloseReason { code: Some(close.code.into()), reason: close.reason.as_str().into() }
                }
                None => CloseReason { code: None, reason: "".into() },
            }),
            // Reading never gives a raw frame.
            Theirs::Frame(frame) => Self::Binary(frame.into_payload()),
        }
    }
}

impl From<Message> for Theirs {
    /// Text that is not UTF-8, which a session never sends, becomes a binary message: peers take both alike (WSF-9).
    fn from(message: Message) -> Self {
        match message {
            Message::Binary(data) => Self::Binary(data),
            Message::Text(text) => match Utf8Bytes::try_from(text.clone()) {
                Ok(text) => Self::Text(text),
                Err(_) => Self::Binary(text),
            },
            Message::Ping(data) => Self::Ping(data),
            Message::Pong(data) => Self::Pong(data),
            Message::Close(CloseReason { code, reason }) => Self::Close(
                code.map(|code| CloseFrame { code: code.into(), reason: Utf8Bytes::from(&*reason) }),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn every_message_survives_the_way_there_and_back() {
        let close = |code, reason: &str| Message::Close(CloseReason { code, reason: reason.into() });
        for message in [
            Message::Binary(Bytes::from_static(b"\x01out")),
            Message::Text(Bytes::from_static(b"1b3V0")),
            Message::Ping(Bytes::from_static(b"p")),
            Message::Pong(Bytes::new()),
            close(Some(1000), "bye"),
            close(None, ""),
        ] {
            assert_eq!(Message::from(Theirs::from(message.clone())), message);
        }
    }

    // Holds WSF-9.
    #[test]
    fn text_that_is_none_is_not_lost() {
        let theirs = Theirs::from(Message::Text(Bytes::from_static(b"0\xff")));
        assert_eq!(theirs, Theirs::Binary(Bytes::from_static(b"0\xff")));
    }
}
