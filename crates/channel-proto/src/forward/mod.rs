//! Port-forward: many connections to ports of a pod over one upgraded connection, for both ends.

mod column;
mod connection;
mod event;
mod over_channels;
mod over_spdy;
mod pairing;
mod port;
mod streams;
mod wire;

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use column::{Column, Step, Unsent, Worth, with};
pub use connection::ConnectionId;
pub use event::{ForwardError, ForwardEvent};
use over_channels::OverChannels;
use over_spdy::OverSpdy;
use wire::Wire;

use crate::{
    error::Error, heartbeat::Reading, outcome::CloseReason, session::SessionConfig, subprotocol::Subprotocol,
    transmit::Transmit, websocket::Role,
};

/// One end of a port-forward over SPDY streams, raw or tunnelled, or over WebSocket channels.
///
/// Its methods come in the four families of a [`Session`](crate::session::Session), and are called in the same order. Connections are
/// independent of each other: what happens to one is told for that one, and the others go on. Each lives until the application
/// [forgets](Self::forget) it, so that an id is never used for another one while somebody still holds it.
///
/// What differs between the columns: over SPDY there are as many connections as wanted, to any port, and either direction of one ends alone. Over
/// channels there is one for each port of the upgrade, no direction ends alone, and only the end of all says that one ended well.
pub struct Forward {
    role: Role,
    column: Column,
    events: VecDeque<ForwardEvent>,
    close: Option<CloseReason>,
    life: Life,
    stream: ByteStream,
    failed: Option<Error>,
    /// When something was last heard of the time.
    now: Instant,
    linger: Duration,
    /// Until when the end is awaited after our close; it begins with the first time that is told after it.
    linger_until: Option<Instant>,
}

/// Where a forward is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    /// We closed it: nothing more is told, and the end of the stream is awaited.
    Closing,
    /// Nothing comes any more, and the application has to be told.
    Ended,
    /// The application was told, or knows of the error.
    Told,
}

/// The peer's byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByteStream {
    Open,
    /// It ended; what was taken of it is still to be told.
    Ended,
}

/// Nobody waits longer for an end, and no clock overflows.
const MOST_LINGER: Duration = Duration::from_secs(24 * 60 * 60);

impl Forward {
    /// A forward on a connection that was upgraded to SPDY.
    pub fn over_spdy(role: Role, config: &SessionConfig, now: Instant) -> Self {
        let column = OverSpdy::new(role, config, Wire::raw(role, config, now));
        Self::new(role, config, Column::Spdy(column.into()), now)
    }

    /// A forward in the tunnel, `SPDY/3.1+portforward.k8s.io`. The tunnel is strict, whatever `config` says (TUN-3).
    pub fn over_tunnel(role: Role, config: &SessionConfig, now: Instant) -> Self {
        let column = OverSpdy::new(role, config, Wire::tunnel(role, config, now));
        Self::new(role, config, Column::Spdy(column.into()), now)
    }

    /// A forward over WebSocket channels, of the ports that the upgrade asked for, in that order. A server is told to
    /// [connect](ForwardEvent::Connect) to all of them at once.
    ///
    /// # Errors
    /// [`ForwardError::Subprotocol`] if it is none of `V4`, `V4Base64` and `Unnamed`; [`ForwardError::TooMany`] for more than 128 ports, or 40
    /// in base64.
    pub fn over_channels(
        role: Role,
        ports: &[u16],
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
    ) -> Result<Self, ForwardError> {
        let mut events = VecDeque::new();
        let column = OverChannels::new(role, ports, subprotocol, config, now, &mut events)?;
        let mut forward = Self::new(role, config, Column::Channels(column.into()), now);
        forward.events = events;
        forward.close_if_done();
        Ok(forward)
    }

