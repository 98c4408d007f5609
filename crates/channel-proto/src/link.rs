//! What a session stands on: channels over a WebSocket, whether its bytes or its messages come to us.
//!
//! A session asks four things of it: send on a channel, close a channel, what came next, and how much may be sent.

use std::{collections::VecDeque, time::Instant};

use bytes::{Bytes, BytesMut};

use crate::{
    channel::{self, ChannelDecoder, Chunk, Content},
    error::{Error, ErrorKind},
    heartbeat::{Beat, Heartbeat, Reading},
    limits::Limits,
    message::Message,
    outcome::CloseReason,
    session::SessionConfig,
    subprotocol::{Encoding, Subprotocol},
    websocket::{Connection, Opcode, Piece, Received, Role, Transmit},
};

/// Channels over one WebSocket connection.
pub(crate) struct Link {
    subprotocol: Subprotocol,
    encoding: Encoding,
    carrier: Carrier,
    decoder: ChannelDecoder,
    heartbeat: Heartbeat,
    free_frames: FreeFrames,
    outgoing_message: usize,
    /// Scratch for base64.
    text: String,
}

/// Where frames come from and go to.
#[expect(clippy::large_enum_variant, reason = "one per session, and nearly always the larger")]
#[repr(u8)]
enum Carrier {
    /// Bytes of a WebSocket connection.
    Bytes(Connection),
    /// Messages of somebody else's.
    Messages(Messages),
}

struct Messages {
    queue: VecDeque<Message>,
    queued: usize,
    limit: usize,
    message_limit: u64,
    taken: u64,
    /// Where the newest message began.
    message_start: u64,
    closed: bool,
    close_sent: bool,
}

/// What came from the peer.
pub(crate) enum Incoming {
    /// Payload on a channel, and whether it is the last of its message.
    Data { channel: u8, payload: Bytes, end: bool },
    /// A whole message with a channel and no payload.
    Bare(u8),
    /// The peer ends a channel.
    ChannelClosed(u8),
    /// The peer closed the connection.
    Closed(CloseReason),
}

impl Link {
    pub(crate) fn over_bytes(
        role: Role,
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
    ) -> Self {
        let connection = Connection::new(role, config.strictness, &config.limits, config.seed);
        Self::new(role, subprotocol, config, now, Carrier::Bytes(connection))
    }

    pub(crate) fn over_messages(
        role: Role,
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
    ) -> Self {
        let messages = Messages {
            queue: VecDeque::new(),
            queued: 0,
            limit: config.limits.transmit,
            message_limit: config.limits.message,
            taken: 0,
            message_start: 0,
            closed: false,
            close_sent: false,
        };
        Self::new(role, subprotocol, config, now, Carrier::Messages(messages))
    }

    fn new(
        role: Role,
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
        carrier: Carrier,
    ) -> Self {
        Self {
            subprotocol,
            encoding: subprotocol.encoding(),
            carrier,
            decoder: ChannelDecoder::new(role, subprotocol),
            heartbeat: Heartbeat::new(config.heartbeat, now),
            free_frames: FreeFrames::new(&config.limits, now),
            outgoing_message: config.limits.outgoing_message,
            text: String::new(),
        }
    }

    pub(crate) fn subprotocol(&self) -> Subprotocol {
        self.subprotocol
    }

    /// Bytes taken from the peer so far.
    pub(crate) fn taken(&self) -> u64 {
        match &self.carrier {
            Carrier::Bytes(connection) => connection.taken(),
            Carrier::Messages(messages) => messages.taken,
        }
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
        let (Carrier::Bytes(connection), Encoding::Binary) = (&mut self.carrier, self.encoding) else {
            return None;
        };
        let message = connection.whole_message(input, wanted)?;
        self.heartbeat.heard(now);
        Some(message)
    }

    /// What came next in `input`.
    pub(crate) fn next(&mut self, now: Instant, input: &mut BytesMut) -> Result<Option<Incoming>, Error> {
        loop {
            let Carrier::Bytes(connection) = &mut self.carrier else {
                return Err(ErrorKind::Misuse("bytes were given to a session over messages").into());
            };
            if self.decoder.broken().is_none() {
                match connection.next(input)? {
                    Some(Received::Data(piece)) => {
                        self.heartbeat.heard(now);
                        if let Some(incoming) = self.decode(now, piece)? {
                            return Ok(Some(incoming));
                        }
                    }
                    Some(Received::Control) => {
                        self.heartbeat.heard(now);
                        self.free(now)?;
                    }
                    Some(Received::Close(reason)) => return Ok(Some(Incoming::Closed(reason))),
                    None => return Ok(None),
                }
            } else {
                self.surface_broken()?;
            }
        }
    }

