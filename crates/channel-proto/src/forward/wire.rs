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
    websocket::{Connection as WebSocket, Opcode, Received, Role},
};

/// Bytes of SPDY in one message of a tunnel. 32 KiB, as kubectl's and the kubelet's own.
const MESSAGE: usize = 32 << 10;

/// SPDY, and what carries it.
pub(super) struct Wire {
    pub(super) spdy: Spdy,
    /// The WebSocket around it, in a tunnel.
    tunnel: Option<WebSocket>,
    /// What was read and SPDY has yet to take.
    input: Bytes,
    free: FreeFrames,
    heartbeat: Heartbeat,
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
            input: Bytes::new(),
            free: FreeFrames::new(&config.limits),
            heartbeat: Heartbeat::new(config.heartbeat, now),
        }
    }

    pub(super) fn tunnel(role: Role, config: &SessionConfig, now: Instant) -> Self {
        let tunnel = WebSocket::new(role, config.strictness, &config.limits, config.seed);
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
                Some(Received::Data(piece)) => self.input = piece.payload,
                Some(Received::Control) => {
                    if let Err(kind) = self.free.count(now) {
                        let error = Error::at(self.taken(), kind);
                        return Err(self.fail(error));
                    }
                }
                Some(Received::Close(reason)) => return Ok(Some(Incoming::Closed(reason))),
                None => return Ok(None),
            }
            self.heartbeat.heard(now);
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.close_with(error.close_code(), &error.kind().to_string());
        }
        error
    }

    /// No more connections; what goes on goes on. In a tunnel the close frame follows once everything was sent.
    pub(super) fn go_away(&mut self) {
        self.spdy.goaway(GoAwayStatus::OK);
    }

    /// Says farewell at once.
    pub(super) fn close(&mut self) {
        self.go_away();
        self.lay_out();
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.close_with(1000, "");
        }
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

    /// Puts what SPDY has to say into messages, as far as there is room for them.
    fn lay_out(&mut self) {
        let Some(tunnel) = &mut self.tunnel else { return };
        while tunnel.is_open() && tunnel.room() > 0 {
            let frames = self.spdy.transmit();
            if frames.is_empty() {
                break;
            }
            tunnel.send_from(Opcode::BINARY, frames, MESSAGE);
        }
    }
}
