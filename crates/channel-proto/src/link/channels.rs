//! The first column: channels over a WebSocket, whether its bytes or its messages come to us.

use bytes::{Bytes, BytesMut};

use super::{Came, Incoming, Way, messages::Messages};
use crate::{
    channel::{self, ChannelDecoder, Chunk, Content},
    error::{Error, ErrorKind},
    message::Message,
    session::SessionConfig,
    subprotocol::{Encoding, Subprotocol},
    websocket::{Connection, Opcode, Piece, Received, Role, Transmit},
};

/// Channels over one WebSocket connection.
pub(super) struct Channels<C> {
    encoding: Encoding,
    carrier: C,
    decoder: ChannelDecoder,
    outgoing_message: usize,
    /// Scratch for base64.
    text: String,
}

/// Where frames come from and go to: the bytes of a connection, or messages of somebody else's.
pub(super) trait Carrier {
    /// Bytes taken from the peer so far.
    fn taken(&self) -> u64;

    /// Where in them the newest frame or message began.
    fn start(&self) -> u64;

    /// Bytes that may be sent now.
    fn room(&self) -> usize;

    /// Bytes that wait to be sent.
    fn queued(&self) -> usize;

    /// Sends a channel byte and a payload as a binary message.
    fn send_binary(&mut self, channel: u8, payload: &[u8]);

    /// The same without a copy, if the carrier can.
    fn send_shared(&mut self, channel: u8, payload: Bytes);

    /// Sends a text message. What is left in `text` means nothing.
    fn send_text(&mut self, text: &mut String);

    fn ping(&mut self);

    fn close(&mut self, code: u16, reason: &str);

    fn end(&mut self);

    fn is_open(&self) -> bool;
}

impl<C: Carrier> Channels<C> {
    pub(super) fn new(role: Role, subprotocol: Subprotocol, config: &SessionConfig, carrier: C) -> Self {
        Self {
            encoding: subprotocol.encoding(),
            carrier,
            decoder: ChannelDecoder::new(role, subprotocol),
            outgoing_message: config.limits.outgoing_message,
            text: String::new(),
        }
    }

    pub(super) fn taken(&self) -> u64 {
        self.carrier.taken()
    }

    #[inline]
    fn decode(&mut self, piece: Piece) -> Result<Came, Error> {
        let (empty, end) = (piece.payload.is_empty(), piece.end);
        let chunk = match self.decoder.decode(piece) {
            Ok(chunk) => chunk,
            Err(violation) => return Err(self.fail(violation)),
        };
        Ok(match chunk {
            Some(Chunk { channel, content: Content::Data { payload, end } }) => {
                Came::Incoming(Incoming::Data { channel, payload, end })
            }
            Some(Chunk { channel, content: Content::Closed }) => {
                Came::Incoming(Incoming::ChannelClosed(channel))
            }
            Some(Chunk { channel, content: Content::Bare }) => Came::Incoming(Incoming::Bare(channel)),
            // Whether a frame counts as free does not depend on how its bytes were cut: a frame in progress does not.
            None if empty || end => Came::Free,
            None => Came::Silent,
        })
    }

    #[inline]
    pub(super) fn is_broken(&self) -> bool {
        self.decoder.broken().is_some()
    }

    /// A fault found behind data is due once that data was taken.
    #[inline]
    fn surface_broken(&mut self) -> Result<(), Error> {
        match self.decoder.broken() {
            Some(violation) => Err(self.fail(violation)),
            None => Ok(()),
        }
    }

    pub(super) fn fail(&mut self, kind: impl Into<ErrorKind>) -> Error {
        let error = Error::at(self.carrier.start(), kind);
        self.close(error.close_code(), &error.kind().to_string());
        error
    }

    /// All channels share it.
    #[inline]
    pub(super) fn room(&self, _channel: u8) -> usize {
        self.carrier.room()
    }

    #[inline]
    pub(super) fn way(&self, _channel: u8) -> Way {
        Way::Open
    }

    /// Half of the buffer, so that a writer is not woken for every byte.
    pub(super) fn is_worth_waking(&self) -> bool {
        self.queued() <= self.carrier.room()
    }

    #[inline]
    pub(super) fn queued(&self) -> usize {
        self.carrier.queued()
    }

    /// In as many messages as it takes.
    #[inline]
    pub(super) fn send(&mut self, channel: u8, payload: &[u8]) {
        if payload.len() <= self.outgoing_message {
            return self.send_message(channel, payload);
        }
        self.send_in_parts(channel, payload);
    }

