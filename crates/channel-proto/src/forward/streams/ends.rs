//! How the peer's half of a connection ends, and when that is told (PFW-7).

use std::time::{Duration, Instant};

use super::{Events, Streams};
use crate::{
    forward::{
        ConnectionId, ForwardEvent,
        connection::{Connection, ErrorStream, Half, Peer, Reply},
    },
    spdy::Connection as Spdy,
    websocket::Role,
};

/// How long the word of the error stream is waited for, once the data stream has ended.
const GRACE: Duration = Duration::from_millis(500);

/// How the peer's half of a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    Fin,
    Reset,
    Text,
}

/// How the error stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All was said.
    Said,
    /// The peer reset it.
    Reset,
    /// The peer broke the protocol on it, and what it said is lost.
    Lost,
}

impl Streams {
    /// The peer's half of a data stream is over in one way or another, or a text says that the connection failed.
    pub(super) fn ends(
        &mut self,
        now: Instant,
        id: ConnectionId,
        how: Ends,
        spdy: &mut Spdy,
        out: &mut Events,
    ) {
        let server = self.role == Role::Server;
        let Some(connection) = self.get(id) else { return };
        let after = |half: Half| match how {
            Ends::Fin => half.finished(),
            Ends::Reset => half.reset(),
            Ends::Text => half,
        };
        match &mut connection.peer {
            Peer::Sending => {
                let by = now + GRACE;
                connection.peer = Peer::AwaitVerdict { by, half: after(Half::Open) };
                // Only a server has something to add.
                if server {
                    connection.error_stream = ErrorStream::Ended;
                }
                self.verdicts.insert((by, id));
            }
            Peer::AwaitVerdict { half, .. } => *half = after(*half),
            // It listens no more either.
            Peer::Ended if how == Ends::Reset => {
                connection.peer = Peer::Over;
                connection.break_off(spdy);
                out.push_back(ForwardEvent::Reset(id));
            }
            Peer::Ended | Peer::Over => {}
        }
        self.settle_if_known(id, spdy, out);
    }

    pub(super) fn error_ended(
        &mut self,
        now: Instant,
        id: ConnectionId,
        how: Verdict,
        spdy: &mut Spdy,
        out: &mut Events,
    ) {
        if self.role == Role::Server {
            return;
        }
        let Some(connection) = self.get(id) else { return };
        connection.error_stream = ErrorStream::Ended;
        // That nothing went wrong nobody said.
        let unsaid = how == Verdict::Lost || how == Verdict::Reset && connection.peer == Peer::Sending;
        if unsaid && !matches!(connection.peer, Peer::Ended | Peer::Over) {
            if let Peer::AwaitVerdict { half, .. } = &mut connection.peer {
                *half = Half::Reset;
            }
            self.ends(now, id, Ends::Reset, spdy, out);
        } else {
            self.settle_if_known(id, spdy, out);
        }
    }

    fn settle_if_known(&mut self, id: ConnectionId, spdy: &mut Spdy, out: &mut Events) {
        if self.get(id).is_some_and(|connection| connection.is_known()) {
            self.settle(id, spdy, out);
        }
    }

    pub(super) fn settle(&mut self, id: ConnectionId, spdy: &mut Spdy, out: &mut Events) {
        let Some(connection) = self.connections.get_mut(id.index()).and_then(Option::as_mut) else { return };
        if let Peer::AwaitVerdict { by, .. } = connection.peer {
            self.verdicts.remove(&(by, id));
        }
        connection.settle(id, out);
        if connection.peer == Peer::Over {
            connection.break_off(spdy);
        }
    }

    /// Client: the peer took no streams beyond this one, and those that it did not accept it never will.
    pub(super) fn give_up_beyond(&mut self, last: u32, now: Instant, spdy: &mut Spdy, out: &mut Events) {
        let lost = |connection: &Connection| {
            connection.data.get() > last && connection.reply != Reply::Came && self.role == Role::Client
        };
        let lost: Vec<_> = (0..)
            .zip(&self.connections)
            .filter(|(_, connection)| connection.as_ref().is_some_and(lost))
            .map(|(index, _)| ConnectionId(index))
            .collect();
        for id in lost {
            self.error_ended(now, id, Verdict::Lost, spdy, out);
        }
    }

    /// The forward is over. What failed or was broken off is told; what may or may not have ended well is not.
    pub(in crate::forward) fn end(&mut self, spdy: &mut Spdy, out: &mut Events) {
        for (_, id) in std::mem::take(&mut self.verdicts) {
            let Some(connection) = self.get(id) else { continue };
            if let Peer::AwaitVerdict { half: half @ Half::FinishedAndReset, .. } = &mut connection.peer {
                *half = Half::Reset;
            }
            let broken = matches!(connection.peer, Peer::AwaitVerdict { half: Half::Reset, .. });
            if broken || !connection.text.is_empty() {
                self.settle(id, spdy, out);
            }
        }
    }

    /// Gives verdicts as much more time as nothing was read. No more: a reader that is slow again and again must not put them off for ever.
    pub(in crate::forward) fn extend_grace(&mut self, unread: Duration) {
        for (_, id) in std::mem::take(&mut self.verdicts) {
            if let Some(Peer::AwaitVerdict { by, .. }) = self.get(id).map(|connection| &mut connection.peer) {
                *by += unread;
                let by = *by;
                self.verdicts.insert((by, id));
            }
        }
    }
}
