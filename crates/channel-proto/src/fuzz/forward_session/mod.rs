//! A port-forward's client and server, and any number of connections between them, over a link that cuts, delays and goes bad.

mod ledger;

use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;

use self::ledger::Ledger;
use super::{
    forward_end::{End, Who},
    forward_ends::{At, Ends, Pick},
    play::{Pair, heartbeat, play},
};
use crate::{
    forward::{ConnectionId, Forward, ForwardError, ForwardEvent},
    heartbeat::Reading,
    session::SessionConfig,
    websocket::Role,
};

/// `[carrier, heartbeat of client and of server, transmit limit, the same for one stream, streams]`, then `Op`s.
pub fn forward_session(data: &[u8]) {
    play::<Game>(data);
}

/// What the applications, the link and the clock do next. A connection is picked from those that its end holds.
#[derive(Debug, Arbitrary)]
enum Op {
    Connect,
    Write(At, Pick, u16),
    WriteBytes(At, Pick, u16),
    Finish(At, Pick),
    Fail(Pick, u8),
    Forget(At, Pick),
    Reset(At, Pick),
    /// Up to so many bytes leave a forward.
    Transmit(At, u16),
    /// Up to so many arrive at a forward.
    Receive(At, u16),
    /// All that is on its way arrives, and what answers it.
    Settle,
    /// The application takes no events, and the driver does not read.
    Pause(At),
    Resume(At),
    Sleep {
        milliseconds: u16,
    },
    /// Ends everything, so it comes but seldom: for most numbers nothing happens.
    Trouble(u8, At, u16),
}

struct Game {
    ends: Ends,
    ledger: Ledger,
    /// Connections that either end takes.
    limit: usize,
}

impl Pair for Game {
    type Op = Op;

    fn new(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let tunnel = u.arbitrary()?;
        let client_heartbeat = heartbeat(u)?;
        let server_heartbeat = heartbeat(u)?;
        let mut client = SessionConfig { heartbeat: client_heartbeat, ..SessionConfig::client([1; 32]) };
        client.limits.transmit = *u.choose(&[128 << 10, 4 << 10, 200, 1])?;
        client.limits.spdy_stream_transmit = *u.choose(&[64 << 10, 300, 1])?;
        client.limits.spdy_streams = *u.choose(&[1_000, 16, 4])?;
        let server = SessionConfig { heartbeat: server_heartbeat, ..client.clone() };
        let now = Instant::now();
        let new = |role, config: SessionConfig| {
            let forward = if tunnel { Forward::over_tunnel } else { Forward::over_spdy };
            End::new(forward(role, &config, now), config, now)
        };
        let limit = client.limits.spdy_streams / 2;
        let text_room = client.limits.spdy_stream_transmit.min(1 << 10);
        Ok(Self {
            ends: Ends { now, client: new(Role::Client, client), server: new(Role::Server, server) },
            ledger: Ledger { text_room, ..Ledger::default() },
            limit,
        })
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Connect => self.connect(),
            Op::Write(at, pick, len) => self.write(at.who(), pick, len, Forward::write),
            Op::WriteBytes(at, pick, len) => {
                let end = self.ends.at(at.who());
                end.longest_shared = end.longest_shared.max(len.into());
                self.write(at.who(), pick, len, |forward, id, data| {
                    forward.write_bytes(id, &Bytes::copy_from_slice(data)).map(|()| data.len())
                });
            }
            Op::Finish(at, pick) => self.finish(at.who(), pick),
            Op::Fail(pick, len) => self.fail(pick, len),
            Op::Forget(at, pick) => {
                if let Some((id, _)) = self.pick(at.who(), pick) {
                    self.forget(at.who(), id);
                }
            }
            Op::Reset(at, pick) => {
                if let Some((id, which)) = self.pick(at.who(), pick) {
                    self.ledger.resets(at.who(), which);
                    self.ends.at(at.who()).forward.reset(id);
                }
            }
            Op::Transmit(at, count) => _ = self.ends.at(at.who()).transmit(count.into()),
            Op::Receive(at, count) => {
                let Self { ends, ledger, limit } = self;
                ends.receive(at.who(), count.into(), |now, who, event| {
                    hears(ledger, *limit, now, who, event);
                });
            }
            Op::Settle => {
                self.settle();
                self.assert_all_arrived();
            }
            Op::Pause(at) => self.ends.set_reading(at.who(), Reading::Paused),
            Op::Resume(at) => self.ends.set_reading(at.who(), Reading::Active),
            Op::Sleep { milliseconds } => {
                self.ends.sleep(self.ends.now + Duration::from_millis(milliseconds.into()));
            }
            Op::Trouble(1, at, _) => {
                self.ledger.aborted = true;
                self.ends.at(at.who()).forward.abort();
            }
            // What this end sent is cut off behind so many bytes, and nothing of it arrives any more.
            Op::Trouble(2, at, keep) => {
                self.ledger.cut = true;
                self.ends.at(at.who()).wire.cut(keep.into());
            }
            Op::Trouble(..) => {}
        }
    }

    /// Everybody reads again, all connections finish, one more is made, and the forward comes to its end.
    fn end(&mut self) {
        for who in [Who::Client, Who::Server] {
            self.ends.set_reading(who, Reading::Active);
        }
        self.settle();
        self.assert_all_arrived();
        self.finish_all();
        for who in [Who::Client, Who::Server] {
            let held: Vec<ConnectionId> = self.ledger.held(who).keys().copied().collect();
            held.into_iter().for_each(|id| self.forget(who, id));
        }
        self.settle();
        if self.ends.is_healthy() {
            let before = self.ledger.connections.len();
            self.connect();
            assert_eq!((self.ledger.connections.len(), self.ledger.client.len()), (before + 1, 1));
            self.settle();
            self.write(Who::Client, Pick(0), 1000, Forward::write);
            self.write(Who::Server, Pick(0), 1000, Forward::write);
            self.settle();
            self.finish_all();
        }

        self.ledger.aborted = true;
        self.ends.client.forward.abort();
        self.settle();
        let Self { ends, ledger, limit } = self;
        ends.wait_for_the_end(|now, who, event| hears(ledger, *limit, now, who, event));
    }
}

