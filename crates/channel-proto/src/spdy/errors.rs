//! Why a command was not obeyed. None of these ends the connection.

use std::fmt;

/// Why nothing was sent on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// As much waits to be sent as [`Limits`](crate::Limits) allow. [`Connection::room`](super::Connection::room) tells when there is
    /// room again.
    Blocked,
    /// The peer opened the stream, and it was not replied to yet.
    NotReplied,
    /// It needs no reply: it was replied to before, or it is ours.
    Replied,
    /// The stream was finished before, or the peer opened it for its own data only.
    Finished,
    /// There is no such stream: it was reset by either end, both ends finished, or it was never opened.
    Gone,
    /// The connection failed.
    Ended,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocked => "too much waits to be sent",
            Self::NotReplied => "the stream was not replied to",
            Self::Replied => "the stream needs no reply",
            Self::Finished => "the stream was finished",
            Self::Gone => "there is no such stream",
            Self::Ended => "the connection is over",
        })
    }
}

impl std::error::Error for StreamError {}

/// Why no stream was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// All 2³⁰ ids of this end were used.
    IdsExhausted,
    /// A GOAWAY came or went: this connection takes no more streams.
    GoingAway,
    /// The connection failed.
    Ended,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdsExhausted => "the connection has no stream ids left",
            Self::GoingAway => "the connection takes no more streams",
            Self::Ended => "the connection is over",
        })
    }
}

impl std::error::Error for OpenError {}
