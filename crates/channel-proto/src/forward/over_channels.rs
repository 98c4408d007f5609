//! A forward over WebSocket channels: of port i, channel 2i carries the data and 2i + 1 the error (PFW-11).

use std::{collections::VecDeque, time::Instant};

use bytes::{Bytes, BytesMut};

use super::{
    ConnectionId, ForwardError, ForwardEvent, Step, Unsent,
    connection::Writer,
    port::{First, Ours, Port, Taken, data_channel, error_channel, id_of},
    streams::{MOST_TEXT, NO_REASON},
};
use crate::{
    channel::{self, ChannelDecoder, Chunk, Content},
    error::{ChannelViolation, Error, ErrorKind},
    free_frames::FreeFrames,
    heartbeat::{Beat, Heartbeat, Reading},
    outcome::CloseReason,
    session::SessionConfig,
    subprotocol::{Encoding, Subprotocol},
    transmit::Transmit,
    websocket::{Connection as WebSocket, Opcode, Piece, Received, Role},
};

type Events = VecDeque<ForwardEvent>;

pub(super) struct OverChannels {
    role: Role,
    encoding: Encoding,
    socket: WebSocket,
    decoder: ChannelDecoder,
    /// Whether the last message that came is still to be ended.
    inside_message: bool,
    /// In the order of the upgrade; a connection's id is its place.
    ports: Vec<Port>,
    /// Client: bytes that came for ports to which nobody connected yet.
    early: usize,
    early_limit: usize,
    /// What came beyond that: nothing more is read until somebody connects.
    held: Option<(usize, Bytes)>,
    blocked: VecDeque<usize>,
    free: FreeFrames,
    heartbeat: Heartbeat,
    reading: Reading,
    outgoing_message: usize,
    text_limit: usize,
    /// Scratch for base64.
    text: String,
}

impl OverChannels {
    pub(super) fn new(
        role: Role,
        ports: &[u16],
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
        out: &mut Events,
    ) -> Result<Self, ForwardError> {
        if ports.len() > subprotocol.most_ports().ok_or(ForwardError::Subprotocol)? {
            return Err(ForwardError::TooMany);
        }
        let mut channels = Self {
            role,
            encoding: subprotocol.encoding(),
            socket: WebSocket::new(role, config.strictness, &config.limits, config.seed),
            decoder: ChannelDecoder::new(role, subprotocol),
            inside_message: false,
            ports: ports.iter().map(|port| Port::new(role, *port)).collect(),
            early: 0,
            early_limit: config.limits.unread,
            held: None,
            blocked: VecDeque::new(),
            free: FreeFrames::new(&config.limits),
            heartbeat: Heartbeat::new(config.heartbeat, now),
            reading: Reading::Active,
            outgoing_message: config.limits.outgoing_message.max(1),
            text_limit: config.limits.status.min(MOST_TEXT),
            text: String::new(),
        };
        if role == Role::Server {
            for (at, port) in ports.iter().enumerate() {
                channels.send(data_channel(at), &port.to_le_bytes());
                channels.send(error_channel(at), &port.to_le_bytes());
                out.push_back(ForwardEvent::Connect(id_of(at), *port));
            }
        }
        Ok(channels)
    }

    pub(super) fn taken(&self) -> u64 {
        self.socket.taken()
    }

    pub(super) fn connections(&self) -> usize {
        self.ports.iter().filter(|port| port.taken == Taken::Connected).count()
    }

    pub(super) fn step(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        out: &mut Events,
    ) -> Result<Step, Error> {
        self.tell_heartbeat(now);
        if self.held.is_some() {
            return Ok(Step::Dry);
        }
        if let Some(violation) = self.decoder.broken() {
            return Err(self.fail_with(violation));
        }
        match self.socket.next(input)? {
            Some(Received::Data(piece)) => {
                self.heartbeat.heard(now);
                self.piece(now, piece, out)?;
            }
            Some(Received::Control) => {
                self.heartbeat.heard(now);
                self.count_free(now)?;
            }
            Some(Received::Close(reason)) => return Ok(Step::Closed(reason)),
            None => return Ok(Step::Dry),
        }
        Ok(Step::Taken)
    }

