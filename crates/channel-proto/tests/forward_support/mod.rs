//! Both ends of a forward on a virtual clock, joined by wires that cut.

#![allow(dead_code)] // Not every test file uses all of it.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use channel_proto::{
    Error, HeartbeatConfig, Limits, Role, SessionConfig, Subprotocol,
    forward::{ConnectionId, Forward, ForwardEvent},
    spdy::{Connection as Spdy, Event, ResetStatus, StreamId},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Raw,
    Tunnel,
}

pub(crate) const WIRES: [Wire; 2] = [Wire::Raw, Wire::Tunnel];

/// Into pieces of how many bytes a wire cuts.
pub(crate) const CUTS: [usize; 3] = [1, 1009, usize::MAX];

/// No pings.
pub(crate) fn config() -> SessionConfig {
    let mut config = SessionConfig::client([3; 32]);
    config.heartbeat = HeartbeatConfig::OFF;
    config
}

/// One end, and what it was told.
pub(crate) struct End {
    pub(crate) forward: Forward,
    pub(crate) events: Vec<ForwardEvent>,
    pub(crate) error: Option<Error>,
    input: BytesMut,
}

impl End {
    fn new(role: Role, wire: Wire, now: Instant) -> Self {
        Self::of(match wire {
            Wire::Raw => Forward::over_spdy(role, &config(), now),
            Wire::Tunnel => Forward::over_tunnel(role, &config(), now),
        })
    }

    pub(crate) fn of(forward: Forward) -> Self {
        Self { forward, events: Vec::new(), error: None, input: BytesMut::new() }
    }

    pub(crate) fn take(&mut self, now: Instant, bytes: &[u8], cut: usize) {
        for piece in bytes.chunks(cut.max(1)) {
            self.input.extend_from_slice(piece);
            self.pump(now);
        }
        self.pump(now);
    }

    pub(crate) fn pump(&mut self, now: Instant) {
        loop {
            if let Err(error) = self.forward.handle_input(now, &mut self.input) {
                self.error = Some(error);
                break;
            }
            let Some(event) = self.forward.poll_event() else { break };
            self.events.push(event);
        }
    }

    pub(crate) fn sends(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let transmit = self.forward.transmit();
            if transmit.is_empty() {
                return all;
            }
            let chunk = transmit.chunk().to_vec();
            transmit.advance(chunk.len());
            all.extend_from_slice(&chunk);
        }
    }

    pub(crate) fn data(&self, id: ConnectionId) -> Vec<u8> {
        let of = |event: &ForwardEvent| match event {
            ForwardEvent::Data(of, data) if *of == id => Some(data.clone()),
            _ => None,
        };
        self.events.iter().filter_map(of).flatten().collect()
    }

    /// How a connection ended, as often as it was told.
    pub(crate) fn ends(&self, id: ConnectionId) -> Vec<String> {
        let of = |event: &ForwardEvent| match event {
            ForwardEvent::End(of) if *of == id => Some("end".to_owned()),
            ForwardEvent::Reset(of) if *of == id => Some("reset".to_owned()),
            ForwardEvent::Failed(of, why) if *of == id => Some(format!("failed: {why}")),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    /// The ports that were asked for.
    pub(crate) fn connects(&self) -> Vec<u16> {
        let of = |event: &ForwardEvent| match event {
            ForwardEvent::Connect(_, port) => Some(*port),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }
}

/// Two ends, or one and SPDY by hand in the place of the other.
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    raw: Spdy,
    hand: Hand,
    cut: usize,
    pub(crate) now: Instant,
}

/// Which end is SPDY by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hand {
    None,
    Client,
    Server,
}

impl Pair {
    pub(crate) fn new(wire: Wire, cut: usize) -> Self {
        Self::by_hand(wire, cut, Hand::None)
    }

    pub(crate) fn with_raw_server() -> Self {
        Self::by_hand(Wire::Raw, usize::MAX, Hand::Server)
    }

    pub(crate) fn with_raw_client() -> Self {
        Self::by_hand(Wire::Raw, usize::MAX, Hand::Client)
    }

    pub(crate) fn over_channels(ports: &[u16], subprotocol: Subprotocol, cut: usize) -> Self {
        let now = Instant::now();
        let end = |role| End::of(Forward::over_channels(role, ports, subprotocol, &config(), now).unwrap());
        let mut pair = Self::by_hand(Wire::Tunnel, cut, Hand::None);
        (pair.client, pair.server, pair.now) = (end(Role::Client), end(Role::Server), now);
        pair.server.pump(now);
        pair
    }

