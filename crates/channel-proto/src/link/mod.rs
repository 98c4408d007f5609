//! What a session stands on, and need not know: channels in WebSocket messages, or SPDY streams.
//!
//! A session asks four things of it: send on a channel, close a channel, what came next, and how much may be sent. Each column
//! answers them in its own way; what both have is here: the heartbeat, and the count of what a peer can do for free.

mod channels;
mod messages;
#[cfg(feature = "spdy")]
mod streams;

use std::time::Instant;

use bytes::{Bytes, BytesMut};

#[cfg(feature = "spdy")]
use self::streams::Streams;
use self::{channels::Channels, messages::Messages};
use crate::{
    error::{Error, ErrorKind},
    free_frames::FreeFrames,
    heartbeat::{Beat, Heartbeat, Reading},
    message::Message,
    outcome::CloseReason,
    session::SessionConfig,
    subprotocol::{Subprotocol, Transport},
    websocket::{Connection, Role, Transmit},
};

/// The channels of one session, over either column.
pub(crate) struct Link {
    subprotocol: Subprotocol,
    column: Column,
    heartbeat: Heartbeat,
    free_frames: FreeFrames,
}

/// What carries the channels.
#[expect(clippy::large_enum_variant, reason = "one per session, and nearly always the largest")]
#[repr(u8)] // A tag of its own is read faster than a niche.
enum Column {
    /// Channels in the bytes of a WebSocket connection.
    Bytes(Channels<Connection>),
    /// Channels in the messages of somebody else's WebSocket.
    Messages(Channels<Messages>),
    /// A SPDY stream for each channel.
    #[cfg(feature = "spdy")]
    Streams(Box<Streams>),
}

/// Does the same with whichever column it is.
macro_rules! either {
    ($link:expr, $column:ident => $does:expr) => {
        match $link {
            Column::Bytes($column) => $does,
            Column::Messages($column) => $does,
            #[cfg(feature = "spdy")]
            Column::Streams($column) => $does,
        }
    };
}

/// What came from the peer.
pub(crate) enum Incoming {
    /// Payload on a channel, and whether it is the last of its message.
    Data { channel: u8, payload: Bytes, end: bool },
    /// A whole message with a channel and no payload; over SPDY, that the peer took all streams.
    Bare(u8),
    /// The peer ends a channel.
    ChannelClosed(u8),
    /// No status can come any more, and no output; what remains is the end of the connection.
    #[cfg(feature = "spdy")]
    Exhausted,
    /// The peer closed the connection.
    Closed(CloseReason),
}

/// What some bytes came to.
enum Came {
    Incoming(Incoming),
    /// It was of no use to anybody.
    Free,
    /// The session need not hear of it.
    Silent,
}

/// Whether a channel can be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Now, or when there is room.
    Open,
    /// Never: the peer ended it, or it is none of the session's. Over SPDY only.
    #[cfg_attr(not(feature = "spdy"), expect(dead_code))]
    Gone,
}

impl Link {
    pub(crate) fn over_bytes(
        role: Role,
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
    ) -> Self {
        let connection = Connection::new(role, config.strictness, &config.limits, config.seed);
        let column = Channels::new(role, subprotocol, config, connection);
        Self::new(Column::Bytes(column), subprotocol, config, now)
    }

    pub(crate) fn over_messages(
        role: Role,
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
    ) -> Self {
        let column = Channels::new(role, subprotocol, config, Messages::new(config));
        Self::new(Column::Messages(column), subprotocol, config, now)
    }

    #[cfg(feature = "spdy")]
    pub(crate) fn over_spdy(
        role: Role,
        streams: crate::request::Streams,
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
    ) -> Self {
        let column = Streams::new(role, streams, subprotocol, config, now);
        Self::new(Column::Streams(Box::new(column)), subprotocol, config, now)
    }

    fn new(column: Column, subprotocol: Subprotocol, config: &SessionConfig, now: Instant) -> Self {
        Self {
            subprotocol,
            column,
            heartbeat: Heartbeat::new(config.heartbeat, now),
            free_frames: FreeFrames::new(&config.limits),
        }
    }

    pub(crate) fn subprotocol(&self) -> Subprotocol {
        self.subprotocol
    }

    pub(crate) fn transport(&self) -> Transport {
        match &self.column {
            Column::Bytes(_) | Column::Messages(_) => Transport::WebSocket,
            #[cfg(feature = "spdy")]
            Column::Streams(_) => Transport::Spdy,
        }
    }

    /// Bytes taken from the peer so far.
    pub(crate) fn taken(&self) -> u64 {
        either!(&self.column, column => column.taken())
    }

    /// The payload of the message at the front of `input`, if it is what nearly every message is: there whole, and on a channel that is `wanted`.
    /// [`next`](Self::next) would come to the same and needs longer.
    #[inline]
    pub(crate) fn whole_message<T>(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        wanted: impl FnOnce(u8) -> Option<T>,
    ) -> Option<(T, Bytes)> {
        let Column::Bytes(channels) = &mut self.column else { return None };
        let message = channels.whole_message(input, wanted)?;
        self.heartbeat.heard(now);
        Some(message)
    }

    /// What came next in `input`.
    pub(crate) fn next(&mut self, now: Instant, input: &mut BytesMut) -> Result<Option<Incoming>, Error> {
        loop {
            let came = match &mut self.column {
                Column::Bytes(channels) => channels.next(input)?,
                Column::Messages(_) => {
                    return Err(ErrorKind::Misuse("bytes were given to a session over messages").into());
                }
                #[cfg(feature = "spdy")]
                Column::Streams(streams) => streams.next(now, input)?,
            };
            let Some(came) = came else { return Ok(None) };
            if let Some(incoming) = self.came(now, came)? {
                return Ok(Some(incoming));
            }
        }
    }

