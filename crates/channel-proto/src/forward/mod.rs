//! Port-forward: many connections to ports of a pod over one upgraded connection, for both ends.

mod connection;
mod streams;
mod wire;

use std::{collections::VecDeque, fmt, time::Instant};

use bytes::{Bytes, BytesMut};

pub use connection::ConnectionId;
use streams::Streams;
use wire::{Incoming, Wire};

use crate::{
    error::Error, heartbeat::Reading, outcome::CloseReason, session::SessionConfig, transmit::Transmit,
    websocket::Role,
};

/// One end of a port-forward over SPDY streams, raw or tunnelled.
///
/// Its methods come in the four families of a [`Session`](crate::session::Session), and are called in the same order. Connections are
/// independent of each other: what happens to one is told for that one, and the others go on. Each lives until the application
/// [forgets](Self::forget) it, so that an id is never used for another one while somebody still holds it.
pub struct Forward {
    role: Role,
    wire: Wire,
    streams: Streams,
    events: VecDeque<ForwardEvent>,
    close: Option<CloseReason>,
    life: Life,
    failed: Option<Error>,
}

/// Where a forward is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    /// We closed it: nothing is sent any more, and the end of the stream is awaited.
    Closing,
    /// Nothing comes any more, and the application has to be told.
    Ended,
    Told,
}

/// What a forward tells its application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardEvent {
    /// Server: the client wants a connection to this port. Connect to it, or [say](Forward::fail_connection) why not.
    Connect(ConnectionId, u16),
    /// Data from the other end of a connection. Never empty.
    Data(ConnectionId, Bytes),
    /// The other end sends nothing more; it may still be sent to.
    End(ConnectionId),
    /// Client: the pod says that this connection failed, and why.
    Failed(ConnectionId, String),
    /// The other end broke this connection off.
    Reset(ConnectionId),
    /// After [`ForwardError::Blocked`]: there is room for this connection again.
    Writable(ConnectionId),
    /// The peer takes no more connections; those there are go on.
    GoingAway,
    /// The forward is over, and with it every connection. The last event.
    Ended(Option<CloseReason>),
}

impl ForwardEvent {
    /// The connection that it is about, if it is about one.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Connect(id, _) | Self::Data(id, _) | Self::Failed(id, _) => Some(*id),
            Self::End(id) | Self::Reset(id) | Self::Writable(id) => Some(*id),
            Self::GoingAway | Self::Ended(_) => None,
        }
    }
}

/// Why a command was not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardError {
    /// Too much waits to be sent. A [`Writable`](ForwardEvent::Writable) event tells when there is room again.
    Blocked,
    /// Our half of the connection was finished before.
    Finished,
    /// The connection is over.
    Gone,
    /// As many connections are open as [`Limits::spdy_streams`](crate::Limits::spdy_streams) allows.
    TooMany,
    /// The forward takes no more connections, or is over.
    GoingAway,
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocked => "too much waits to be sent",
            Self::Finished => "this half of the connection was ended",
            Self::Gone => "the connection is over",
            Self::TooMany => "too many connections are open on this forward",
            Self::GoingAway => "the forward takes no more connections",
        })
    }
}

impl std::error::Error for ForwardError {}

impl Forward {
    /// A forward on a connection that was upgraded to SPDY.
    pub fn over_spdy(role: Role, config: &SessionConfig, now: Instant) -> Self {
        Self::new(role, config, Wire::raw(role, config, now))
    }

    /// A forward in the tunnel, `SPDY/3.1+portforward.k8s.io`.
    pub fn over_tunnel(role: Role, config: &SessionConfig, now: Instant) -> Self {
        Self::new(role, config, Wire::tunnel(role, config, now))
    }

    fn new(role: Role, config: &SessionConfig, wire: Wire) -> Self {
        Self {
            role,
            wire,
            streams: Streams::new(role, &config.limits),
            events: VecDeque::new(),
            close: None,
            life: Life::Running,
            failed: None,
        }
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Bytes of the peer's stream that were taken so far.
    pub fn bytes_taken(&self) -> u64 {
        self.wire.taken()
    }

    /// How many connections there are that were not forgotten.
    pub fn connections(&self) -> usize {
        self.streams.connections()
    }

    /// Whether it takes no more connections.
    pub fn is_going_away(&self) -> bool {
        self.life != Life::Running || self.failed.is_some() || self.wire.spdy.is_going_away()
    }

    /// Whether we closed it, so that nothing is sent any more.
    pub fn is_closing(&self) -> bool {
        self.life != Life::Running
    }

    /// Bytes came from the peer. Takes what it can from the front of `input`, and leaves what comes behind an event that was not taken.
    ///
    /// # Errors
    /// The peer broke the protocol or went over a limit. The error sticks. What one connection does wrong is no error, but its end.
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), Error> {
        self.check()?;
        while self.events.is_empty() && matches!(self.life, Life::Running | Life::Closing) {
            match self.wire.next(now, input) {
                Ok(Some(Incoming::Spdy(event))) => {
                    self.streams.handle(now, event, &mut self.wire.spdy, &mut self.events);
                }
                Ok(Some(Incoming::Closed(reason))) => {
                    self.close = Some(reason);
                    self.life = Life::Ended;
                }
                Ok(None) => break,
                Err(error) => return Err(self.fail(error)),
            }
        }
        Ok(())
    }