    fn piece(&mut self, now: Instant, piece: Piece, out: &mut Events) -> Result<(), Error> {
        let (empty, end) = (piece.payload.is_empty(), piece.end);
        self.inside_message = !end;
        let chunk = self.decoder.decode(piece).map_err(|violation| self.fail_with(violation))?;
        let Some(Chunk { channel, content }) = chunk else {
            return if empty || end { self.count_free(now) } else { Ok(()) };
        };
        let (at, is_error) = (usize::from(channel / 2), channel % 2 == 1);
        let Some(port) = self.ports.get_mut(at) else {
            return if end { self.count_free(now) } else { Ok(()) };
        };
        let (payload, ends, bare) = match content {
            Content::Data { payload, end } => (payload, end, false),
            Content::Bare | Content::Closed => (Bytes::new(), true, true),
        };
        let first = if is_error { &mut port.error } else { &mut port.data };
        if *first != First::Came {
            let took = first.take(port.number, &payload, ends);
            return took.map_err(|()| self.fail_with(ChannelViolation::PortMessage));
        }
        match (is_error, self.role) {
            _ if bare => return self.count_free(now),
            (false, _) => self.deliver(at, payload, out),
            (true, Role::Client) => {
                let room = self.text_limit.saturating_sub(port.text.len());
                port.text.extend_from_slice(&payload[..payload.len().min(room)]);
                if ends {
                    port.failed(id_of(at), out);
                }
            }
            // A client has nothing to say there.
            (true, Role::Server) if ends => return self.count_free(now),
            (true, Role::Server) => {}
        }
        Ok(())
    }

    /// Data for a connection; if nobody connected yet, it is kept as far as there is room.
    fn deliver(&mut self, at: usize, payload: Bytes, out: &mut Events) {
        let Some(port) = self.ports.get_mut(at) else { return };
        match port.taken {
            _ if port.is_over() || payload.is_empty() => {}
            Taken::Forgotten => {}
            Taken::Connected => out.push_back(ForwardEvent::Data(id_of(at), payload)),
            Taken::Free if self.early + payload.len() <= self.early_limit => {
                self.early += payload.len();
                port.early.extend_from_slice(&payload);
            }
            Taken::Free => self.held = Some((at, payload)),
        }
    }

    /// The forward is over: with close 1000, and no message cut off, its connections ended well (PFW-14).
    pub(super) fn over(&mut self, close: Option<&CloseReason>, out: &mut Events) {
        let well = close.is_some_and(|close| close.code == Some(1000)) && !self.inside_message;
        for (at, port) in self.ports.iter_mut().enumerate() {
            if !port.text.is_empty() {
                port.failed(id_of(at), out);
            } else if well {
                port.ended(id_of(at), out);
            }
        }
    }

    pub(super) fn end(&mut self) {
        self.socket.end();
    }

    pub(super) fn close(&mut self) {
        // Nobody connects any more, and behind what waits for somebody is the peer's close frame.
        self.held = None;
        let free = self.ports.iter_mut().filter(|port| port.taken == Taken::Free);
        free.for_each(|port| port.taken = Taken::Forgotten);
        self.socket.close_with(1000, "");
    }

    fn count_free(&mut self, now: Instant) -> Result<(), Error> {
        self.free.count(now).map_err(|kind| self.fail_with(kind))
    }

    fn fail_with(&mut self, kind: impl Into<ErrorKind>) -> Error {
        let error = Error::at(self.socket.frame_start(), kind);
        self.socket.close_with(error.close_code(), &error.kind().to_string());
        error
    }

    pub(super) fn set_reading(&mut self, now: Instant, reading: Reading) {
        self.reading = reading;
        self.tell_heartbeat(now);
    }

    fn tell_heartbeat(&mut self, now: Instant) {
        self.heartbeat.set_reading(now, self.reads());
    }

    /// The client that connects may be late: while data waits for it, nothing is read, and silence means nothing.
    fn reads(&self) -> Reading {
        if self.held.is_some() { Reading::Paused } else { self.reading }
    }

