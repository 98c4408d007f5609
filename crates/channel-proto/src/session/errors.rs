//! Why a command of the application was not obeyed. None of these ends the session.

use std::fmt;

use crate::subprotocol::Subprotocol;

/// Why nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// [`Limits::transmit`](crate::Limits::transmit) bytes wait to be sent. A `Writable` event tells when there is room again.
    Blocked,
    /// This stream was not asked for at the start of the session.
    NotRequested,
    /// This stream was ended before, by us or, over SPDY, by the peer.
    Closed,
    /// The session is over, or its status went.
    Ended,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocked => "too much waits to be sent",
            Self::NotRequested => "this stream was not asked for",
            Self::Closed => "this stream was closed",
            Self::Ended => "the session is over",
        })
    }
}

impl std::error::Error for WriteError {}

/// Why stdin was not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseStdinError {
    /// The subprotocol has no end of stdin; over WebSocket only v5 has.
    Unsupported(Subprotocol),
    /// Stdin was not asked for at the start of the session.
    NotRequested,
}

impl fmt::Display for CloseStdinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(subprotocol) => write!(
                f,
                "this subprotocol cannot end stdin: {subprotocol} has no close signal, v5.channel.k8s.io has; \
                 closing the connection instead loses output, and has to be asked for"
            ),
            Self::NotRequested => f.write_str("stdin was not asked for"),
        }
    }
}

impl std::error::Error for CloseStdinError {}

/// The session has no terminal to resize, or (over SPDY before v3) no way to tell its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResizeError;

impl fmt::Display for ResizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session has no terminal to resize")
    }
}

impl std::error::Error for ResizeError {}
