//! Whole WebSocket messages, for programs whose WebSocket is somebody else's.

#[cfg(feature = "tungstenite")]
mod tungstenite;

use bytes::Bytes;

use crate::outcome::CloseReason;

/// A WebSocket message as any library has it. The two data kinds are taken alike; the one that a subprotocol is defined for is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A binary message: what binary subprotocols send.
    Binary(Bytes),
    /// A text message, its UTF-8 unchecked: what base64 subprotocols send.
    Text(Bytes),
    /// A ping. Answering it is left to the library that the message came from.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// A close frame. Answering it is left to the library that the message came from.
    Close(CloseReason),
}

impl Message {
    /// Bytes of payload.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Binary(data) | Self::Text(data) | Self::Ping(data) | Self::Pong(data) => data.len(),
            Self::Close(close) => close.reason.len() + 2,
        }
    }
}