    /// Once somebody connected, of whom [`connect`](Self::connect) does not say when, that is at once.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.heartbeat.timeout_if(self.reads())
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, _: &mut Events) -> Result<(), Error> {
        self.tell_heartbeat(now);
        match self.heartbeat.beat(now) {
            Beat::Nothing => Ok(()),
            Beat::Ping => {
                self.socket.ping();
                Ok(())
            }
            Beat::Dead(after) => {
                self.end();
                Err(ErrorKind::Silent { after }.into())
            }
        }
    }

    /// A connection that waited for room. Half of the buffer has to be free, so that a writer is not woken for every byte.
    pub(super) fn writable(&mut self) -> Option<ConnectionId> {
        if self.socket.room() <= self.socket.queued() {
            return None;
        }
        while let Some(at) = self.blocked.pop_front() {
            let Some(port) = self.ports.get_mut(at) else { continue };
            port.writer = Writer::Free;
            if port.may_write().is_ok() {
                return Some(id_of(at));
            }
        }
        None
    }

    pub(super) fn transmit(&mut self) -> &mut Transmit {
        self.socket.transmit()
    }

    pub(super) fn is_drained(&self) -> bool {
        self.socket.is_drained()
    }

    pub(super) fn connect(&mut self, port: u16, out: &mut Events) -> Result<ConnectionId, ForwardError> {
        if self.role == Role::Server {
            return Err(ForwardError::ServerSide);
        }
        let mut of_port = (0..).zip(&mut self.ports).filter(|(_, known)| known.number == port).peekable();
        of_port.peek().ok_or(ForwardError::PortUnknown)?;
        let (at, port) =
            of_port.find(|(_, port)| port.taken == Taken::Free).ok_or(ForwardError::PortTaken)?;
        self.early -= port.early.len();
        port.connect(id_of(at), out);
        if let Some((held_for, payload)) = self.held.take() {
            self.deliver(held_for, payload, out);
        }
        Ok(id_of(at))
    }

    fn port(&mut self, id: ConnectionId) -> Option<&mut Port> {
        self.ports.get_mut(id.index()).filter(|port| port.taken == Taken::Connected)
    }

    /// Bytes that may be sent on a connection now.
    fn room(&mut self, id: ConnectionId) -> Result<usize, ForwardError> {
        let room = self.socket.room();
        let port = self.port(id).ok_or(ForwardError::Gone)?;
        port.may_write()?;
        if room > 0 {
            return Ok(room);
        }
        if port.writer == Writer::Free {
            port.writer = Writer::Blocked;
            self.blocked.push_back(id.index());
        }
        Err(ForwardError::Blocked)
    }

    pub(super) fn write(&mut self, id: ConnectionId, data: &[u8]) -> Result<usize, ForwardError> {
        let len = self.room(id)?.min(data.len());
        for part in data[..len].chunks(self.outgoing_message) {
            self.send(data_channel(id.index()), part);
        }
        Ok(len)
    }

    pub(super) fn write_bytes(&mut self, id: ConnectionId, data: &Bytes) -> Result<(), ForwardError> {
        self.room(id)?;
        let mut rest = data.clone();
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(self.outgoing_message));
            match self.encoding {
                Encoding::Binary => {
                    self.socket.send_shared(Opcode::BINARY, [data_channel(id.index())], part);
                }
                Encoding::Base64 => self.send(data_channel(id.index()), &part),
            }
        }
        Ok(())
    }

    /// Sends one message, unless a close frame went before.
    fn send(&mut self, channel: u8, payload: &[u8]) {
        if !self.socket.is_open() {
            return;
        }
        match self.encoding {
            Encoding::Binary => self.socket.send_copied(Opcode::BINARY, [channel], payload),
            Encoding::Base64 => {
                self.text.clear();
                self.text.push(char::from(b'0'.saturating_add(channel)));
                channel::encode_into(&mut self.text, payload);
                self.socket.send_copied(Opcode::TEXT, [], self.text.as_bytes());
            }
        }
    }

    /// Of a client's connection no direction ends alone. A server's ends whole with the port's own half: when all have, the forward is done.
    pub(super) fn finish(&mut self, id: ConnectionId) -> Result<(), ForwardError> {
        let server = self.role == Role::Server;
        let port = self.port(id).ok_or(ForwardError::Gone)?;
        match port.is_over() {
            _ if server => {}
            // Nothing is left to end, and why it is over is the better answer.
            true => return Err(ForwardError::Gone),
            false => return Err(ForwardError::NoHalfClose),
        }
        port.ours = Ours::Done;
        Ok(())
    }

    /// Server: says why, in a message of its own.
    pub(super) fn fail(&mut self, id: ConnectionId, why: &str, _: &mut Events) {
        self.refuse(id, why);
    }

    fn refuse(&mut self, id: ConnectionId, why: &str) {
        let (server, most) = (self.role == Role::Server, self.outgoing_message);
        let Some(port) = self.port(id).filter(|port| server && port.ours == Ours::Open) else { return };
        port.ours = Ours::Done;
        port.give_up();
        let why = if why.is_empty() { NO_REASON } else { why };
        let end = (0..=why.len().min(most)).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0);
        self.send(error_channel(id.index()), &why.as_bytes()[..end]);
    }

    /// Ports come with the upgrade, which was accepted.
    pub(super) fn await_reply(&self, _: ConnectionId) -> bool {
        true
    }

    /// Ports come with the upgrade: there are no more.
    pub(super) fn is_going_away(&self) -> bool {
        false
    }

    /// Channels have no reset: a server says that it failed, and a client can only leave.
    pub(super) fn reset(&mut self, id: ConnectionId, _: Unsent) {
        self.forget(id);
    }

    pub(super) fn forget(&mut self, id: ConnectionId) {
        // Nothing else keeps a client from taking this for a good end.
        self.refuse(id, "the connection was broken off");
        if let Some(port) = self.port(id) {
            port.taken = Taken::Forgotten;
        }
    }

    /// Whether nothing can happen any more: all that the server has to say was said, or the client has no use for any port.
    pub(super) fn is_done(&self) -> bool {
        match self.role {
            Role::Server => self.ports.iter().all(|port| port.ours == Ours::Done),
            Role::Client => {
                !self.ports.is_empty() && self.ports.iter().all(|port| port.taken == Taken::Forgotten)
            }
        }
    }
}