    fn new(role: Role, config: &SessionConfig, column: Column, now: Instant) -> Self {
        Self {
            role,
            column,
            events: VecDeque::new(),
            close: None,
            life: Life::Running,
            stream: ByteStream::Open,
            failed: None,
            now,
            linger: config.linger.min(MOST_LINGER),
            linger_until: None,
        }
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether our half of a connection can be [finished](Self::finish) while the other goes on: over SPDY, but not over channels.
    pub fn can_half_close(&self) -> bool {
        matches!(self.column, Column::Spdy(_))
    }

    /// Bytes of the peer's stream that were taken so far.
    pub fn bytes_taken(&self) -> u64 {
        with!(column = &self.column, column.taken())
    }

    /// How many connections there are that were not forgotten.
    pub fn connections(&self) -> usize {
        with!(column = &self.column, column.connections())
    }

    /// Whether it takes no more connections.
    pub fn is_going_away(&self) -> bool {
        self.life != Life::Running || with!(column = &self.column, column.is_going_away())
    }

    /// Whether it was closed, so that nothing is sent any more.
    pub fn is_closing(&self) -> bool {
        self.life != Life::Running
    }

    /// Bytes came from the peer. Takes what it can from the front of `input`. While an event waits to be taken it takes nothing.
    ///
    /// # Errors
    /// The peer broke the protocol or went over a limit. The error sticks. What one connection does wrong is no error, but its end.
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), Error> {
        self.check()?;
        self.tell_time(now);
        let taken = self.take(now, input);
        if matches!(self.life, Life::Ended | Life::Told) {
            input.clear();
        }
        taken
    }

    fn take(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), Error> {
        while self.events.is_empty() && matches!(self.life, Life::Running | Life::Closing) {
            let step = with!(column = &mut self.column, column.step(now, input, &mut self.events));
            if self.life == Life::Closing {
                self.events.clear();
            }
            match step {
                Ok(Step::Taken) => {}
                Ok(Step::Dry) => break,
                Ok(Step::Closed(reason)) => self.end(Some(reason)),
                Err(error) => return Err(self.fail(error)),
            }
        }
        Ok(())
    }

    /// The peer's byte stream ended. Call it when [`handle_input`](Self::handle_input) left nothing of what came before.
    pub fn handle_eof(&mut self) {
        with!(column = &mut self.column, column.end());
        self.stream = ByteStream::Ended;
        self.drain();
    }

    /// Behind the end of the stream: takes what of it was not told yet, and then ends.
    fn drain(&mut self) {
        if matches!(self.life, Life::Ended | Life::Told) || !self.events.is_empty() {
            return;
        }
        let drained = self.take(self.now, &mut BytesMut::new());
        if drained.is_err() {
            // Nobody was told of the error.
            self.life = Life::Ended;
        } else if self.events.is_empty() && self.life != Life::Ended {
            self.end(None);
        }
    }

