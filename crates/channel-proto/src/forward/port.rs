//! One port of a forward over channels, and its one connection.

use std::collections::VecDeque;

use super::{ConnectionId, ForwardError, ForwardEvent, connection::Writer};
use crate::websocket::Role;

type Events = VecDeque<ForwardEvent>;

/// A port, at either end.
pub(super) struct Port {
    pub(super) number: u16,
    /// The first message on its data channel.
    pub(super) data: First,
    /// The first message on its error channel.
    pub(super) error: First,
    pub(super) taken: Taken,
    /// Client: what came before somebody connected.
    pub(super) early: Vec<u8>,
    /// Client: the error text so far.
    pub(super) text: Vec<u8>,
    peer: Peer,
    pub(super) ours: Ours,
    pub(super) writer: Writer,
}

/// The first message on a channel, which is the port in two bytes, the lower first (PFW-11). Only a client gets one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// So many of its bytes came.
    Awaited(usize),
    Came,
}

/// Whether the application has the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Client: nobody connected yet.
    Free,
    Connected,
    Forgotten,
}

/// What is known of the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Sending,
    /// An error text came; the application, once there is one, has to be told.
    Failed,
    /// It ended or failed, and that was told, or needs not to be.
    Over,
}

/// Server: whether this end has anything more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ours {
    Open,
    Done,
}

impl Port {
    pub(super) fn new(role: Role, number: u16) -> Self {
        let (first, taken) = match role {
            Role::Client => (First::Awaited(0), Taken::Free),
            Role::Server => (First::Came, Taken::Connected),
        };
        Self {
            number,
            data: first,
            error: first,
            taken,
            early: Vec::new(),
            text: Vec::new(),
            peer: Peer::Sending,
            ours: Ours::Open,
            writer: Writer::Free,
        }
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.peer != Peer::Sending
    }

    pub(super) fn may_write(&self) -> Result<(), ForwardError> {
        match (self.taken, self.peer, self.ours) {
            (Taken::Connected, Peer::Sending, Ours::Open) => Ok(()),
            (Taken::Connected, Peer::Sending, Ours::Done) => Err(ForwardError::Finished),
            _ => Err(ForwardError::Gone),
        }
    }

    /// Client: the application connects. It is told at once what there is to tell.
    pub(super) fn connect(&mut self, id: ConnectionId, out: &mut Events) {
        self.taken = Taken::Connected;
        if !self.early.is_empty() {
            out.push_back(ForwardEvent::Data(id, std::mem::take(&mut self.early).into()));
        }
        if self.peer == Peer::Failed {
            self.failed(id, out);
        }
    }

    /// Client: the whole error text came.
    pub(super) fn failed(&mut self, id: ConnectionId, out: &mut Events) {
        match self.taken {
            _ if self.peer == Peer::Over => {}
            Taken::Free => self.peer = Peer::Failed,
            Taken::Connected | Taken::Forgotten => {
                self.peer = Peer::Over;
                if self.taken == Taken::Connected {
                    let text = String::from_utf8_lossy(&self.text).into_owned();
                    out.push_back(ForwardEvent::Failed(id, text));
                }
                self.text = Vec::new();
            }
        }
    }

    /// The forward ended well, and with it this connection, if it ever was one.
    pub(super) fn ended(&mut self, id: ConnectionId, out: &mut Events) {
        let was_one = (self.data, self.error) == (First::Came, First::Came);
        if was_one && self.taken == Taken::Connected && self.peer == Peer::Sending {
            out.push_back(ForwardEvent::End(id));
            self.peer = Peer::Over;
        }
    }

    /// Server: what still comes is dropped.
    pub(super) fn give_up(&mut self) {
        self.peer = Peer::Over;
    }
}

impl First {
    /// Takes some of the message, whose last `payload` it is if it `ends`. An error if it is not the port.
    pub(super) fn take(&mut self, port: u16, payload: &[u8], ends: bool) -> Result<(), ()> {
        let Self::Awaited(came) = self else { return Ok(()) };
        let bytes = port.to_le_bytes();
        if !bytes[*came..].starts_with(payload) {
            return Err(());
        }
        *came += payload.len();
        match (ends, *came == bytes.len()) {
            (true, true) => *self = Self::Came,
            (true, false) => return Err(()),
            (false, _) => {}
        }
        Ok(())
    }
}

/// The channel of a port's data. There are at most 128 ports.
pub(super) fn data_channel(at: usize) -> u8 {
    u8::try_from(at * 2).unwrap_or(u8::MAX)
}

/// The channel of a port's error text.
pub(super) fn error_channel(at: usize) -> u8 {
    u8::try_from(at * 2 + 1).unwrap_or(u8::MAX)
}

/// A connection is called by its port's place.
pub(super) fn id_of(at: usize) -> ConnectionId {
    ConnectionId(u32::try_from(at).unwrap_or(u32::MAX))
}
