//! The streams of a connection, and what is known of those that are gone.

use std::collections::{BTreeMap, VecDeque};

use super::{
    StreamId,
    state::{StreamInput, StreamState},
};
use crate::websocket::Role;

/// Streams reset by the peer that are remembered, so that what still comes on them is delivered (SPD-14). An exec has five.
const REMEMBERED: usize = 64;

pub(super) struct Streams {
    role: Role,
    known: BTreeMap<StreamId, Stream>,
    /// Those in [`StreamState::PeerReset`], the oldest first.
    reset_by_peer: VecDeque<StreamId>,
    /// Streams of the peer's that are open.
    peers: usize,
    /// The last stream that the peer opened, or 0.
    last: u32,
    /// The next that we open.
    next: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    pub(super) state: StreamState,
    pub(super) reply: Reply,
}

/// The SYN_REPLY of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// The peer has to send it.
    Awaited,
    /// We have to send it.
    Owed,
    /// It went, or the stream has none.
    Done,
}

/// What is known of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Known {
    Stream(Stream),
    /// It was there.
    Gone,
    /// It was never opened.
    Never,
}

impl Streams {
    pub(super) fn new(role: Role) -> Self {
        let next = match role {
            Role::Client => 1,
            Role::Server => 2,
        };
        Self { role, known: BTreeMap::new(), reset_by_peer: VecDeque::new(), peers: 0, last: 0, next }
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.known.len() - self.reset_by_peer.len()
    }

    /// How many of the peer's are open.
    pub(super) fn peers(&self) -> usize {
        self.peers
    }

    /// The last stream that the peer opened, or 0.
    pub(super) fn last(&self) -> u32 {
        self.last
    }

    pub(super) fn get(&self, id: StreamId) -> Known {
        match self.known.get(&id) {
            Some(stream) => Known::Stream(*stream),
            None if id.is_of(self.role) && id.get() < self.next => Known::Gone,
            None if !id.is_of(self.role) && id.get() <= self.last => Known::Gone,
            None => Known::Never,
        }
    }

    /// Opens a stream of ours, if there is an id left.
    pub(super) fn open(&mut self) -> Option<StreamId> {
        let id = StreamId::new(self.next)?;
        self.next += 2;
        self.known.insert(id, Stream { state: StreamState::Open, reply: Reply::Awaited });
        Some(id)
    }

    /// The peer used up an id, whatever becomes of the stream.
    pub(super) fn saw(&mut self, id: StreamId) {
        self.last = self.last.max(id.get());
    }

    /// The peer opened a stream.
    pub(super) fn accept(&mut self, id: StreamId, stream: Stream) {
        if stream.state != StreamState::Closed {
            self.peers += 1;
            self.known.insert(id, stream);
        }
    }

    pub(super) fn replied(&mut self, id: StreamId) {
        if let Some(stream) = self.known.get_mut(&id) {
            stream.reply = Reply::Done;
        }
    }

    /// Something happens to a stream. One that is closed by it is forgotten.
    pub(super) fn apply(&mut self, id: StreamId, input: StreamInput) {
        let Some(stream) = self.known.get_mut(&id) else { return };
        let before = stream.state;
        stream.state = before.after(input);
        if stream.state == before {
            return;
        }
        let is_closed = stream.state == StreamState::Closed;
        let is_reset = stream.state == StreamState::PeerReset;
        if is_closed {
            self.known.remove(&id);
        }
        if before == StreamState::PeerReset {
            self.reset_by_peer.retain(|reset| *reset != id);
        } else if (is_closed || is_reset) && !id.is_of(self.role) {
            self.peers -= 1;
        }
        if is_reset {
            self.reset_by_peer.push_back(id);
            if self.reset_by_peer.len() > REMEMBERED
                && let Some(oldest) = self.reset_by_peer.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }
}
