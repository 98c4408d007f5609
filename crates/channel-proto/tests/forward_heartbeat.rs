//! The heartbeat of a forward, on every wire and at both ends: pings, silence, and who counts as dead.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod forward_support;
mod spdy_support;

use std::time::{Duration, Instant};

use bytes::BytesMut;
use channel_proto::{
    ErrorKind, Fault, HeartbeatConfig, Limits, Reading, Role, SessionConfig, Subprotocol,
    forward::{Forward, ForwardError, ForwardEvent},
};
use forward_support::{End, config};
use spdy_support::ping;

const ROLES: [Role; 2] = [Role::Client, Role::Server];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Raw,
    Tunnel,
    Channels(Subprotocol),
}

const WIRES: [Wire; 5] = [
    Wire::Raw,
    Wire::Tunnel,
    Wire::Channels(Subprotocol::V4),
    Wire::Channels(Subprotocol::V4Base64),
    Wire::Channels(Subprotocol::Unnamed),
];

const PING_EVERY: Duration = seconds(3);
const DEAD_AFTER: Duration = seconds(10);

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn impatient() -> SessionConfig {
    let mut impatient = config();
    impatient.heartbeat = HeartbeatConfig { ping_every: Some(PING_EVERY), dead_after: Some(DEAD_AFTER) };
    impatient
}

/// An end whose peer said nothing yet, on a clock that the test moves.
struct Clocked {
    wire: Wire,
    role: Role,
    end: End,
    start: Instant,
    now: Instant,
}

impl Clocked {
    fn new(wire: Wire, role: Role) -> Self {
        Self::with(wire, role, &impatient())
    }

    fn with(wire: Wire, role: Role, config: &SessionConfig) -> Self {
        let start = Instant::now();
        let mut end = End::of(match wire {
            Wire::Raw => Forward::over_spdy(role, config, start),
            Wire::Tunnel => Forward::over_tunnel(role, config, start),
            Wire::Channels(form) => Forward::over_channels(role, &[80], form, config, start).unwrap(),
        });
        end.pump(start);
        // The first messages of a server over channels.
        end.sends();
        Self { wire, role, end, start, now: start }
    }

    /// Lets the timers run until `to` seconds, and tells at which of them pings went. Each is answered if the peer `lives`.
    fn run(&mut self, to: u64, peer: Peer) -> Vec<u64> {
        let mut pinged = Vec::new();
        let until = self.start + seconds(to);
        while let Some(due) = self.end.forward.poll_timeout().filter(|due| *due <= until) {
            let at_once = due < self.now;
            self.now = due.max(self.now);
            if let Err(error) = self.end.forward.handle_timeout(self.now) {
                assert_eq!(self.end.error, None);
                self.end.error = Some(error);
                return pinged;
            }
            let sent = self.end.sends();
            if at_once && sent.is_empty() {
                continue;
            }
            let answer = self.answer(&sent);
            pinged.push((self.now - self.start).as_secs());
            if peer == Peer::Lives {
                self.end.take(self.now, &answer, usize::MAX);
            }
        }
        self.now = until;
        pinged
    }

    /// The answer to what was sent, which has to be one ping.
    fn answer(&self, sent: &[u8]) -> Vec<u8> {
        match (self.wire, self.role) {
            (Wire::Raw, role) => {
                let id = u32::from_be_bytes(sent[8..].try_into().unwrap());
                assert_eq!((sent, id % 2 == 1), (&ping(id)[..], role == Role::Client), "{self:?}");
                sent.to_vec()
            }
            (_, Role::Client) => {
                assert_eq!((&sent[..2], sent.len()), (&[0x89, 0x80][..], 6), "{self:?}");
                vec![0x8a, 0]
            }
            (_, _) => {
                assert_eq!(sent, [0x89, 0], "{self:?}");
                vec![0x8a, 0x80, 0, 0, 0, 0]
            }
        }
    }

    #[track_caller]
    fn assert_dead(&mut self, at: u64) {
        let error = self.end.error.clone().expect("silent for too long");
        assert_eq!((error.kind(), error.fault()), (&ErrorKind::Silent { after: DEAD_AFTER }, Fault::Peer));
        assert_eq!(self.now - self.start, seconds(at));
        let now = self.now;
        let sign = self.answer_of_the_dead();
        let forward = &mut self.end.forward;
        assert_eq!(forward.handle_timeout(now).as_ref(), Err(&error), "it sticks");
        assert_eq!(forward.handle_input(now, &mut BytesMut::from(&sign[..])).as_ref(), Err(&error));
        assert_eq!((forward.poll_timeout(), forward.poll_event()), (None, None));
        assert_eq!(forward.connect(80), Err(ForwardError::GoingAway));
        assert!(forward.transmit().is_empty(), "nobody reads it");
    }

