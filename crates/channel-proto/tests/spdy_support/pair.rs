//! Two ends, and a wire between them that cuts and delays.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use channel_proto::{
    Limits, Role,
    spdy::{Connection, Event},
};

use super::{Events, random};

pub(crate) struct Pair {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    to_client: Events,
    to_server: Events,
    pub(crate) now: Instant,
    wires: [Vec<u8>; 2],
    seed: u64,
}

impl Pair {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_limits(seed, &Limits::default())
    }

    pub(crate) fn with_limits(seed: u64, limits: &Limits) -> Self {
        Self {
            client: Connection::new(Role::Client, limits),
            server: Connection::new(Role::Server, limits),
            to_client: Events::default(),
            to_server: Events::default(),
            now: Instant::now(),
            wires: [Vec::new(), Vec::new()],
            seed,
        }
    }

    /// Moves a random number of bytes one way, and hands out what they come to. Tells whether anything moved.
    pub(crate) fn step(&mut self) -> bool {
        self.now += Duration::from_micros(50);
        let mut moved = false;
        for way in [0, 1] {
            let (from, to, events) = match way {
                0 => (&mut self.client, &mut self.server, &mut self.to_server),
                _ => (&mut self.server, &mut self.client, &mut self.to_client),
            };
            let transmit = from.transmit();
            let len =
                (usize::try_from(random(&mut self.seed)).unwrap() % 20_000 + 1).min(transmit.remaining());
            self.wires[way].extend_from_slice(&transmit.copy_to_bytes(len));
            let wire = &mut self.wires[way];
            let len = (usize::try_from(random(&mut self.seed)).unwrap() % 9_000 + 1).min(wire.len());
            let mut chunk = Bytes::from(wire.drain(..len).collect::<Vec<_>>());
            moved |= len > 0;
            while let Some(event) = to.next(self.now, &mut chunk).unwrap() {
                events.push(event);
            }
            assert!(chunk.is_empty());
        }
        moved
    }

    /// Until nothing moves any more.
    pub(crate) fn drive(&mut self) {
        for _ in 0..1_000_000 {
            if !self.step() {
                return;
            }
        }
        panic!("they never stop");
    }

    pub(crate) fn client_events(&mut self) -> Vec<Event> {
        self.drive();
        self.to_client.take()
    }

    pub(crate) fn server_events(&mut self) -> Vec<Event> {
        self.drive();
        self.to_server.take()
    }
}