    /// Nothing comes any more.
    fn end(&mut self, close: Option<CloseReason>) {
        if self.life == Life::Running {
            with!(column = &mut self.column, column.over(close.as_ref(), &mut self.events));
        }
        self.close = close;
        self.life = Life::Ended;
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) came.
    ///
    /// # Errors
    /// The peer was silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.check()?;
        self.tell_time(now);
        match self.life {
            Life::Running => {
                let timed = with!(column = &mut self.column, column.handle_timeout(now, &mut self.events));
                timed.map_err(|error| self.fail(error))?;
            }
            Life::Closing if self.linger_until.is_some_and(|until| now >= until) => self.end(None),
            Life::Closing | Life::Ended | Life::Told => {}
        }
        Ok(())
    }

    fn tell_time(&mut self, now: Instant) {
        self.now = now;
        if self.life == Life::Closing {
            self.linger_until.get_or_insert(now + self.linger);
        }
    }

    /// The driver stopped reading, or reads again. While it does not read, silence means nothing.
    pub fn set_reading(&mut self, now: Instant, reading: Reading) {
        with!(column = &mut self.column, column.set_reading(now, reading));
    }

    /// What the application should hear next.
    #[must_use = "an event not taken stops the forward"]
    pub fn poll_event(&mut self) -> Option<ForwardEvent> {
        if self.stream == ByteStream::Ended {
            self.drain();
        }
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        match self.life {
            Life::Running => with!(column = &mut self.column, column.writable()).map(ForwardEvent::Writable),
            Life::Ended => {
                self.life = Life::Told;
                Some(ForwardEvent::Ended(self.close.take()))
            }
            Life::Closing | Life::Told => None,
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.life {
            Life::Running => with!(column = &self.column, column.timeout()),
            // Due at once, to be told the time.
            Life::Closing => Some(self.linger_until.unwrap_or(self.now)),
            Life::Ended | Life::Told => None,
        }
    }

    /// The bytes to write to the peer. Ask again after each write.
    #[must_use = "what is not written does not reach the peer"]
    pub fn transmit(&mut self) -> &mut Transmit {
        with!(column = &mut self.column, column.transmit())
    }

    /// Whether all that was written was taken from [`transmit`](Self::transmit). If a tunnel is closed before, it never is.
    pub fn is_drained(&self) -> bool {
        with!(column = &self.column, column.is_drained())
    }

    /// Client: opens a connection to a port of the pod. It can be written to at once: the data follows the request, and no round trip is
    /// waited for (PFW-9). Over channels it gives the one connection of that port, and with it what came already.
    ///
    /// # Errors
    /// [`ForwardError::TooMany`], [`ForwardError::GoingAway`], [`ForwardError::ServerSide`]; over channels [`ForwardError::PortTaken`] and
    /// [`ForwardError::PortUnknown`].
    pub fn connect(&mut self, port: u16) -> Result<ConnectionId, ForwardError> {
        if self.life != Life::Running {
            return Err(ForwardError::GoingAway);
        }
        with!(column = &mut self.column, column.connect(port, &mut self.events))
    }

    /// Client: tells whether the peer has accepted a connection. If not, writes are [`Blocked`](ForwardError::Blocked) until it has, and a
    /// [`Writable`](ForwardEvent::Writable) tells of that. The real servers accept before they dial the port, and over channels there is nothing to
    /// accept.
    pub fn await_accept(&mut self, id: ConnectionId) -> bool {
        with!(column = &mut self.column, column.await_reply(id))
    }

    /// Sends the front of `data` on a connection, and tells how many bytes it took.
    ///
    /// # Errors
    /// [`ForwardError::Blocked`] when it took nothing; the others when it never will.
    pub fn write(&mut self, id: ConnectionId, data: &[u8]) -> Result<usize, ForwardError> {
        self.check_running()?;
        with!(column = &mut self.column, column.write(id, data))
    }

    /// Sends `data` on a connection as the slice it is (a client's WebSocket must mask, and copies). It is taken whole if there is any room.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_bytes(&mut self, id: ConnectionId, data: &Bytes) -> Result<(), ForwardError> {
        self.check_running()?;
        with!(column = &mut self.column, column.write_bytes(id, data))
    }

    /// Ends our half of a connection; the other half goes on. A second time does nothing. A server's connection over channels ends whole with it, and
    /// when the last one has, the forward closes.
    ///
    /// # Errors
    /// [`ForwardError::Gone`]; for a client over channels [`ForwardError::NoHalfClose`], and nothing was done.
    pub fn finish(&mut self, id: ConnectionId) -> Result<(), ForwardError> {
        self.check_running()?;
        let finished = with!(column = &mut self.column, column.finish(id));
        self.close_if_done();
        finished
    }

    /// Server: the connection failed, and this is why. The others go on. If the client cannot be told any more, and may not have ended its
    /// half, a [`Reset`](ForwardEvent::Reset) says so.
    pub fn fail_connection(&mut self, id: ConnectionId, why: &str) {
        if self.life != Life::Running {
            return;
        }
        with!(column = &mut self.column, column.fail(id, why, &mut self.events));
        self.close_if_done();
    }

    /// Breaks a connection off, in both directions and at once: what was not sent yet is dropped. The others go on.
    pub fn reset(&mut self, id: ConnectionId) {
        with!(column = &mut self.column, column.reset(id, Unsent::Dropped));
        self.close_if_done();
    }

    /// Breaks a connection off as [`reset`](Self::reset) does, but behind what was written to it, which is still sent.
    pub fn break_off(&mut self, id: ConnectionId) {
        with!(column = &mut self.column, column.reset(id, Unsent::Sent));
        self.close_if_done();
    }

    /// The application is done with a connection: if it is not over, it is broken off. Its id may be used for another one. A client over
    /// channels cannot tell the server before it forgot all: then the forward closes.
    pub fn forget(&mut self, id: ConnectionId) {
        with!(column = &mut self.column, column.forget(id));
        // Whoever has the id next must not hear of this one.
        self.events.retain(|event| event.connection() != Some(id));
        self.close_if_done();
    }

    /// Ends the forward: every connection is over, and the peer is told. What was not taken yet is dropped.
    pub fn abort(&mut self) {
        if self.life == Life::Running {
            self.events.clear();
            self.close();
        }
    }

    /// Over channels a forward can be complete.
    fn close_if_done(&mut self) {
        if self.life == Life::Running && with!(column = &self.column, column.is_done()) {
            self.close();
        }
    }

    fn close(&mut self) {
        with!(column = &mut self.column, column.close());
        self.life = Life::Closing;
    }

    fn check_running(&self) -> Result<(), ForwardError> {
        if self.life == Life::Running { Ok(()) } else { Err(ForwardError::Gone) }
    }

    fn check(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, error: Error) -> Error {
        self.life = Life::Told;
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
