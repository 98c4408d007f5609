//! Sessions of exec and attach, after the upgrade, for both ends.

mod client;
mod config;
mod errors;
mod linger;
mod resize;
mod server;
mod side;
mod state;
mod status;

use std::{fmt, time::Instant};

use bytes::BytesMut;

pub use client::{Client, ClientEvent, Output};
pub use config::SessionConfig;
pub use errors::{CloseStdinError, ResizeError, WriteError};
pub use resize::TerminalSize;
pub use server::{Server, ServerEvent};
pub use side::Side;
use side::sealed;

use crate::{
    channel,
    error::Error,
    heartbeat::Reading,
    link::{Incoming, Link, Way},
    message::Message,
    outcome::CloseReason,
    subprotocol::Subprotocol,
    websocket::{Role, Transmit},
};
use linger::Linger;
use state::{Phase, PhaseInput};

/// The client's end of a session.
pub type ClientSession = Session<Client>;
/// The server's end of a session.
pub type ServerSession = Session<Server>;

/// One end of an exec or attach session, from the upgrade to the end, over WebSocket or over SPDY.
///
/// It does no I/O. Its methods come in four families:
///
/// * **getters** take `&self`: [`subprotocol`](Self::subprotocol), [`bytes_taken`](Self::bytes_taken), …
/// * **`handle_*`** tell it what happened: [`handle_input`](Self::handle_input), [`handle_eof`](Self::handle_eof),
///   [`handle_timeout`](Self::handle_timeout); [`handle_message`](Self::handle_message) in the place of the first for a session over messages.
/// * **commands** say what the application wants: [`write_stdin`](Session::<Client>::write_stdin),
///   [`write_output`](Session::<Server>::write_output), [`finish`](Session::<Server>::finish), …
/// * **`poll_*`** and [`transmit`](Self::transmit) say what to do next: [`poll_event`](Self::poll_event), [`poll_timeout`](Self::poll_timeout);
///   [`poll_message`](Self::poll_message) in the place of `transmit` for a session over messages.
///
/// [`next_event`](Self::next_event) is `handle_input` and `poll_event` in one.
///
/// After each `handle_*` and each command: take events until there is none (handing it the rest of the input in between: it
/// holds one event at a time and leaves in your buffer what comes behind it), write what `transmit` holds, look for events once more
/// (that there is room again is one), sleep until the timeout or until bytes come. That an event is left untaken is backpressure: nothing more is read then.
///
/// Errors are fatal and stick; output that came before one was handed out before it.
pub struct Session<S: Side> {
    side: S,
    link: Link,
    phase: Phase,
    event: Option<<S as Side>::Event>,
    /// A writer was told "blocked", and is still to be told "writable".
    writer: Writer,
    failed: Option<Error>,
    linger: Linger,
    close: Option<CloseReason>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Free,
    Blocked,
}

/// Whether the event that ends a session was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Untold,
    Told,
}

impl<S: Side> Session<S> {
    fn new(side: S, link: Link, config: &SessionConfig) -> Self {
        Self {
            side,
            link,
            phase: Phase::Running,
            event: None,
            writer: Writer::Free,
            failed: None,
            linger: Linger::new(config.linger),
            close: None,
            end: End::Untold,
        }
    }

    /// The subprotocol that was negotiated, and with it what this session can do.
    pub fn subprotocol(&self) -> Subprotocol {
        self.link.subprotocol()
    }

    /// Whether stdin can be ended while output goes on: over WebSocket in v5 alone, over SPDY always (EXE-4, SPE-6).
    pub fn can_half_close(&self) -> bool {
        self.subprotocol().can_half_close_over(self.link.transport())
    }

    /// Whether sizes of the terminal, if there is one, reach the command: over WebSocket always, over SPDY from v3 on (SPE-7).
    pub fn can_resize(&self) -> bool {
        self.subprotocol().can_resize_over(self.link.transport())
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        S::ROLE
    }

    /// Bytes of the peer's stream that were taken so far.
    pub fn bytes_taken(&self) -> u64 {
        self.link.taken()
    }

    /// Whether the last event was handed out, so that nothing comes any more.
    pub fn is_ended(&self) -> bool {
        self.end == End::Told
    }

