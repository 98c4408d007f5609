//! One end of a SPDY connection: its state, and what the application wants of it.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;

use super::{
    ControlFrame, Decoder, GoAwayStatus, Headers, OpenError, Priority, ResetStatus, StreamError, StreamId,
    StreamState,
    outgoing::Outgoing,
    state::StreamInput,
    streams::{Known, Reply, Stream, Streams},
};
use crate::{
    error::{Error, ErrorKind, SpdyViolation},
    free_frames::FreeFrames,
    limits::Limits,
    transmit::Transmit,
    websocket::Role,
};

/// Pings of ours whose answers are awaited. Older ones are forgotten: who sends so many has other ways to tell that the peer is dead.
const PINGS: usize = 16;

/// One end of a SPDY connection, from the upgrade (or the first message of a tunnel) on.
///
/// It does no I/O. Its methods come in four families:
///
/// * **getters** take `&self`: [`room`](Self::room), [`state`](Self::state), [`open_streams`](Self::open_streams), …
/// * what happened: [`next`](Self::next) takes bytes and gives an [`Event`](super::Event), [`handle_eof`](Self::handle_eof);
/// * **commands**: [`open`](Self::open), [`reply`](Self::reply), [`send`](Self::send), [`finish`](Self::finish),
///   [`reset`](Self::reset), [`ping`](Self::ping), [`goaway`](Self::goaway), …
/// * [`transmit`](Self::transmit) says what to write.
///
/// Call `next` until it gives no event, handing it the same input; then write what `transmit` holds, and begin again. It
/// gives one event at a time and leaves in `input` what comes behind it: an application that takes no events stops the peer. There is no
/// timer: pings and patience are the session's.
///
/// What the peer does wrong on one stream resets that stream, and is an event. What it does wrong otherwise is an error: it sticks, a
/// GOAWAY is there to be written, and nothing else is sent.
pub struct Connection {
    pub(super) decoder: Decoder,
    pub(super) streams: Streams,
    pub(super) outgoing: Outgoing,
    pub(super) free: FreeFrames,
    pub(super) role: Role,
    pub(super) stream_limit: usize,
    /// The pings that were sent and not answered, the oldest first.
    pub(super) pings: VecDeque<u32>,
    next_ping: u32,
    pub(super) going: Going,
    failed: Option<Error>,
}

/// Which GOAWAYs there were.
#[derive(Debug, Default)]
pub(super) struct Going {
    pub(super) ours: bool,
    pub(super) peers: bool,
}