    #[inline(never)]
    fn send_in_parts(&mut self, channel: u8, payload: &[u8]) {
        for part in payload.chunks(self.outgoing_message) {
            self.send_message(channel, part);
        }
    }

    #[inline]
    fn send_message(&mut self, channel: u8, payload: &[u8]) {
        match self.encoding {
            Encoding::Binary => self.carrier.send_binary(channel, payload),
            Encoding::Base64 => self.send_base64(channel, payload),
        }
    }

    /// Off the path that has to be fast.
    #[inline(never)]
    fn send_base64(&mut self, channel: u8, payload: &[u8]) {
        self.text.clear();
        self.text.push(char::from(b'0'.saturating_add(channel)));
        channel::encode_into(&mut self.text, payload);
        self.carrier.send_text(&mut self.text);
    }

    pub(super) fn send_shared(&mut self, channel: u8, mut payload: Bytes) {
        if self.encoding != Encoding::Binary {
            return self.send(channel, &payload);
        }
        while !payload.is_empty() {
            let part = payload.split_to(payload.len().min(self.outgoing_message));
            self.carrier.send_shared(channel, part);
        }
    }

    /// v5 only (FRM-9).
    pub(super) fn close_channel(&mut self, channel: u8) {
        self.send_message(channel::CLOSE, &[channel]);
    }

    pub(super) fn ping(&mut self) {
        self.carrier.ping();
    }

    pub(super) fn close(&mut self, code: u16, reason: &str) {
        self.carrier.close(code, reason);
    }

    pub(super) fn end(&mut self) {
        self.carrier.end();
    }

    pub(super) fn is_open(&self) -> bool {
        self.carrier.is_open()
    }
}

impl Channels<Connection> {
    /// See [`Link::whole_message`](super::Link::whole_message).
    #[inline]
    pub(super) fn whole_message<T>(
        &mut self,
        input: &mut BytesMut,
        wanted: impl FnOnce(u8) -> Option<T>,
    ) -> Option<(T, Bytes)> {
        match self.encoding {
            Encoding::Binary => self.carrier.whole_message(input, wanted),
            Encoding::Base64 => None,
        }
    }

    #[inline]
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Came>, Error> {
        self.surface_broken()?;
        Ok(match self.carrier.next(input)? {
            Some(Received::Data(piece)) => Some(self.decode(piece)?),
            Some(Received::Control) => Some(Came::Free),
            Some(Received::Close(reason)) => Some(Came::Incoming(Incoming::Closed(reason))),
            None => None,
        })
    }

    #[inline]
    pub(super) fn transmit(&mut self) -> &mut Transmit {
        self.carrier.transmit()
    }
}

impl Channels<Messages> {
    /// See [`Link::message`](super::Link::message).
    pub(super) fn message(&mut self, message: Message) -> Result<Option<Came>, Error> {
        if self.carrier.is_closed() {
            return Ok(None);
        }
        let limit = self.carrier.take(&message);
        self.surface_broken()?;
        if message.len() as u64 > limit {
            return Err(self.fail(ErrorKind::Limit { what: "bytes of one message", limit }));
        }
        Ok(Some(match message {
            Message::Binary(payload) | Message::Text(payload) => {
                self.decode(Piece { payload, start: true, end: true })?
            }
            Message::Ping(_) | Message::Pong(_) => Came::Free,
            Message::Close(reason) => Came::Incoming(Incoming::Closed(reason)),
        }))
    }

    pub(super) fn poll_message(&mut self) -> Option<Message> {
        self.carrier.pop()
    }
}

impl Carrier for Connection {
    fn taken(&self) -> u64 {
        self.taken()
    }

    fn start(&self) -> u64 {
        self.frame_start()
    }

    #[inline]
    fn room(&self) -> usize {
        self.room()
    }

    #[inline]
    fn queued(&self) -> usize {
        self.queued()
    }

    #[inline]
    fn send_binary(&mut self, channel: u8, payload: &[u8]) {
        self.send_copied(Opcode::BINARY, [channel], payload);
    }

    #[inline]
    fn send_shared(&mut self, channel: u8, payload: Bytes) {
        self.send_shared(Opcode::BINARY, [channel], payload);
    }

    fn send_text(&mut self, text: &mut String) {
        self.send_copied(Opcode::TEXT, [], text.as_bytes());
    }

    fn ping(&mut self) {
        self.ping();
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.close_with(code, reason);
    }

    fn end(&mut self) {
        self.end();
    }

    fn is_open(&self) -> bool {
        self.is_open()
    }
}