    fn by_hand(wire: Wire, cut: usize, hand: Hand) -> Self {
        let now = Instant::now();
        let role = if hand == Hand::Client { Role::Client } else { Role::Server };
        Self {
            client: End::new(Role::Client, wire, now),
            server: End::new(Role::Server, wire, now),
            raw: Spdy::new(role, &Limits::default()),
            hand,
            cut,
            now,
        }
    }

    /// Opens a connection, which the server hears of.
    pub(crate) fn connect(&mut self, port: u16) -> ConnectionId {
        let id = self.client.forward.connect(port).expect("there is room");
        self.settle();
        id
    }

    /// The server's id of the newest connection to a port.
    pub(crate) fn accepted(&self, port: u16) -> ConnectionId {
        let of = |event: &ForwardEvent| match event {
            ForwardEvent::Connect(id, to) if *to == port => Some(*id),
            _ => None,
        };
        self.server.events.iter().rev().find_map(of).expect("the server heard of it")
    }

    /// Writes all of both, a piece here and a piece there, and ends both halves.
    pub(crate) fn exchange(&mut self, client: ConnectionId, up: &[u8], server: ConnectionId, down: &[u8]) {
        let (mut up, mut down) = (up, down);
        while !(up.is_empty() && down.is_empty()) {
            up = &up[self.client.forward.write(client, up).unwrap_or(0)..];
            down = &down[self.server.forward.write(server, down).unwrap_or(0)..];
            self.settle();
        }
        self.client.forward.finish(client).unwrap();
        self.server.forward.finish(server).unwrap();
        self.settle();
    }

    /// Carries what there is until there is nothing more.
    pub(crate) fn settle(&mut self) {
        while self.carry_up() + self.carry_down() > 0 {}
    }

    pub(crate) fn carry_up(&mut self) -> usize {
        let bytes = match self.hand {
            Hand::Client => drain(&mut self.raw),
            _ => self.client.sends(),
        };
        if self.hand != Hand::Server {
            self.server.take(self.now, &bytes, self.cut);
        }
        bytes.len()
    }

    pub(crate) fn carry_down(&mut self) -> usize {
        let bytes = match self.hand {
            Hand::Server => drain(&mut self.raw),
            _ => self.server.sends(),
        };
        if self.hand != Hand::Client {
            self.client.take(self.now, &bytes, self.cut);
        }
        bytes.len()
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for end_of in [&mut self.client, &mut self.server] {
            while let Some(due) = end_of.forward.poll_timeout().filter(|due| *due <= end) {
                end_of.forward.handle_timeout(due).expect("no heartbeat, no death");
                end_of.pump(due);
            }
        }
        self.now = end;
    }

    pub(crate) fn clear(&mut self) {
        self.client.events.clear();
        self.server.events.clear();
    }

    /// Does something by hand.
    pub(crate) fn raw(&mut self, act: impl FnOnce(&mut Spdy)) {
        act(&mut self.raw);
    }

    /// What the end by hand is told.
    fn raw_events(&mut self) -> Vec<Event> {
        let sent = match self.hand {
            Hand::Client => self.server.sends(),
            _ => self.client.sends(),
        };
        let mut input = Bytes::from(sent);
        std::iter::from_fn(|| self.raw.next(self.now, &mut input).expect("sound SPDY")).collect()
    }

    /// The streams that were opened to the end by hand.
    pub(crate) fn raw_streams(&mut self) -> Vec<StreamId> {
        let opened = |event| match event {
            Event::Opened { id, .. } => Some(id),
            _ => None,
        };
        self.raw_events().into_iter().filter_map(opened).collect()
    }

    /// How many streams were reset since it was last asked.
    pub(crate) fn raw_resets(&mut self) -> usize {
        self.raw_resets_with().len()
    }

    /// Which streams were reset since it was last asked, and why.
    pub(crate) fn raw_resets_with(&mut self) -> Vec<(StreamId, ResetStatus)> {
        let reset = |event| match event {
            Event::Reset { id, status } => Some((id, status)),
            _ => None,
        };
        self.raw_events().into_iter().filter_map(reset).collect()
    }
}

fn drain(spdy: &mut Spdy) -> Vec<u8> {
    let mut all = Vec::new();
    while !spdy.transmit().is_empty() {
        let chunk = spdy.transmit().chunk().to_vec();
        spdy.transmit().advance(chunk.len());
        all.extend_from_slice(&chunk);
    }
    all
}