    /// The peer's byte stream ended. Call it when [`handle_input`](Self::handle_input) took what it could.
    pub fn handle_eof(&mut self) {
        self.wire.end();
        if self.life != Life::Told {
            self.life = Life::Ended;
        }
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) came.
    ///
    /// # Errors
    /// The peer was silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.check()?;
        if matches!(self.life, Life::Ended | Life::Told) {
            return Ok(());
        }
        self.streams.handle_timeout(now, &mut self.wire.spdy, &mut self.events);
        self.wire.handle_timeout(now).map_err(|error| self.fail(error))
    }

    /// The driver stopped reading, or reads again.
    pub fn set_reading(&mut self, now: Instant, reading: Reading) {
        self.wire.set_reading(now, reading);
    }

    /// What the application should hear next.
    #[must_use = "an event not taken stops the forward"]
    pub fn poll_event(&mut self) -> Option<ForwardEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if let Some(id) = self.streams.writable(&self.wire.spdy) {
            return Some(ForwardEvent::Writable(id));
        }
        if self.life == Life::Ended && self.failed.is_none() {
            self.life = Life::Told;
            return Some(ForwardEvent::Ended(self.close.take()));
        }
        None
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if matches!(self.life, Life::Ended | Life::Told) || self.failed.is_some() {
            return None;
        }
        self.wire.timeout().into_iter().chain(self.streams.timeout()).min()
    }

    /// The bytes to write to the peer. Ask again after each write.
    #[must_use = "what is not written does not reach the peer"]
    pub fn transmit(&mut self) -> &mut Transmit {
        self.wire.transmit()
    }

    /// Client: opens a connection to a port of the pod. It can be written to at once: the data follows the request, and no round trip is
    /// waited for (PFW-9).
    ///
    /// # Errors
    /// [`ForwardError::TooMany`], [`ForwardError::GoingAway`].
    pub fn connect(&mut self, port: u16) -> Result<ConnectionId, ForwardError> {
        if self.life != Life::Running || self.failed.is_some() {
            return Err(ForwardError::GoingAway);
        }
        self.streams.connect(port, &mut self.wire.spdy)
    }

    /// Sends the front of `data` on a connection, and tells how many bytes it took.
    ///
    /// # Errors
    /// [`ForwardError::Blocked`] when it took nothing; the others when it never will.
    pub fn write(&mut self, id: ConnectionId, data: &[u8]) -> Result<usize, ForwardError> {
        self.streams.write(id, |stream| self.wire.spdy.send(stream, data))
    }

    /// Sends `data` on a connection as the slice it is (a client's tunnel must mask, and copies). It is taken whole if there is any room.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_bytes(&mut self, id: ConnectionId, data: &Bytes) -> Result<(), ForwardError> {
        self.streams.write(id, |stream| self.wire.spdy.send_bytes(stream, data))
    }

    /// Ends our half of a connection; the other half goes on. A second time does nothing.
    pub fn finish(&mut self, id: ConnectionId) {
        self.streams.finish(id, &mut self.wire.spdy);
    }

    /// Server: the connection failed, and this is why. The others go on.
    pub fn fail_connection(&mut self, id: ConnectionId, why: &str) {
        self.streams.fail(id, why, &mut self.wire.spdy);
    }

    /// Breaks a connection off, in both directions and at once.
    pub fn reset(&mut self, id: ConnectionId) {
        self.streams.reset(id, &mut self.wire.spdy);
    }

    /// The application is done with a connection: if it is not over, it is broken off. Its id may be used for another one.
    pub fn forget(&mut self, id: ConnectionId) {
        self.streams.forget(id, &mut self.wire.spdy);
        // Whoever has the id next must not hear of this one.
        self.events.retain(|event| event.connection() != Some(id));
    }

    /// Ends the forward: every connection is over, and the peer is told.
    pub fn abort(&mut self) {
        if self.life == Life::Running && self.failed.is_none() {
            self.wire.close();
            self.life = Life::Closing;
        }
    }

    fn check(&self) -> Result<(), Error> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.failed = Some(error.clone());
        error
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward")
            .field("role", &self.role)
            .field("connections", &self.connections())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