    /// A sign of life that comes too late.
    fn answer_of_the_dead(&self) -> Vec<u8> {
        match (self.wire, self.role) {
            (Wire::Raw, Role::Client) => ping(1),
            (Wire::Raw, _) => ping(2),
            (_, Role::Client) => vec![0x8a, 0],
            (_, _) => vec![0x8a, 0x80, 0, 0, 0, 0],
        }
    }
}

impl std::fmt::Debug for Clocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.wire, self.role)
    }
}

/// Whether the pings are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Lives,
    Silent,
}

fn every_end() -> impl Iterator<Item = Clocked> {
    WIRES.into_iter().flat_map(|wire| ROLES.map(|role| Clocked::new(wire, role)))
}

// Holds PFW-20.
#[test]
fn a_silent_peer_is_pinged_at_the_interval_and_dead_after_the_time_that_was_set() {
    for mut clocked in every_end() {
        assert_eq!(clocked.run(9, Peer::Silent), [3, 6, 9], "{clocked:?}");
        assert_eq!(clocked.end.error, None);
        assert_eq!(clocked.end.forward.poll_timeout(), Some(clocked.start + DEAD_AFTER));
        assert_eq!(clocked.run(100, Peer::Silent), [0; 0], "{clocked:?}");
        clocked.assert_dead(10);
    }
}

// Holds PFW-20.
#[test]
fn a_peer_that_answers_lives_and_is_dead_that_long_after_its_last_answer() {
    for mut clocked in every_end() {
        assert_eq!(clocked.run(1000, Peer::Lives).len(), 333, "{clocked:?}");
        assert_eq!(clocked.end.error, None);
        assert!(clocked.end.forward.poll_event().is_none());
        assert_eq!(clocked.run(2000, Peer::Silent), [1002, 1005, 1008], "{clocked:?}");
        clocked.assert_dead(1009);
    }
}

// Holds PFW-20.
#[test]
fn while_nothing_is_read_there_are_pings_and_no_death() {
    for mut clocked in every_end() {
        clocked.end.forward.set_reading(clocked.start + seconds(1), Reading::Paused);
        assert_eq!(clocked.run(1000, Peer::Silent).len(), 333, "{clocked:?}");
        assert_eq!(clocked.end.error, None);
        clocked.end.forward.set_reading(clocked.start + seconds(1000), Reading::Active);
        assert_eq!(clocked.run(2000, Peer::Silent), [1002, 1005, 1008], "the silence counts from then");
        clocked.assert_dead(1010);
    }
}

// Holds PFW-20.
#[test]
fn pings_that_are_not_read_take_no_more_than_the_limit() {
    for mut clocked in every_end() {
        clocked.end.forward.set_reading(clocked.start, Reading::Paused);
        for _ in 0..70_000 {
            let due = clocked.end.forward.poll_timeout().unwrap();
            clocked.end.forward.handle_timeout(due).unwrap();
        }
        let limit = Limits::default().transmit;
        let queued = clocked.end.sends().len();
        assert!((limit..limit + 12).contains(&queued), "{clocked:?}: {queued}");
    }
}

// Holds PFW-20.
#[test]
fn what_waits_for_somebody_to_connect_is_no_silence() {
    let pings = [1002, 1005, 1008];
    for (ping_every, before, after) in [(Some(PING_EVERY), 333, &pings[..]), (None, 0, &[])] {
        let mut few = impatient();
        few.limits.unread = 4;
        few.heartbeat.ping_every = ping_every;
        let mut clocked = Clocked::with(Wire::Channels(Subprotocol::V4), Role::Client, &few);
        let first = [0x82, 3, 0, 80, 0];
        let early = [0x82, 6, 0, b'e', b'a', b'r', b'l', b'y'];
        clocked.end.take(clocked.start, &[&first[..], &early].concat(), usize::MAX);
        assert_eq!(clocked.run(1000, Peer::Silent).len(), before);
        assert_eq!(clocked.end.error, None);
        let id = clocked.end.forward.connect(80).unwrap();
        assert_eq!(
            clocked.end.forward.poll_event(),
            Some(ForwardEvent::Data(id, b"early".as_slice().into())),
            "what held up the rest"
        );
        assert_eq!(clocked.run(2000, Peer::Silent), after, "the silence counts from when somebody connected");
        clocked.assert_dead(1010);
    }
}

// Holds PFW-20.
#[test]
fn a_client_pings_and_a_server_does_not_unless_told_to() {
    for wire in WIRES {
        let mut client = Clocked::with(wire, Role::Client, &SessionConfig::client([3; 32]));
        assert_eq!(client.run(60, Peer::Silent), (1..=12).map(|nth| nth * 5).collect::<Vec<_>>(), "{wire:?}");
        assert_eq!(client.end.forward.poll_timeout(), Some(client.start + seconds(61)));
        let server = Clocked::with(wire, Role::Server, &SessionConfig::server());
        assert_eq!(server.end.forward.poll_timeout(), None, "{wire:?}");
    }
}