    /// Whether our close frame (over SPDY, our GOAWAY) went out, or was queued: nothing is sent behind it.
    pub fn is_closing(&self) -> bool {
        !self.link.is_open()
    }

    /// Whether the status came or went, or the session was given up: what remains is the end of the connection.
    pub fn is_concluded(&self) -> bool {
        !self.may_command()
    }

    /// Whether more input is of any use now: no event waits to be taken, and the session goes on.
    #[inline]
    pub fn wants_input(&self) -> bool {
        self.event.is_none() && self.phase != Phase::Ended
    }

    /// Whether nothing is to be had from [`next_event`](Self::next_event) unless more input comes: no event waits, no writer, and no end.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.wants_input() && self.writer == Writer::Free && self.failed.is_none() && !self.link.is_holding()
    }

    /// Bytes came from the peer. Takes what it can from the front of `input` and leaves the rest: the beginning of a frame
    /// header, or what comes behind an event that [`poll_event`](Self::poll_event) has not taken yet.
    ///
    /// # Errors
    /// The peer broke the protocol or went over a limit. The error sticks.
    #[inline(never)] // which keeps next_event short
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), Error> {
        self.check()?;
        while self.event.is_none() && self.phase != Phase::Ended {
            match self.link.next(now, input) {
                Ok(Some(incoming)) => self.take(now, incoming)?,
                Ok(None) => break,
                Err(error) => return Err(self.fail(error)),
            }
        }
        if self.phase == Phase::Ended {
            input.clear();
        }
        Ok(())
    }

    /// A message came from the peer. It is taken whole or, while an event waits to be taken, given back.
    ///
    /// # Errors
    /// As [`handle_input`](Self::handle_input).
    pub fn handle_message(&mut self, now: Instant, message: Message) -> Result<Option<Message>, Error> {
        self.check()?;
        if self.event.is_some() {
            return Ok(Some(message));
        }
        match self.link.message(now, message) {
            Ok(Some(incoming)) => self.take(now, incoming)?,
            Ok(None) => {}
            Err(error) => return Err(self.fail(error)),
        }
        Ok(None)
    }

    /// The peer's byte stream ended. Call it when [`handle_input`](Self::handle_input) took what it could of what came before.
    pub fn handle_eof(&mut self) {
        self.link.end();
        self.phase = self.phase.after(PhaseInput::End);
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) came. Calling it early does no harm.
    ///
    /// # Errors
    /// The peer was silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.check()?;
        if self.linger.is_over(now, self.link.queued()) {
            self.handle_eof();
        }
        if self.phase == Phase::Ended {
            return Ok(());
        }
        self.link.handle_timeout(now).map_err(|error| self.fail(error))
    }

    /// Gives the session up: says so to the peer with a close frame (1001; over SPDY, with resets and a GOAWAY), if nobody said so before. No status goes.
    pub fn abort(&mut self, now: Instant) {
        self.link.close(1001, "");
        self.conclude(now);
    }

    /// The driver stopped reading, or reads again. While it does not read, silence does not make the peer count as dead.
    pub fn set_reading(&mut self, now: Instant, reading: Reading) {
        self.link.set_reading(now, reading);
    }

    /// What the application should hear next.
    #[must_use = "an event not taken stops the session"]
    #[inline]
    pub fn poll_event(&mut self) -> Option<S::Event> {
        if let Some(event) = self.event.take() {
            return Some(event);
        }
        if self.writer == Writer::Blocked && self.may_wake_writer() {
            self.writer = Writer::Free;
            return Some(S::WRITABLE);
        }
        if self.phase == Phase::Ended && self.end == End::Untold && self.failed.is_none() {
            self.end = End::Told;
            return Some(self.side.ended(self.close.take()));
        }
        None
    }

    /// [`handle_input`](Self::handle_input) and then [`poll_event`](Self::poll_event), which is the loop of a driver: until there is no event.
    /// Messages that are there whole are taken faster here.
    ///
    /// # Errors
    /// As [`handle_input`](Self::handle_input).
    #[inline]
    pub fn next_event(&mut self, now: Instant, input: &mut BytesMut) -> Result<Option<S::Event>, Error> {
        if self.wants_input()
            && let Some((output, payload)) = self.link.whole_message(now, input, S::output)
        {
            return Ok(Some(S::output_event(output, payload)));
        }
        if !input.is_empty() || self.failed.is_some() || self.link.is_holding() {
            self.handle_input(now, input)?;
        }
        Ok(self.poll_event())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Ended {
            return None;
        }
        self.link.timeout().into_iter().chain(self.linger.until()).min()
    }

    /// The bytes to write to the peer. Write some, then [`advance`](bytes::Buf::advance) by what was written. A session over messages has none.
    #[must_use = "what is not written does not reach the peer"]
    #[inline]
    pub fn transmit(&mut self) -> Option<&mut Transmit> {
        self.send_deferred();
        self.link.transmit()
    }

    /// The next message to send to the peer. A session over bytes has none.
    #[must_use = "what is not sent does not reach the peer"]
    pub fn poll_message(&mut self) -> Option<Message> {
        self.send_deferred();
        self.link.poll_message()
    }

    /// Once a status went a writer has nothing to wait for, and at the end the last event tells it.
    fn may_wake_writer(&self) -> bool {
        match self.phase {
            Phase::Running => self.link.is_worth_waking(),
            Phase::Concluded => true,
            Phase::Ended => false,
        }
    }

    #[inline]
    fn send_deferred(&mut self) {
        if self.side.is_deferring()
            && self.may_command()
            && self.link.room(channel::RESIZE) > 0
            && let Some((channel, payload)) = self.side.deferred()
        {
            self.link.send(channel, &payload);
        }
    }

    fn take(&mut self, now: Instant, incoming: Incoming) -> Result<(), Error> {
        let mut whole = true;
        let taken = match incoming {
            Incoming::Data { channel, payload, end } => {
                whole = end;
                self.side.data(channel, payload, end)
            }
            Incoming::Bare(channel) => Ok(self.side.bare(channel)),
            Incoming::ChannelClosed(channel) => Ok(self.side.channel_closed(channel)),
            #[cfg(feature = "spdy")]
            Incoming::Exhausted => Ok(sealed::Taken::Concluded),
            Incoming::Closed(close) => {
                self.close = Some(close);
                self.phase = self.phase.after(PhaseInput::End);
                return Ok(());
            }
        };
        match taken {
            Ok(sealed::Taken::Event(event)) => self.event = Some(event),
            Ok(sealed::Taken::Silent) => {}
            Ok(sealed::Taken::Free) if !whole => {}
            Ok(sealed::Taken::Free) => {
                if let Err(error) = self.link.free(now) {
                    return Err(self.fail(error));
                }
            }
            Ok(sealed::Taken::Concluded) => self.conclude(now),
            Err(kind) => {
                let error = self.link.fail(kind);
                return Err(self.fail(error));
            }
        }
        Ok(())
    }

    fn conclude(&mut self, now: Instant) {
        self.phase = self.phase.after(PhaseInput::Conclude);
        self.linger.begin(now, self.link.queued());
    }

    /// How much of `len` bytes may be sent on a channel now; at least one byte, if any.
    #[inline]
    fn may_send(&mut self, channel: u8, len: usize) -> Result<usize, WriteError> {
        if !self.may_command() {
            return Err(WriteError::Ended);
        }
        match self.link.room(channel) {
            0 => Err(self.blocked(channel)),
            room => Ok(len.min(room)),
        }
    }

    /// Why there is no room on a channel. Off the path that has to be fast.
    fn blocked(&mut self, channel: u8) -> WriteError {
        match self.link.way(channel) {
            Way::Gone => WriteError::Closed,
            Way::Open => {
                self.writer = Writer::Blocked;
                WriteError::Blocked
            }
        }
    }

    /// Whether anything may still be sent: no status went, no close frame, nothing failed.
    #[inline]
    fn may_command(&self) -> bool {
        self.phase == Phase::Running
    }

    #[inline]
    fn check(&self) -> Result<(), Error> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.phase = self.phase.after(PhaseInput::End);
        self.failed = Some(error.clone());
        error
    }
}

impl<S: Side> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("role", &S::ROLE)
            .field("subprotocol", &self.subprotocol())
            .field("phase", &self.phase)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
