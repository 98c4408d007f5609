//! What comes from the peer, and what it means to the session.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{Ending, INPUTS, OUTPUTS, Peer, Streams};
use crate::{
    channel,
    error::Error,
    link::{Came, Incoming},
    outcome::CloseReason,
    spdy::{Event, GoAwayStatus, ResetStatus, StreamId},
    subprotocol::{StatusForm, Subprotocol},
    websocket::Role,
};

/// Some payload, and whether it is the last of its stream.
pub(super) struct Rest {
    channel: u8,
    payload: Bytes,
    fin: bool,
}

/// What the peer said of the end.
#[derive(Debug, Default)]
pub(super) struct PeerSays {
    goaway: Option<GoAwayStatus>,
    /// A stream ended, or a GOAWAY came: it may be all over now.
    changed: bool,
}

impl Streams {
    #[inline]
    pub(in crate::link) fn next(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
    ) -> Result<Option<Came>, Error> {
        if let Some(incoming) = self.left_over() {
            return Ok(Some(Came::Incoming(incoming)));
        }
        if input.is_empty() || !self.spdy.wants_input() {
            return Ok(None);
        }
        let mut piece = self.cutter.cut(input);
        match self.spdy.next(now, &mut piece) {
            Ok(Some(event)) => self.hear(event).map(Some),
            Ok(None) => Ok(Some(Came::Silent)),
            Err(error) => {
                // The connection said so to the peer.
                self.ending = Ending::Over;
                Err(error)
            }
        }
    }

    /// Whether something came that was not handed on.
    pub(in crate::link) fn is_holding(&self) -> bool {
        self.rest.is_some() || self.peer.changed
    }

    /// What came before, and was too much for one call.
    #[inline]
    fn left_over(&mut self) -> Option<Incoming> {
        if let Some(Rest { channel, payload, fin }) = self.rest.take()
            && let Some(incoming) = self.data(channel, payload, fin)
        {
            return Some(incoming);
        }
        if std::mem::take(&mut self.peer.changed) { self.end_of_all() } else { None }
    }

    fn hear(&mut self, event: Event) -> Result<Came, Error> {
        let incoming = match event {
            Event::Data { id, payload, fin } => match self.roster.channel(id) {
                Some(channel) => self.data(channel, payload, fin),
                None => None,
            },
            Event::Opened { id, headers, fin, .. } => match (self.role, self.roster.wanted(&headers)) {
                (Role::Server, Some(channel)) => self.accept(channel, id, fin),
                // The real servers leave it unanswered, too (SPE-5).
                (Role::Server, None) => None,
                (Role::Client, _) => {
                    self.spdy.reset(id, ResetStatus::REFUSED_STREAM);
                    return Ok(Came::Free);
                }
            },
            Event::Replied { id, fin, .. } => self.replied(id, fin),
            Event::Headers { id, fin: true, .. } => self.ended(id, Peer::Finished),
            Event::Headers { .. } => return Ok(Came::Free),
            Event::Reset { id, .. } => self.ended(id, Peer::Reset),
            // It was reset for it, and that is enough for a stream that does not matter any more (EXE-3).
            Event::Faulted { id, .. } if !self.matters(id) => None,
            Event::Faulted { violation, .. } => return Err(self.fail(violation)),
            Event::GoAway { last, status } => {
                self.peer.goaway = Some(status);
                self.peer.changed = true;
                if self.role == Role::Client {
                    self.roster.refused_above(last);
                }
                None
            }
            Event::Pong { .. } => {
                self.unanswered_pings = 0;
                None
            }
        };
        Ok(incoming.map_or(Came::Silent, Came::Incoming))
    }

    /// Whether something may be lost with a stream. A client loses output even behind its end.
    fn matters(&self, id: StreamId) -> bool {
        let member = self.roster.channel(id).and_then(|channel| self.roster.get(channel));
        member.is_some_and(|member| self.role == Role::Client || member.peer == Peer::Sending)
    }

    /// A server: the client opened a stream that the session waits for.
    fn accept(&mut self, channel: u8, id: StreamId, fin: bool) -> Option<Incoming> {
        self.spdy.reply(id).ok()?;
        self.roster.take(channel, id);
        if self.roster.is_complete() {
            self.complete_by = None;
        }
        if fin { self.ended(id, Peer::Finished) } else { None }
    }

