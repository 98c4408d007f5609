//! What comes from the peer, judged against the streams there are.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Connection, ControlFrame, GoAwayStatus, Headers, Item, Piece, Priority, ResetStatus, StreamId,
    StreamState,
    state::StreamInput,
    streams::{Known, Reply, Stream},
};
use crate::{
    error::{Error, SpdyViolation},
    websocket::Role,
};

/// What a [`Connection`] tells its session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer opened a stream. [`reply`](Connection::reply) to it, or [`reset`](Connection::reset) it.
    Opened {
        /// The stream.
        id: StreamId,
        /// What it is for.
        headers: Headers,
        /// How urgent it is.
        priority: Priority,
        /// The peer sends nothing more on it.
        fin: bool,
    },
    /// The peer accepted a stream of ours. Replies come in any order.
    Replied {
        /// The stream.
        id: StreamId,
        /// Empty, from the real servers.
        headers: Headers,
        /// The peer sends nothing on it.
        fin: bool,
    },
    /// Data on a stream. Where it was cut means nothing.
    Data {
        /// The stream.
        id: StreamId,
        /// A slice of what came; empty only with `fin`.
        payload: Bytes,
        /// The peer sends nothing more on it.
        fin: bool,
    },
    /// More headers for a stream.
    Headers {
        /// The stream.
        id: StreamId,
        /// The headers.
        headers: Headers,
        /// The peer sends nothing more on it.
        fin: bool,
    },
    /// The peer reset a stream: nothing can be sent on it, and what waited on it is dropped. What the peer itself still sends on it is
    /// delivered, until [`Connection::reset`].
    Reset {
        /// The stream.
        id: StreamId,
        /// Why.
        status: ResetStatus,
    },
    /// The peer broke the protocol on a stream, which was reset for it.
    Faulted {
        /// The stream.
        id: StreamId,
        /// What it did.
        violation: SpdyViolation,
    },
    /// The peer takes no more streams, and wants to end the connection.
    GoAway {
        /// The last of our streams that it took; 0 is none.
        last: u32,
        /// Why.
        status: GoAwayStatus,
    },
    /// A [`ping`](Connection::ping) was answered.
    Pong {
        /// The id of the ping.
        id: u32,
    },
}

/// What something that came from the peer amounts to.
enum Taken {
    Event(Event),
    /// It was of use, or it cost the peer as much as us.
    Silent,
    /// It was of no use to anybody, and is counted (SPD-20).
    Free,
}