impl Connection {
    /// A connection on which nothing was read or written.
    pub fn new(role: Role, limits: &Limits) -> Self {
        Self {
            decoder: Decoder::new(limits),
            streams: Streams::new(role),
            outgoing: Outgoing::new(limits),
            free: FreeFrames::new(limits),
            role,
            stream_limit: limits.spdy_streams,
            pings: VecDeque::new(),
            next_ping: match role {
                Role::Client => 1,
                Role::Server => 2,
            },
            going: Going::default(),
            failed: None,
        }
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Bytes of the peer's stream that were taken so far.
    pub fn bytes_taken(&self) -> u64 {
        self.decoder.taken()
    }

    /// Where in the peer's stream the frame in progress, or else the last one, begins.
    pub(crate) fn frame_start(&self) -> u64 {
        self.decoder.frame_at()
    }

    /// How many streams are open, of both ends. Those that either end reset are not.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Where a stream is. One that is gone, or never was, is [`StreamState::Closed`].
    pub fn state(&self, id: StreamId) -> StreamState {
        self.stream(id).map_or(StreamState::Closed, |stream| stream.state)
    }

    /// Bytes that may be sent on a stream now; 0 also if nothing ever may.
    pub fn room(&self, id: StreamId) -> usize {
        self.may_send(id).map_or(0, |()| self.outgoing.room(id, self.streams.len()))
    }

    /// Bytes that wait on a stream for their turn.
    pub fn queued_on(&self, id: StreamId) -> usize {
        self.outgoing.queued_on(id)
    }

    /// Whether anything waits on a stream for its turn, be it only a FIN.
    pub(crate) fn holds(&self, id: StreamId) -> bool {
        self.outgoing.holds(id)
    }

    /// Bytes that wait to be written, all together.
    pub fn queued(&self) -> usize {
        self.outgoing.waiting()
    }

    /// Whether nothing is left to be written: the moment to close, once a GOAWAY went.
    pub fn is_drained(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Whether a GOAWAY came or went, so that no stream can be opened any more.
    pub fn is_going_away(&self) -> bool {
        self.going.ours || self.going.peers
    }

    /// Whether [`next`](Self::next) takes anything now. It does not after an error, nor while [`Limits::transmit`] bytes of control
    /// frames wait to be written: they answer what the peer sends, and it has to read them first.
    pub fn wants_input(&self) -> bool {
        self.failed.is_none() && !self.outgoing.is_clogged()
    }

    /// The peer's byte stream ended. Call it when [`next`](Self::next) took all that came before.
    ///
    /// # Errors
    /// It ended inside a frame (SPD-21), or the connection failed before.
    pub fn handle_eof(&mut self) -> Result<(), Error> {
        self.check()?;
        if !self.decoder.is_inside_frame() {
            return Ok(());
        }
        Err(self.fail(Error::at(self.decoder.taken(), SpdyViolation::Truncated)))
    }

    /// Opens a stream. Data may follow at once; the peer's [`Replied`](super::Event::Replied) need not be waited for.
    ///
    /// # Errors
    /// There are no ids left, the connection is going away, or it failed.
    pub fn open(&mut self, headers: Headers, priority: Priority) -> Result<StreamId, OpenError> {
        if self.failed.is_some() {
            return Err(OpenError::Ended);
        }
        if self.is_going_away() {
            return Err(OpenError::GoingAway);
        }
        let id = self.streams.open().ok_or(OpenError::IdsExhausted)?;
        self.outgoing.control(&ControlFrame::SynStream {
            id,
            associated: 0,
            priority,
            fin: false,
            unidirectional: false,
            headers,
        });
        Ok(id)
    }

    /// Accepts a stream that the peer opened. It has to come before anything is sent on it.
    ///
    /// # Errors
    /// The stream is not there, or needs no reply.
    pub fn reply(&mut self, id: StreamId) -> Result<(), StreamError> {
        if self.failed.is_some() {
            return Err(StreamError::Ended);
        }
        match self.stream(id) {
            Some(Stream { reply: Reply::Owed, state }) if state.may_send() => {
                self.streams.replied(id);
                self.outgoing.reply(id);
                Ok(())
            }
            Some(Stream { state: StreamState::PeerReset, .. }) | None => Err(StreamError::Gone),
            Some(_) => Err(StreamError::Replied),
        }
    }

    /// Sends the front of `data` on a stream, and tells how many bytes it took: all, unless there was less room. The data
    /// is copied; see [`send_bytes`](Self::send_bytes).
    ///
    /// # Errors
    /// [`StreamError::Blocked`] when it took nothing for want of room; the others when it never will, or not before a reply.
    #[inline]
    pub fn send(&mut self, id: StreamId, data: &[u8]) -> Result<usize, StreamError> {
        let len = self.room_for(id, data.len())?;
        if len > 0 {
            self.outgoing.copy(id, &data[..len]);
        }
        Ok(len)
    }

    /// Sends `data` on a stream, as the slice it is. It is taken whole if there is any room.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    pub fn send_bytes(&mut self, id: StreamId, data: &Bytes) -> Result<(), StreamError> {
        if self.room_for(id, data.len())? > 0 {
            self.outgoing.share(id, data.clone());
        }
        Ok(())
    }

    /// Finishes our half of a stream: a FIN follows what was sent on it. Never blocks. A second time does nothing.
    ///
    /// # Errors
    /// The stream is not there, or was not replied to yet.
    pub fn finish(&mut self, id: StreamId) -> Result<(), StreamError> {
        match self.may_send(id) {
            Err(StreamError::Finished) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                self.outgoing.finish(id);
                self.streams.apply(id, StreamInput::SendFin);
                Ok(())
            }
        }
    }