    /// Whether [`next`](Self::next) has something to say although there is no input.
    #[inline]
    pub(crate) fn is_holding(&self) -> bool {
        match &self.column {
            Column::Bytes(channels) => channels.is_broken(),
            Column::Messages(_) => false,
            #[cfg(feature = "spdy")]
            Column::Streams(streams) => streams.is_holding(),
        }
    }

    /// What `message` comes to; it is always taken whole.
    pub(crate) fn message(&mut self, now: Instant, message: Message) -> Result<Option<Incoming>, Error> {
        let Column::Messages(channels) = &mut self.column else {
            return Err(ErrorKind::Misuse("a message was given to a session over bytes").into());
        };
        match channels.message(message)? {
            Some(came) => self.came(now, came),
            None => Ok(None),
        }
    }

    fn came(&mut self, now: Instant, came: Came) -> Result<Option<Incoming>, Error> {
        self.heartbeat.heard(now);
        match came {
            Came::Incoming(incoming) => return Ok(Some(incoming)),
            Came::Free => self.free(now)?,
            Came::Silent => {}
        }
        Ok(None)
    }

    /// Counts a frame that carried nothing.
    pub(crate) fn free(&mut self, now: Instant) -> Result<(), Error> {
        match self.free_frames.count(now) {
            Ok(()) => Ok(()),
            Err(kind) => Err(self.fail(kind)),
        }
    }

    /// Closes the connection because of the peer's fault, and says so to it.
    pub(crate) fn fail(&mut self, kind: impl Into<ErrorKind>) -> Error {
        either!(&mut self.column, column => column.fail(kind))
    }

    /// Bytes that may be sent on a channel now.
    #[inline]
    pub(crate) fn room(&self, channel: u8) -> usize {
        either!(&self.column, column => column.room(channel))
    }

    /// Whether it is any use to wait for room on a channel.
    pub(crate) fn way(&self, channel: u8) -> Way {
        either!(&self.column, column => column.way(channel))
    }

    /// Whether there is so much room that a writer who waits is worth waking: half of the buffer, so that it is not woken for every byte.
    pub(crate) fn is_worth_waking(&self) -> bool {
        either!(&self.column, column => column.is_worth_waking())
    }

    /// Bytes that wait to be sent.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        either!(&self.column, column => column.queued())
    }

    /// Sends all of `payload` on a channel. An empty one is one empty message, or nothing over SPDY.
    #[inline]
    pub(crate) fn send(&mut self, channel: u8, payload: &[u8]) {
        match &mut self.column {
            Column::Bytes(channels) => channels.send(channel, payload),
            _ => self.send_otherwise(channel, payload),
        }
    }

    /// Off the path that has to be fast.
    #[inline(never)]
    fn send_otherwise(&mut self, channel: u8, payload: &[u8]) {
        either!(&mut self.column, column => column.send(channel, payload));
    }

    /// Like [`send`](Self::send), but without a copy where none is needed.
    pub(crate) fn send_shared(&mut self, channel: u8, payload: Bytes) {
        either!(&mut self.column, column => column.send_shared(channel, payload));
    }

    /// Ends a channel, where [`Session::can_half_close`](crate::session::Session::can_half_close).
    pub(crate) fn close_channel(&mut self, channel: u8) {
        either!(&mut self.column, column => column.close_channel(channel));
    }

    /// Closes the connection behind all that was sent, and says so to the peer, if nobody did before.
    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        either!(&mut self.column, column => column.close(code, reason));
    }

    /// The stream under the connection ended, or nothing more is awaited of it.
    pub(crate) fn end(&mut self) {
        either!(&mut self.column, column => column.end());
    }

    pub(crate) fn set_reading(&mut self, now: Instant, reading: Reading) {
        self.heartbeat.set_reading(now, reading);
    }

    /// Whether no close frame went either way, and no GOAWAY of ours.
    pub(crate) fn is_open(&self) -> bool {
        either!(&self.column, column => column.is_open())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn timeout(&self) -> Option<Instant> {
        if !self.is_open() {
            return None;
        }
        let beat = self.heartbeat.timeout();
        match &self.column {
            Column::Bytes(_) | Column::Messages(_) => beat,
            #[cfg(feature = "spdy")]
            Column::Streams(streams) => beat.into_iter().chain(streams.timeout()).min(),
        }
    }

    /// Pings, or finds that the peer is dead or did not do what it had to in time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        #[cfg(feature = "spdy")]
        if let Column::Streams(streams) = &mut self.column {
            streams.handle_timeout(now)?;
        }
        match self.heartbeat.beat(now) {
            Beat::Nothing => Ok(()),
            Beat::Ping => {
                either!(&mut self.column, column => column.ping());
                Ok(())
            }
            Beat::Dead(after) => {
                self.end();
                Err(Error::from(ErrorKind::Silent { after }))
            }
        }
    }

    /// The bytes to write to the peer; none for a session over messages.
    #[inline]
    pub(crate) fn transmit(&mut self) -> Option<&mut Transmit> {
        match &mut self.column {
            Column::Bytes(channels) => Some(channels.transmit()),
            Column::Messages(_) => None,
            #[cfg(feature = "spdy")]
            Column::Streams(streams) => Some(streams.transmit()),
        }
    }

    /// The next message to send; none for a session over bytes.
    pub(crate) fn poll_message(&mut self) -> Option<Message> {
        let Column::Messages(channels) = &mut self.column else { return None };
        channels.poll_message()
    }
}