impl Game {
    /// Lets everything through that wants through.
    fn settle(&mut self) {
        let Self { ends, ledger, limit } = self;
        ends.settle(|now, who, event| hears(ledger, *limit, now, who, event));
    }
    fn pick(&mut self, who: Who, Pick(nth): Pick) -> Option<(ConnectionId, usize)> {
        let held = self.ledger.held(who);
        let nth = usize::from(nth) % held.len().max(1);
        held.iter().nth(nth).map(|(id, at)| (*id, *at))
    }

    fn connect(&mut self) {
        let Ok(port) = u16::try_from(self.ledger.connections.len() + 1) else { return };
        let held = self.ledger.client.len();
        match self.ends.client.forward.connect(port) {
            Ok(id) => {
                assert!(held < self.limit && !self.ends.client.is_over());
                self.ledger.opened(id, self.ends.now);
            }
            Err(ForwardError::TooMany) => {
                assert!(held == self.limit || !self.ends.client.forward.transmit().is_empty());
            }
            Err(error) => {
                assert_eq!(error, ForwardError::GoingAway);
                assert!(
                    self.ledger.aborted
                        || self.ends.client.is_over()
                        || self.ends.client.forward.is_closing()
                );
            }
        }
        assert_eq!(self.ends.client.forward.connections(), self.ledger.client.len());
        assert_eq!(
            self.ends.server.forward.connect(port),
            Err(match self.ends.server.forward.is_closing() {
                true => ForwardError::GoingAway,
                false => ForwardError::ServerSide,
            })
        );
    }

    fn write(
        &mut self,
        who: Who,
        pick: Pick,
        len: u16,
        write: impl FnOnce(&mut Forward, ConnectionId, &[u8]) -> Result<usize, ForwardError>,
    ) {
        let Some((id, at)) = self.pick(who, pick) else { return };
        let data = self.ledger.next(who, at, len);
        let end = self.ends.at(who);
        let closing = end.is_over() || end.forward.is_closing();
        let result = write(&mut end.forward, id, data);
        let half = self.ledger.half(who, at);
        match result {
            Ok(taken) => {
                assert!(!closing && !half.finished && !half.is_over());
                assert!(taken <= data.len() && (taken > 0 || data.is_empty()));
                self.ledger.sent(who, at, taken);
            }
            Err(ForwardError::Blocked) => half.blocked = true,
            Err(ForwardError::Finished) => assert!(half.finished),
            Err(error) => {
                assert_eq!(error, ForwardError::Gone);
                assert!(closing || self.ledger.may_be_gone(who, at, self.ends.now), "it is there");
            }
        }
    }

    fn finish(&mut self, who: Who, pick: Pick) {
        let Some((id, at)) = self.pick(who, pick) else { return };
        match self.ends.at(who).forward.finish(id) {
            Ok(()) => self.ledger.half(who, at).finished = true,
            Err(error) => assert!(error == ForwardError::Gone && self.ends.at(who).forward.is_closing()),
        }
    }

    fn fail(&mut self, pick: Pick, len: u8) {
        let Some((id, at)) = self.pick(Who::Server, pick) else { return };
        let why = format!("of {at}: {}", "why ".repeat(len.into()));
        self.ends.server.forward.fail_connection(id, &why);
        self.ledger.failed(at, &why, self.ends.now);
    }

    fn forget(&mut self, who: Who, id: ConnectionId) {
        self.ledger.forgot(who, id);
        let end = self.ends.at(who);
        end.forward.forget(id);
        assert_eq!(end.forward.write(id, b"x"), Err(ForwardError::Gone));
        // A server may have one that nobody was told of yet.
        let left = end.forward.connections();
        assert!(left >= self.ledger.held(who).len());
    }

    /// Once it settled.
    fn assert_all_arrived(&mut self) {
        if self.ends.is_healthy() {
            self.ledger.assert_all_arrived();
        }
    }

    fn finish_all(&mut self) {
        for who in [Who::Client, Who::Server] {
            for nth in 0..self.ledger.held(who).len() {
                // More than a pick may ask for, and each once.
                let Some((id, at)) = self.ledger.held(who).iter().nth(nth).map(|(id, at)| (*id, *at)) else {
                    break;
                };
                if self.ends.at(who).forward.finish(id).is_ok() {
                    self.ledger.half(who, at).finished = true;
                }
            }
        }
        self.settle();
        self.assert_all_arrived();
    }
}

fn hears(ledger: &mut Ledger, limit: usize, now: Instant, who: Who, event: ForwardEvent) {
    ledger.hears(who, now, event);
    ledger.server_was_full |= ledger.server.len() + 1 >= limit;
}
