//! The SPDY connection of a forward, on a byte stream of its own or tunnelled in WebSocket messages.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::{
    error::{Error, ErrorKind},
    free_frames::FreeFrames,
    heartbeat::{Beat, Heartbeat, Reading},
    outcome::CloseReason,
    session::SessionConfig,
    spdy::{Connection as Spdy, Event, GoAwayStatus},
    transmit::Transmit,
    websocket::{Connection as WebSocket, Opcode, Piece, Received, Role},
};

/// Bytes of SPDY in one message of a tunnel. 32 KiB, as kubectl's and the kubelet's own.
const MESSAGE: usize = 32 << 10;

/// SPDY, and what carries it.
pub(super) struct Wire {
    pub(super) spdy: Spdy,
    /// The WebSocket around it, in a tunnel.
    tunnel: Option<WebSocket>,
    /// The close frame of the tunnel that goes when SPDY has nothing more to say: its code, and why.
    farewell: Option<(u16, String)>,
    message: Message,
    /// What was read and SPDY has yet to take.
    input: Bytes,
    free: FreeFrames,
    heartbeat: Heartbeat,
}

/// Whether the message in progress carried anything so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Empty,
    Carried,
}

/// What came from the peer.
pub(super) enum Incoming {
    Spdy(Event),
    /// The tunnel was closed.
    Closed(CloseReason),
}

impl Wire {
    pub(super) fn raw(role: Role, config: &SessionConfig, now: Instant) -> Self {
        Self {
            spdy: Spdy::new(role, &config.limits),
            tunnel: None,
            farewell: None,
            message: Message::Empty,
            input: Bytes::new(),
            free: FreeFrames::new(&config.limits),
            heartbeat: Heartbeat::new(config.heartbeat, now),
        }
    }

    pub(super) fn tunnel(role: Role, config: &SessionConfig, now: Instant) -> Self {
        let tunnel = WebSocket::tunnel(role, &config.limits, config.seed);
        Self { tunnel: Some(tunnel), ..Self::raw(role, config, now) }
    }

    /// Bytes taken from the peer so far.
    pub(super) fn taken(&self) -> u64 {
        self.tunnel.as_ref().map_or(self.spdy.bytes_taken(), WebSocket::taken)
    }

    /// What came next in `input`.
    pub(super) fn next(&mut self, now: Instant, input: &mut BytesMut) -> Result<Option<Incoming>, Error> {
        loop {
            match self.spdy.next(now, &mut self.input) {
                Ok(Some(event)) => return Ok(Some(Incoming::Spdy(event))),
                // What answers what came has to be written before more is taken.
                Ok(None) if !self.spdy.wants_input() => return Ok(None),
                Ok(None) => {}
                Err(error) => return Err(self.fail(error)),
            }
            let Some(tunnel) = &mut self.tunnel else {
                if input.is_empty() {
                    return Ok(None);
                }
                self.heartbeat.heard(now);
                self.input = input.split().freeze();
                continue;
            };
            match tunnel.next(input)? {
                // Where messages and fragments end means nothing to what they carry (TUN-1).
                Some(Received::Data(piece)) => {
                    self.count_empty(now, &piece)?;
                    self.input = piece.payload;
                }
                Some(Received::Control) => self.count_free(now)?,
                Some(Received::Close(reason)) => return Ok(Some(Incoming::Closed(reason))),
                None => return Ok(None),
            }
            self.heartbeat.heard(now);
        }
    }

    /// An empty frame is free, except for the one with which the real servers end each message.
    fn count_empty(&mut self, now: Instant, piece: &Piece) -> Result<(), Error> {
        if piece.start {
            self.message = Message::Empty;
        }
        if !piece.payload.is_empty() {
            self.message = Message::Carried;
        } else if !piece.end || self.message == Message::Empty {
            self.count_free(now)?;
        }
        Ok(())
    }

    /// Counts something that was of no use.
    pub(super) fn count_free(&mut self, now: Instant) -> Result<(), Error> {
        match self.free.count(now) {
            Ok(()) => Ok(()),
            Err(kind) => {
                let error = Error::at(self.taken(), kind);
                Err(self.fail(error))
            }
        }
    }

    /// Tells the peer. In a tunnel the error stands where the message began in which it was found.
    fn fail(&mut self, error: Error) -> Error {
        self.spdy.goaway(GoAwayStatus::PROTOCOL_ERROR);
        let Some(tunnel) = &self.tunnel else { return error };
        self.farewell = Some((error.close_code(), error.kind().to_string()));
        Error::at(tunnel.frame_start(), error.kind().clone())
    }

    /// Says farewell behind all that was written (TUN-4).
    pub(super) fn close(&mut self) {
        self.spdy.goaway(GoAwayStatus::OK);
        self.farewell = Some((1000, String::new()));
    }

    pub(super) fn end(&mut self) {
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.end();
        }
    }

    pub(super) fn set_reading(&mut self, now: Instant, reading: Reading) {
        self.heartbeat.set_reading(now, reading);
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.heartbeat.timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        match (self.heartbeat.beat(now), &mut self.tunnel) {
            (Beat::Nothing, _) => {}
            (Beat::Ping, Some(tunnel)) => tunnel.ping(),
            // A peer that reads nothing costs no memory.
            (Beat::Ping, None) if !self.spdy.wants_input() => {}
            (Beat::Ping, None) => {
                self.spdy.ping();
            }
            (Beat::Dead(after), _) => {
                self.end();
                return Err(ErrorKind::Silent { after }.into());
            }
        }
        Ok(())
    }

    /// The bytes to write to the peer.
    pub(super) fn transmit(&mut self) -> &mut Transmit {
        self.lay_out();
        match &mut self.tunnel {
            Some(tunnel) => tunnel.transmit(),
            None => self.spdy.transmit(),
        }
    }

    /// Whether nothing waits to be written, not even what a closed tunnel cannot carry any more.
    pub(super) fn is_drained(&self) -> bool {
        let tunnel = self.tunnel.as_ref().is_none_or(WebSocket::is_drained);
        tunnel && self.farewell.is_none() && self.spdy.is_drained()
    }

    /// Puts what SPDY has to say into messages, as far as there is room for them; behind the last of it goes the close frame.
    fn lay_out(&mut self) {
        let Some(tunnel) = &mut self.tunnel else { return };
        while tunnel.is_open() && tunnel.room() > 0 {
            let frames = self.spdy.transmit();
            if frames.is_empty() {
                break;
            }
            tunnel.send_from(Opcode::BINARY, frames, MESSAGE);
        }
        if self.spdy.is_drained()
            && let Some((code, why)) = self.farewell.take()
        {
            tunnel.close_with(code, &why);
        }
    }
}
