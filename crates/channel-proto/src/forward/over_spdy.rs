//! A forward over SPDY, raw or tunnelled: what carries it, and its connections.

use std::{collections::VecDeque, time::Instant};

use bytes::{Bytes, BytesMut};

use super::{
    ConnectionId, ForwardError, ForwardEvent, Step, Unsent, Worth,
    streams::Streams,
    wire::{Incoming, Wire},
};
use crate::{
    error::Error, heartbeat::Reading, outcome::CloseReason, session::SessionConfig, transmit::Transmit,
    websocket::Role,
};

type Events = VecDeque<ForwardEvent>;

pub(super) struct OverSpdy {
    wire: Wire,
    streams: Streams,
    /// Since when nothing is read.
    paused: Option<Instant>,
}

impl OverSpdy {
    pub(super) fn new(role: Role, config: &SessionConfig, wire: Wire) -> Self {
        Self { wire, streams: Streams::new(role, &config.limits), paused: None }
    }

    pub(super) fn taken(&self) -> u64 {
        self.wire.taken()
    }

    pub(super) fn connections(&self) -> usize {
        self.streams.connections()
    }

    pub(super) fn step(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        out: &mut Events,
    ) -> Result<Step, Error> {
        Ok(match self.wire.next(now, input)? {
            Some(Incoming::Spdy(event)) => {
                if self.streams.handle(now, event, &mut self.wire.spdy, out) == Worth::Nothing {
                    self.wire.count_free(now)?;
                }
                Step::Taken
            }
            Some(Incoming::Closed(reason)) => Step::Closed(reason),
            None => Step::Dry,
        })
    }

    /// A connection ends with its streams, and not with what carries it (PFW-7).
    pub(super) fn over(&mut self, _: Option<&CloseReason>, out: &mut Events) {
        self.streams.end(&mut self.wire.spdy, out);
    }

    pub(super) fn end(&mut self) {
        self.wire.end();
    }

    pub(super) fn close(&mut self) {
        self.wire.close();
    }

    pub(super) fn set_reading(&mut self, now: Instant, reading: Reading) {
        match reading {
            Reading::Paused => {
                self.paused.get_or_insert(now);
            }
            Reading::Active => {
                if let Some(since) = self.paused.take() {
                    self.streams.extend_grace(now.saturating_duration_since(since));
                }
            }
        }
        self.wire.set_reading(now, reading);
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        let streams = self.streams.timeout().filter(|_| self.paused.is_none());
        self.wire.timeout().into_iter().chain(streams).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Events) -> Result<(), Error> {
        if self.paused.is_none() {
            self.streams.handle_timeout(now, &mut self.wire.spdy, out);
        }
        self.wire.handle_timeout(now)
    }

    pub(super) fn writable(&mut self) -> Option<ConnectionId> {
        self.streams.writable(&self.wire.spdy)
    }

    pub(super) fn transmit(&mut self) -> &mut Transmit {
        self.wire.transmit()
    }

    pub(super) fn is_drained(&self) -> bool {
        self.wire.is_drained()
    }

    pub(super) fn connect(&mut self, port: u16, _: &mut Events) -> Result<ConnectionId, ForwardError> {
        self.streams.connect(port, &mut self.wire.spdy)
    }

    pub(super) fn await_reply(&mut self, id: ConnectionId) -> bool {
        self.streams.await_reply(id)
    }

    pub(super) fn write(&mut self, id: ConnectionId, data: &[u8]) -> Result<usize, ForwardError> {
        self.streams.write(id, |stream| self.wire.spdy.send(stream, data))
    }

    pub(super) fn write_bytes(&mut self, id: ConnectionId, data: &Bytes) -> Result<(), ForwardError> {
        self.streams.write(id, |stream| self.wire.spdy.send_bytes(stream, data))
    }

    pub(super) fn finish(&mut self, id: ConnectionId) -> Result<(), ForwardError> {
        self.streams.finish(id, &mut self.wire.spdy)
    }

    pub(super) fn fail(&mut self, id: ConnectionId, why: &str, out: &mut Events) {
        self.streams.fail(id, why, &mut self.wire.spdy, out);
    }

    pub(super) fn is_going_away(&self) -> bool {
        self.wire.spdy.is_going_away()
    }

    pub(super) fn reset(&mut self, id: ConnectionId, unsent: Unsent) {
        self.streams.reset(id, unsent, &mut self.wire.spdy);
    }

    pub(super) fn forget(&mut self, id: ConnectionId) {
        self.streams.forget(id, &mut self.wire.spdy);
    }

    /// Connections come and go as long as the peer wants.
    pub(super) fn is_done(&self) -> bool {
        false
    }
}
