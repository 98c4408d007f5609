//! One forwarded connection: its two streams, and how it ends.

use std::{fmt, time::Instant};

use super::ForwardEvent;
use crate::spdy::StreamId;

/// A connection of a forward. Ids are small numbers, and used again once their connection was forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub(super) u32);

impl ConnectionId {
    /// The id of this number. One that names no connection is as one that was forgotten.
    pub fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Its number, for tables.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({})", self.0)
    }
}

/// A connection, at either end.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) error: StreamId,
    pub(super) data: StreamId,
    /// The error text so far.
    pub(super) text: Vec<u8>,
    pub(super) peer: Peer,
    pub(super) error_stream: ErrorStream,
    pub(super) writer: Writer,
}

/// What the peer has done about the data stream.
///
/// The real servers end the data stream of a failed connection first, and say on the error stream only then that it failed (PFW-7). So an end is
/// told when the error stream has ended too, or after a moment of grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Sending,
    /// It ended or reset its half, or an error text came; what it means is known at the latest by then.
    AwaitVerdict {
        by: Instant,
        reset: bool,
    },
    /// The application was told.
    Settled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorStream {
    Open,
    Ended,
}

/// Whether somebody waits for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    Free,
    Blocked,
}

impl Connection {
    pub(super) fn new(error: StreamId, data: StreamId) -> Self {
        Self {
            error,
            data,
            text: Vec::new(),
            peer: Peer::Sending,
            error_stream: ErrorStream::Open,
            writer: Writer::Free,
        }
    }

    /// The data stream ended, was reset, or some error text came.
    pub(super) fn ends(&mut self, by: Instant, reset: bool) {
        self.peer = match self.peer {
            Peer::Sending => Peer::AwaitVerdict { by, reset },
            Peer::AwaitVerdict { by, reset: before } => Peer::AwaitVerdict { by, reset: before || reset },
            Peer::Settled => Peer::Settled,
        };
    }

    /// Whether all is known that there is to know about its end.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.peer, Peer::AwaitVerdict { .. }) && self.error_stream == ErrorStream::Ended
    }

    /// Tells how it ended, once.
    pub(super) fn settle(&mut self, id: ConnectionId) -> Option<ForwardEvent> {
        let Peer::AwaitVerdict { reset, .. } = std::mem::replace(&mut self.peer, Peer::Settled) else {
            return None;
        };
        Some(if !self.text.is_empty() {
            ForwardEvent::Failed(id, String::from_utf8_lossy(&self.text).into_owned())
        } else if reset {
            ForwardEvent::Reset(id)
        } else {
            ForwardEvent::End(id)
        })
    }
}