    /// What `message` comes to; it is always taken whole.
    pub(crate) fn message(&mut self, now: Instant, message: Message) -> Result<Option<Incoming>, Error> {
        let Carrier::Messages(messages) = &mut self.carrier else {
            return Err(ErrorKind::Misuse("a message was given to a session over bytes").into());
        };
        if messages.closed {
            return Ok(None);
        }
        messages.message_start = messages.taken;
        let (len, limit) = (message.len() as u64, messages.message_limit);
        messages.taken += len;
        if matches!(message, Message::Close(_)) {
            messages.closed = true;
        }
        self.heartbeat.heard(now);
        self.surface_broken()?;
        if len > limit {
            return Err(self.fail(ErrorKind::Limit { what: "bytes of one message", limit }));
        }
        match message {
            Message::Binary(payload) | Message::Text(payload) => {
                self.decode(now, Piece { payload, start: true, end: true })
            }
            Message::Ping(_) | Message::Pong(_) => self.free(now).map(|()| None),
            Message::Close(reason) => Ok(Some(Incoming::Closed(reason))),
        }
    }

    #[inline]
    fn decode(&mut self, now: Instant, piece: Piece) -> Result<Option<Incoming>, Error> {
        let (empty, end) = (piece.payload.is_empty(), piece.end);
        let chunk = match self.decoder.decode(piece) {
            Ok(chunk) => chunk,
            Err(violation) => return Err(self.fail(violation)),
        };
        match chunk {
            Some(Chunk { channel, content: Content::Data { payload, end } }) => {
                Ok(Some(Incoming::Data { channel, payload, end }))
            }
            Some(Chunk { channel, content: Content::Closed }) => Ok(Some(Incoming::ChannelClosed(channel))),
            Some(Chunk { channel, content: Content::Bare }) => Ok(Some(Incoming::Bare(channel))),
            // Whether a frame counts as free does not depend on how its bytes were cut: a frame in progress does not.
            None if empty || end => self.free(now).map(|()| None),
            None => Ok(None),
        }
    }

    /// A fault found behind data is due once that data was taken.
    fn surface_broken(&mut self) -> Result<(), Error> {
        match self.decoder.broken() {
            Some(violation) => Err(self.fail(violation)),
            None => Ok(()),
        }
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
        let at = match &self.carrier {
            Carrier::Bytes(connection) => connection.frame_start(),
            Carrier::Messages(messages) => messages.message_start,
        };
        let error = Error::at(at, kind);
        self.close(error.close_code(), &error.kind().to_string());
        error
    }