    /// A client: the server took a stream. Once it took all, it is ready.
    fn replied(&mut self, id: StreamId, fin: bool) -> Option<Incoming> {
        let channel = self.roster.channel(id)?;
        self.roster.get_mut(channel)?.replied = true;
        if self.roster.members().all(|(_, member)| member.replied) {
            self.rest = fin.then(|| Rest { channel, payload: Bytes::new(), fin });
            return Some(Incoming::Bare(channel));
        }
        if fin { self.ended(id, Peer::Finished) } else { None }
    }

    #[inline]
    fn data(&mut self, channel: u8, mut payload: Bytes, fin: bool) -> Option<Incoming> {
        let (part, end) = match (self.role, channel) {
            (Role::Client, channel::ERROR) if self.subprotocol.status_form() == StatusForm::Json => {
                self.objects.next(&mut payload).unwrap_or_default()
            }
            (Role::Server, channel::RESIZE) => self.objects.next(&mut payload).unwrap_or_default(),
            // Any text at all is a failure (SPE-9).
            (Role::Client, channel::ERROR) => (std::mem::take(&mut payload), true),
            _ => (std::mem::take(&mut payload), false),
        };
        if part.is_empty() {
            let id = self.roster.get(channel)?.id;
            return if fin { self.ended(id, Peer::Finished) } else { None };
        }
        if fin || !payload.is_empty() {
            self.rest = Some(Rest { channel, payload, fin });
        }
        Some(Incoming::Data { channel, payload: part, end })
    }

    /// The peer sends nothing more on a stream, or, if it reset it, most likely nothing.
    fn ended(&mut self, id: StreamId, how: Peer) -> Option<Incoming> {
        let channel = self.roster.channel(id)?;
        let member = self.roster.get_mut(channel)?;
        if member.peer != Peer::Finished {
            member.peer = how;
        }
        self.peer.changed = true;
        match (self.role, channel, how) {
            // An output that is reset may have been cut short.
            (Role::Client, channel::STDOUT | channel::STDERR, Peer::Finished)
            | (Role::Server, channel::STDIN | channel::RESIZE, _) => Some(Incoming::ChannelClosed(channel)),
            _ => None,
        }
    }

    /// Whether all is over, now that the peer ended something (SPE-12).
    fn end_of_all(&mut self) -> Option<Incoming> {
        let Some(status) = self.peer.goaway else {
            return self.is_exhausted().then_some(Incoming::Exhausted);
        };
        let over = self.ending == Ending::Over
            || match self.role {
                Role::Client => self.outputs_ended() && self.peer_of(channel::ERROR) != Some(Peer::Sending),
                Role::Server => self.has_left(),
            };
        if !over {
            return None;
        }
        let reason = self.reason(status);
        if self.ending != Ending::Over {
            self.go_away(GoAwayStatus::OK);
        }
        Some(Incoming::Closed(reason))
    }

    /// A client: whether nothing comes any more, although the server did not say so. It cannot be told in the
    /// first version, whose servers reset the error stream at the start, and send the status on it at the end (SPE-10).
    fn is_exhausted(&self) -> bool {
        let no_status = match self.peer_of(channel::ERROR) {
            Some(Peer::Finished) => true,
            Some(Peer::Reset) => self.subprotocol != Subprotocol::V1,
            Some(Peer::Sending) | None => false,
        };
        self.role == Role::Client && no_status && self.outputs_ended()
    }

    /// A server: whether the client ended all it sends, and wants nothing more.
    fn has_left(&self) -> bool {
        let sends = self.roster.of(INPUTS).any(|member| member.peer == Peer::Sending);
        let wants = self.roster.of(OUTPUTS).any(|member| self.spdy.state(member.id).may_send());
        !sends && !wants
    }

    fn outputs_ended(&self) -> bool {
        self.roster.of(OUTPUTS).all(|member| member.peer != Peer::Sending)
    }

    fn peer_of(&self, channel: u8) -> Option<Peer> {
        self.roster.get(channel).map(|member| member.peer)
    }

    /// A GOAWAY in the words of a close frame (SPE-14).
    fn reason(&self, status: GoAwayStatus) -> CloseReason {
        let mut outputs = self.roster.of(OUTPUTS);
        let code = match status {
            // Outputs that were reset are no command's end.
            GoAwayStatus::OK
                if self.role == Role::Client && outputs.any(|output| output.peer == Peer::Reset) =>
            {
                1011
            }
            GoAwayStatus::OK => 1000,
            GoAwayStatus::PROTOCOL_ERROR => 1002,
            _ => 1011,
        };
        CloseReason { code: Some(code), reason: "".into() }
    }
}
