//! One forwarded connection over SPDY: its two streams, and how it ends.

use std::{collections::VecDeque, fmt, time::Instant};

use super::ForwardEvent;
use crate::spdy::{Connection as Spdy, ResetStatus, StreamId};

/// A connection of a forward. Ids are small numbers. Over SPDY they are used again once their connection was forgotten; over channels
/// they number the ports of the upgrade.
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
    /// Client: the error text so far.
    pub(super) text: Vec<u8>,
    pub(super) peer: Peer,
    pub(super) error_stream: ErrorStream,
    pub(super) reply: Reply,
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
        half: Half,
    },
    /// The application was told that the peer sends nothing more.
    Ended,
    /// The application was told that the connection failed or was broken off.
    Over,
}

/// What became of the peer's half of the data stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// It goes on, behind an error text.
    Open,
    /// All was sent.
    Finished,
    /// All was sent, and then the stream was reset: it listens no more either.
    FinishedAndReset,
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorStream {
    Open,
    Ended,
}

/// Client: whether the peer accepted the data stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Awaited,
    /// And nothing may be written before.
    AwaitedByWriter,
    Came,
}

/// Whether somebody waits for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    Free,
    Blocked,
}

impl Half {
    pub(super) fn finished(self) -> Self {
        if self == Self::Open { Self::Finished } else { self }
    }

    pub(super) fn reset(self) -> Self {
        if self == Self::Finished { Self::FinishedAndReset } else { Self::Reset }
    }
}

impl Connection {
    pub(super) fn new(error: StreamId, data: StreamId) -> Self {
        Self {
            error,
            data,
            text: Vec::new(),
            peer: Peer::Sending,
            error_stream: ErrorStream::Open,
            reply: Reply::Awaited,
            writer: Writer::Free,
        }
    }

    /// Whether all is known that there is to know about its end.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.peer, Peer::AwaitVerdict { .. }) && self.error_stream == ErrorStream::Ended
    }

    /// Tells how it ended, if it did and that was not told.
    pub(super) fn settle(&mut self, id: ConnectionId, out: &mut VecDeque<ForwardEvent>) {
        let Peer::AwaitVerdict { half, .. } = self.peer else { return };
        self.peer = Peer::Over;
        if !self.text.is_empty() {
            out.push_back(ForwardEvent::Failed(id, String::from_utf8_lossy(&self.text).into_owned()));
            return;
        }
        if matches!(half, Half::Finished | Half::FinishedAndReset) {
            out.push_back(ForwardEvent::End(id));
        }
        match half {
            Half::Open | Half::Finished => self.peer = Peer::Ended,
            Half::FinishedAndReset | Half::Reset => out.push_back(ForwardEvent::Reset(id)),
        }
    }

    /// Ends both streams at once: what waits to be sent has nowhere to go.
    pub(super) fn break_off(&self, spdy: &mut Spdy) {
        spdy.abort(self.data, ResetStatus::CANCEL);
        spdy.reset(self.error, ResetStatus::CANCEL);
    }

    /// Breaks the data stream off behind what waits to be sent. The error stream ends as if nothing were to be said: its reset would overtake
    /// the data, and the connection would be over before that came.
    pub(super) fn break_off_behind(&self, spdy: &mut Spdy) {
        spdy.reset(self.data, ResetStatus::CANCEL);
        let _ = spdy.finish(self.error);
    }

    /// Ends both streams behind what we finished, which is still sent.
    pub(super) fn leave(&self, spdy: &mut Spdy) {
        // Streams that both ends finished are gone already.
        if spdy.state(self.data).may_send() {
            self.break_off(spdy);
        } else {
            spdy.reset(self.data, ResetStatus::CANCEL);
            spdy.reset(self.error, ResetStatus::CANCEL);
        }
    }
}