    /// Bytes that may be sent now.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        match &self.carrier {
            Carrier::Bytes(connection) => connection.room(),
            Carrier::Messages(messages) => messages.limit.saturating_sub(messages.queued),
        }
    }

    /// Bytes that wait to be sent.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        match &self.carrier {
            Carrier::Bytes(connection) => connection.queued(),
            Carrier::Messages(messages) => messages.queued,
        }
    }

    /// Sends all of `payload` on a channel, in as many messages as it takes. An empty one is one empty message.
    #[inline]
    pub(crate) fn send(&mut self, channel: u8, payload: &[u8]) {
        if payload.len() <= self.outgoing_message {
            return self.send_message(channel, payload);
        }
        for part in payload.chunks(self.outgoing_message) {
            self.send_message(channel, part);
        }
    }

    #[inline]
    fn send_message(&mut self, channel: u8, payload: &[u8]) {
        match (self.encoding, &mut self.carrier) {
            (Encoding::Binary, Carrier::Bytes(connection)) => {
                connection.send_copied(Opcode::BINARY, [channel], payload);
            }
            (encoding, _) => self.send_otherwise(encoding, channel, payload),
        }
    }

    /// Off the path that has to be fast.
    fn send_otherwise(&mut self, encoding: Encoding, channel: u8, payload: &[u8]) {
        match (encoding, &mut self.carrier) {
            (Encoding::Binary, Carrier::Bytes(connection)) => {
                connection.send_copied(Opcode::BINARY, [channel], payload);
            }
            (Encoding::Binary, Carrier::Messages(messages)) => {
                messages.push(Message::Binary([&[channel], payload].concat().into()));
            }
            (Encoding::Base64, carrier) => {
                self.text.clear();
                self.text.push(char::from(b'0'.saturating_add(channel)));
                channel::encode_into(&mut self.text, payload);
                match carrier {
                    Carrier::Bytes(connection) => {
                        connection.send_copied(Opcode::TEXT, [], self.text.as_bytes());
                    }
                    Carrier::Messages(messages) => {
                        messages.push(Message::Text(std::mem::take(&mut self.text).into()));
                    }
                }
            }
        }
    }

    /// Like [`send`](Self::send), but without a copy where none is needed.
    pub(crate) fn send_shared(&mut self, channel: u8, mut payload: Bytes) {
        let Carrier::Bytes(connection) = &mut self.carrier else { return self.send(channel, &payload) };
        if self.encoding != Encoding::Binary {
            return self.send(channel, &payload);
        }
        while !payload.is_empty() {
            let part = payload.split_to(payload.len().min(self.outgoing_message));
            connection.send_shared(Opcode::BINARY, [channel], part);
        }
    }

    /// Ends a channel (v5 only; FRM-9).
    pub(crate) fn close_channel(&mut self, channel: u8) {
        self.send_message(channel::CLOSE, &[channel]);
    }

    /// Closes the connection with a close frame, if none went out before.
    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        match &mut self.carrier {
            Carrier::Bytes(connection) => connection.close_with(code, reason),
            Carrier::Messages(messages) if !messages.close_sent && !messages.closed => {
                messages.push(Message::Close(CloseReason { code: Some(code), reason: reason.into() }));
                messages.close_sent = true;
            }
            Carrier::Messages(_) => {}
        }
    }

    /// The stream under the connection ended, or nothing more is awaited of it.
    pub(crate) fn end(&mut self) {
        match &mut self.carrier {
            Carrier::Bytes(connection) => connection.end(),
            Carrier::Messages(messages) => messages.closed = true,
        }
    }

    pub(crate) fn set_reading(&mut self, now: Instant, reading: Reading) {
        self.heartbeat.set_reading(now, reading);
    }

    /// Whether no close frame went either way.
    pub(crate) fn is_open(&self) -> bool {
        match &self.carrier {
            Carrier::Bytes(connection) => connection.is_open(),
            Carrier::Messages(messages) => !messages.closed && !messages.close_sent,
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn timeout(&self) -> Option<Instant> {
        if self.is_open() { self.heartbeat.timeout() } else { None }
    }

    /// Pings, or finds the peer dead.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        match self.heartbeat.beat(now) {
            Beat::Nothing => Ok(()),
            Beat::Ping => {
                match &mut self.carrier {
                    Carrier::Bytes(connection) => connection.ping(),
                    Carrier::Messages(messages) => messages.ping(),
                }
                Ok(())
            }
            Beat::Dead(after) => {
                self.end();
                Err(Error::from(ErrorKind::Silent { after }))
            }
        }
    }

    /// The bytes to write to the peer; empty for a session over messages.
    #[inline]
    pub(crate) fn transmit(&mut self) -> Option<&mut Transmit> {
        match &mut self.carrier {
            Carrier::Bytes(connection) => Some(connection.transmit()),
            Carrier::Messages(_) => None,
        }
    }

    /// The next message to send; none for a session over bytes.
    pub(crate) fn poll_message(&mut self) -> Option<Message> {
        let Carrier::Messages(messages) = &mut self.carrier else { return None };
        let message = messages.queue.pop_front()?;
        messages.queued -= message.len();
        Some(message)
    }
}

impl Messages {
    /// Pings, unless a ping waits already: a peer that reads nothing costs no memory.
    fn ping(&mut self) {
        if !self.queue.iter().any(|message| matches!(message, Message::Ping(_))) {
            self.push(Message::Ping(Bytes::new()));
        }
    }

    fn push(&mut self, message: Message) {
        if !self.close_sent {
            self.queued += message.len();
            self.queue.push_back(message);
        }
    }
}

/// Counts, second by second, the frames that carry nothing.
struct FreeFrames {
    limit: u32,
    count: u32,
    since: Instant,
}

impl FreeFrames {
    fn new(limits: &Limits, now: Instant) -> Self {
        Self { limit: limits.free_frames, count: 0, since: now }
    }

    fn count(&mut self, now: Instant) -> Result<(), ErrorKind> {
        if now.saturating_duration_since(self.since).as_secs() > 0 {
            (self.count, self.since) = (0, now);
        }
        self.count += 1;
        if self.count > self.limit {
            let limit = u64::from(self.limit);
            return Err(ErrorKind::Limit { what: "frames a second that carry nothing", limit });
        }
        Ok(())
    }
}