impl Connection {
    /// Bytes came from the peer: the next thing that they mean. Takes what it is made of and leaves the rest. `None` when
    /// there is nothing more in `input`, or when nothing is to be read now (see [`wants_input`](Self::wants_input)).
    ///
    /// # Errors
    /// The peer broke SPDY or went over a limit. The error sticks.
    #[inline]
    pub fn next(&mut self, now: Instant, input: &mut Bytes) -> Result<Option<Event>, Error> {
        self.check()?;
        while self.wants_input() {
            let item = match self.decoder.decode(input) {
                Ok(Some(item)) => item,
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.fail(error)),
            };
            let taken = match item {
                Item::Data(piece) => self.data(piece),
                Item::Control(frame) => self.control(now, frame)?,
                Item::Unsound { id, opens: true, violation } => self.unsound_opening(id, violation)?,
                Item::Unsound { id, opens: false, violation } => self.fault(id, violation),
                Item::Unknown => Taken::Free,
            };
            match taken {
                Taken::Event(event) => {
                    if matches!(event, Event::Faulted { .. }) {
                        self.count_free(now)?;
                    }
                    return Ok(Some(event));
                }
                Taken::Silent => {}
                Taken::Free => self.count_free(now)?,
            }
        }
        Ok(None)
    }

    #[inline]
    fn data(&mut self, piece: Piece) -> Taken {
        let Piece { id, payload, start, fin, .. } = piece;
        if let Some(violation) = self.out_of_turn(id) {
            return self.fault(id, violation);
        }
        match self.streams.get(id) {
            Known::Stream(_) if payload.is_empty() && !fin => Taken::Free,
            Known::Stream(_) => {
                self.received_fin(id, fin);
                Taken::Event(Event::Data { id, payload, fin })
            }
            Known::Gone if !payload.is_empty() => Taken::Silent,
            Known::Gone => Taken::Free,
            // Once for each frame, in however many pieces it comes.
            Known::Never if start => self.refuse(id, ResetStatus::INVALID_STREAM),
            Known::Never => Taken::Silent,
        }
    }

    fn control(&mut self, now: Instant, frame: ControlFrame) -> Result<Taken, Error> {
        Ok(match frame {
            ControlFrame::SynStream { id, priority, fin, unidirectional, headers, .. } => {
                if let Some(taken) = self.judge_opening(id)? {
                    return Ok(taken);
                }
                let state = match (fin, unidirectional) {
                    (false, false) => StreamState::Open,
                    (true, false) => StreamState::AwaitOurFin,
                    (false, true) => StreamState::AwaitFin,
                    (true, true) => StreamState::Closed,
                };
                if state == StreamState::Closed {
                    self.count_free(now)?;
                }
                let reply = if unidirectional { Reply::Done } else { Reply::Owed };
                self.streams.accept(id, Stream { state, reply });
                Taken::Event(Event::Opened { id, headers, priority, fin })
            }
            ControlFrame::SynReply { id, fin, headers } => match self.streams.get(id) {
                Known::Stream(Stream { state: StreamState::PeerReset, .. }) | Known::Gone => Taken::Free,
                Known::Stream(Stream { reply: Reply::Awaited, .. }) => {
                    self.streams.replied(id);
                    self.received_fin(id, fin);
                    Taken::Event(Event::Replied { id, headers, fin })
                }
                Known::Stream(_) if id.is_of(self.role) => self.fault(id, SpdyViolation::ReplyTwice),
                Known::Stream(_) => self.fault(id, SpdyViolation::ReplyUnasked),
                Known::Never => self.refuse(id, ResetStatus::INVALID_STREAM),
            },
            ControlFrame::Headers { id, fin, headers } => self.headers(id, fin, headers),
            ControlFrame::RstStream { id, status } => {
                // Opening and resetting streams without end costs us more than the peer.
                self.count_free(now)?;
                let is_lost = self.outgoing.cares_for(id);
                self.outgoing.discard(id);
                match self.streams.get(id) {
                    Known::Stream(Stream { state: StreamState::PeerReset, .. }) => Taken::Silent,
                    Known::Gone | Known::Never if !is_lost => Taken::Silent,
                    _ => {
                        self.streams.apply(id, StreamInput::ReceiveReset);
                        Taken::Event(Event::Reset { id, status })
                    }
                }
            }
            ControlFrame::Ping { id } if self.is_our_ping(id) => {
                match self.pings.iter().position(|ping| *ping == id) {
                    Some(at) => {
                        self.pings.remove(at);
                        Taken::Event(Event::Pong { id })
                    }
                    None => Taken::Free,
                }
            }
            ControlFrame::Ping { id } => {
                self.outgoing.control(&ControlFrame::Ping { id });
                Taken::Free
            }
            ControlFrame::GoAway { last, status } if !self.going.peers => {
                self.going.peers = true;
                Taken::Event(Event::GoAway { last, status })
            }
            ControlFrame::GoAway { .. }
            | ControlFrame::Settings { .. }
            | ControlFrame::WindowUpdate { .. } => Taken::Free,
        })
    }

    fn headers(&mut self, id: StreamId, fin: bool, headers: Headers) -> Taken {
        if let Some(violation) = self.out_of_turn(id) {
            return self.fault(id, violation);
        }
        match self.streams.get(id) {
            Known::Stream(_) if headers.is_empty() && !fin => Taken::Free,
            Known::Stream(_) => {
                self.received_fin(id, fin);
                Taken::Event(Event::Headers { id, headers, fin })
            }
            Known::Gone => Taken::Free,
            Known::Never => self.refuse(id, ResetStatus::INVALID_STREAM),
        }
    }

    /// What is wrong with data or headers on this stream now, if it is there (SPD-11, SPD-13).
    #[inline]
    fn out_of_turn(&self, id: StreamId) -> Option<SpdyViolation> {
        match self.stream(id)? {
            Stream { state: StreamState::PeerReset, .. } => None,
            Stream { reply: Reply::Awaited, .. } => Some(SpdyViolation::DataBeforeReply),
            Stream { state, .. } if !state.may_receive() => Some(SpdyViolation::DataAfterFin),
            Stream { .. } => None,
        }
    }

    /// Whether a stream of this id may be opened (SPD-10, SPD-16, SPD-19); if not, what that comes to.
    fn judge_opening(&mut self, id: StreamId) -> Result<Option<Taken>, Error> {
        if self.going.ours {
            return Ok(Some(Taken::Free));
        }
        if id.is_of(self.role) {
            return Ok(Some(self.fault(id, SpdyViolation::StreamParity)));
        }
        match self.streams.get(id) {
            Known::Stream(_) => return Ok(Some(self.fault(id, SpdyViolation::StreamTwice))),
            Known::Gone => return Err(self.fail_with(SpdyViolation::StreamOrder)),
            Known::Never => self.streams.saw(id),
        }
        if self.streams.peers() >= self.stream_limit {
            return Ok(Some(self.refuse(id, ResetStatus::REFUSED_STREAM)));
        }
        Ok(None)
    }

    fn unsound_opening(&mut self, id: StreamId, violation: SpdyViolation) -> Result<Taken, Error> {
        match self.judge_opening(id)? {
            Some(taken) => Ok(taken),
            None => Ok(self.refuse(id, ResetStatus::answering(violation))),
        }
    }

    /// Resets the stream on which the peer did wrong.
    fn fault(&mut self, id: StreamId, violation: SpdyViolation) -> Taken {
        let status = ResetStatus::answering(violation);
        match self.streams.get(id) {
            Known::Stream(Stream { state: StreamState::PeerReset, .. }) | Known::Gone => Taken::Free,
            Known::Never => self.refuse(id, status),
            Known::Stream(_) => {
                self.abort(id, status);
                Taken::Event(Event::Faulted { id, violation })
            }
        }
    }

    /// Resets a stream that is not there (SPD-15). After our GOAWAY the peer may not know that yet, and is not told again.
    fn refuse(&mut self, id: StreamId, status: ResetStatus) -> Taken {
        if !self.going.ours {
            self.outgoing.control(&ControlFrame::RstStream { id, status });
        }
        Taken::Free
    }

    fn received_fin(&mut self, id: StreamId, fin: bool) {
        if fin {
            self.streams.apply(id, StreamInput::ReceiveFin);
        }
    }

    fn is_our_ping(&self, id: u32) -> bool {
        (id % 2 == 1) == (self.role == Role::Client)
    }

    fn count_free(&mut self, now: Instant) -> Result<(), Error> {
        self.free.count(now).map_err(|kind| self.fail_with(kind))
    }
}