    /// Resets a stream, behind what was sent on it: the way the real servers end one. What still comes on it is dropped. A stream that is
    /// not there any more, or that the peer reset, is only forgotten.
    pub fn reset(&mut self, id: StreamId, status: ResetStatus) {
        if self.failed.is_none()
            && let Some(stream) = self.stream(id)
        {
            if stream.state != StreamState::PeerReset {
                self.outgoing.reset(id, status);
            }
            self.streams.apply(id, StreamInput::SendReset);
        }
    }

    /// Resets a stream at once: what was sent on it and still waits is dropped, even behind a [`finish`](Self::finish). What still comes on it is dropped too.
    pub fn abort(&mut self, id: StreamId, status: ResetStatus) {
        if self.failed.is_none() && self.outgoing.holds(id) {
            self.outgoing.discard(id);
            if self.stream(id).is_none() {
                return self.outgoing.reset(id, status);
            }
        }
        self.reset(id, status);
    }

    /// Asks the peer for an answer, a [`Pong`](super::Event::Pong) with the same id.
    pub fn ping(&mut self) -> u32 {
        let id = self.next_ping;
        // Odd or even it stays, and never becomes 0.
        self.next_ping = id.checked_add(2).unwrap_or(2 - (id & 1));
        if self.failed.is_none() {
            if self.pings.len() == PINGS {
                self.pings.pop_front();
            }
            self.pings.push_back(id);
            self.outgoing.control(&ControlFrame::Ping { id });
        }
        id
    }

    /// Ends the connection in good order: no more streams are opened by either end, those there are go on, and a GOAWAY follows all that
    /// was sent so far and until then. A second time does nothing.
    pub fn goaway(&mut self, status: GoAwayStatus) {
        if self.failed.is_none() && !self.going.ours {
            self.going.ours = true;
            self.outgoing.say_farewell(self.streams.last(), status);
        }
    }

    /// The bytes to write to the peer. Write some, then [`advance`](bytes::Buf::advance) by what was written. Frames are laid out as
    /// there is need, a few at a time, so ask again after each write.
    #[must_use = "what is not written does not reach the peer"]
    pub fn transmit(&mut self) -> &mut Transmit {
        self.outgoing.fill()
    }

    /// How much of `len` bytes may be sent on a stream; at least one byte, if any.
    #[inline]
    fn room_for(&self, id: StreamId, len: usize) -> Result<usize, StreamError> {
        self.may_send(id)?;
        match self.outgoing.room(id, self.streams.len()) {
            0 => Err(StreamError::Blocked),
            room => Ok(len.min(room)),
        }
    }

    #[inline]
    fn may_send(&self, id: StreamId) -> Result<(), StreamError> {
        if self.failed.is_some() {
            return Err(StreamError::Ended);
        }
        match self.stream(id) {
            None | Some(Stream { state: StreamState::PeerReset, .. }) => Err(StreamError::Gone),
            Some(stream) if !stream.state.may_send() => Err(StreamError::Finished),
            Some(Stream { reply: Reply::Owed, .. }) => Err(StreamError::NotReplied),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn stream(&self, id: StreamId) -> Option<Stream> {
        match self.streams.get(id) {
            Known::Stream(stream) => Some(stream),
            Known::Gone | Known::Never => None,
        }
    }

    #[inline]
    pub(super) fn check(&self) -> Result<(), Error> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Ends the connection because of the peer's fault in the frame that was read last.
    pub(super) fn fail_with(&mut self, kind: impl Into<ErrorKind>) -> Error {
        let error = Error::at(self.decoder.frame_at(), kind);
        self.fail(error)
    }

    pub(super) fn fail(&mut self, error: Error) -> Error {
        self.outgoing.fail(self.streams.last(), GoAwayStatus::PROTOCOL_ERROR);
        self.failed = Some(error.clone());
        error
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("open_streams", &self.open_streams())
            .field("queued", &self.queued())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
