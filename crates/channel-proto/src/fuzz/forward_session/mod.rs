//! A port-forward's client and server, and any number of connections between them, over a link that cuts, delays and goes bad.

mod ledger;

use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;

use self::ledger::Ledger;
use super::forward_end::{End, Who, WireState, heartbeat, until_rest};
use crate::{
    forward::{ConnectionId, Forward, ForwardError},
    heartbeat::Reading,
    session::SessionConfig,
    websocket::Role,
};

/// `[carrier, heartbeat of client and of server, transmit limit, the same for one stream, streams]`, then `Op`s.
pub fn forward_session(data: &[u8]) {
    // An input that ends early is no input.
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut pair = Pair::arbitrary(u)?;
    while !u.is_empty() {
        let op = Op::arbitrary(u)?;
        #[cfg(test)]
        tests::show(&op);
        pair.step(op);
    }
    pair.end();
    Ok(())
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

#[derive(Debug, Clone, Copy, Arbitrary)]
enum At {
    Client,
    Server,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
struct Pick(u8);

impl At {
    fn who(self) -> Who {
        match self {
            Self::Client => Who::Client,
            Self::Server => Who::Server,
        }
    }
}

struct Pair {
    now: Instant,
    client: End,
    server: End,
    ledger: Ledger,
    /// Connections that either end takes.
    limit: usize,
}

impl Pair {
    fn arbitrary(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
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
            now,
            client: new(Role::Client, client),
            server: new(Role::Server, server),
            ledger: Ledger { text_room, ..Ledger::default() },
            limit,
        })
    }

    fn step(&mut self, op: Op) {
        let now = self.now;
        match op {
            Op::Connect => self.connect(),
            Op::Write(at, pick, len) => self.write(at.who(), pick, len, Forward::write),
            Op::WriteBytes(at, pick, len) => {
                let end = self.at(at.who());
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
                    self.at(at.who()).forward.reset(id);
                }
            }
            Op::Transmit(at, count) => _ = self.at(at.who()).transmit(count.into()),
            Op::Receive(at, count) => _ = self.receive(at.who(), count.into()),
            Op::Settle => {
                self.settle();
                self.assert_all_arrived();
            }
            Op::Pause(at) => self.at(at.who()).set_reading(now, Reading::Paused),
            Op::Resume(at) => self.at(at.who()).set_reading(now, Reading::Active),
            Op::Sleep { milliseconds } => self.sleep(now + Duration::from_millis(milliseconds.into())),
            Op::Trouble(1, at, _) => {
                self.ledger.aborted = true;
                self.at(at.who()).forward.abort();
            }
            // What this end sent is cut off behind so many bytes, and nothing of it arrives any more.
            Op::Trouble(2, at, keep) => {
                self.ledger.cut = true;
                self.at(at.who()).wire.cut(keep.into());
            }
            Op::Trouble(..) => {}
        }
    }

    fn at(&mut self, who: Who) -> &mut End {
        match who {
            Who::Client => &mut self.client,
            Who::Server => &mut self.server,
        }
    }

    fn pick(&mut self, who: Who, Pick(nth): Pick) -> Option<(ConnectionId, usize)> {
        let held = self.ledger.held(who);
        let nth = usize::from(nth) % held.len().max(1);
        held.iter().nth(nth).map(|(id, at)| (*id, *at))
    }

    fn connect(&mut self) {
        let Ok(port) = u16::try_from(self.ledger.connections.len() + 1) else { return };
        let held = self.ledger.client.len();
        match self.client.forward.connect(port) {
            Ok(id) => {
                assert!(held < self.limit && !self.client.is_over());
                self.ledger.opened(id, self.now);
            }
            Err(ForwardError::TooMany) => {
                assert!(held == self.limit || !self.client.forward.transmit().is_empty());
            }
            Err(error) => {
                assert_eq!(error, ForwardError::GoingAway);
                assert!(self.ledger.aborted || self.client.is_over() || self.client.forward.is_closing());
            }
        }
        assert_eq!(self.client.forward.connections(), self.ledger.client.len());
        assert_eq!(
            self.server.forward.connect(port),
            Err(match self.server.forward.is_closing() {
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
        let end = self.at(who);
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
                assert!(closing || self.ledger.may_be_gone(who, at, self.now), "it is there");
            }
        }
    }

    fn finish(&mut self, who: Who, pick: Pick) {
        let Some((id, at)) = self.pick(who, pick) else { return };
        match self.at(who).forward.finish(id) {
            Ok(()) => self.ledger.half(who, at).finished = true,
            Err(error) => assert!(error == ForwardError::Gone && self.at(who).forward.is_closing()),
        }
    }

    fn fail(&mut self, pick: Pick, len: u8) {
        let Some((id, at)) = self.pick(Who::Server, pick) else { return };
        let why = format!("of {at}: {}", "why ".repeat(len.into()));
        self.server.forward.fail_connection(id, &why);
        self.ledger.failed(at, &why, self.now);
    }

    fn forget(&mut self, who: Who, id: ConnectionId) {
        self.ledger.forgot(who, id);
        let end = self.at(who);
        end.forward.forget(id);
        assert_eq!(end.forward.write(id, b"x"), Err(ForwardError::Gone));
        // A server may have one that nobody was told of yet.
        let left = end.forward.connections();
        assert!(left >= self.ledger.held(who).len());
    }

    fn receive(&mut self, who: Who, count: usize) -> bool {
        let Self { now, client, server, ledger, limit } = self;
        let (end, from) = match who {
            Who::Client => (client, &mut server.wire),
            Who::Server => (server, &mut client.wire),
        };
        end.receive(*now, from, count, |event| {
            ledger.hears(who, *now, event);
            ledger.server_was_full |= ledger.server.len() + 1 >= *limit;
        })
    }

    /// Lets everything through that wants through, in a bounded number of rounds.
    fn settle(&mut self) {
        until_rest(|| {
            let moved = [
                self.client.transmit(usize::MAX),
                self.server.transmit(usize::MAX),
                self.receive(Who::Client, usize::MAX),
                self.receive(Who::Server, usize::MAX),
            ];
            // What was taken without a word may have to be answered before more is taken.
            let answers = [&mut self.client, &mut self.server].map(|end| !end.forward.transmit().is_empty());
            moved != [false; 4] || answers != [false; 2]
        });
    }

    fn is_healthy(&self) -> bool {
        let reads = |end: &End| end.is_healthy() && end.reading == Reading::Active;
        reads(&self.client) && reads(&self.server)
    }

    /// Once it settled.
    fn assert_all_arrived(&mut self) {
        if self.is_healthy() {
            self.ledger.assert_all_arrived();
        }
    }

    fn sleep(&mut self, until: Instant) {
        self.now = until;
        self.client.tick(until);
        self.server.tick(until);
    }

    /// Everybody reads again, all connections finish, one more is made, and the forward comes to its end.
    fn end(&mut self) {
        for who in [Who::Client, Who::Server] {
            let now = self.now;
            self.at(who).set_reading(now, Reading::Active);
        }
        self.settle();
        self.assert_all_arrived();
        self.finish_all();
        for who in [Who::Client, Who::Server] {
            let held: Vec<ConnectionId> = self.ledger.held(who).keys().copied().collect();
            held.into_iter().for_each(|id| self.forget(who, id));
        }
        self.settle();
        if self.is_healthy() {
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
        self.client.forward.abort();
        self.settle();
        // Who closed waits for the other; who hears nothing gives up.
        for _ in 0..100 {
            if self.client.is_over() && self.server.is_over() {
                break;
            }
            let (client, server) = (self.client.forward.poll_timeout(), self.server.forward.poll_timeout());
            let until = [client, server].into_iter().flatten().min().expect("an end that waits for nothing");
            self.sleep(until.max(self.now));
            self.settle();
        }
        for end in [&self.client, &self.server] {
            assert!(end.is_over() && end.wire.state == WireState::Ended);
            assert_eq!(end.forward.poll_timeout(), None);
        }
    }

    fn finish_all(&mut self) {
        for who in [Who::Client, Who::Server] {
            for nth in 0..self.ledger.held(who).len() {
                // More than a pick may ask for, and each once.
                let Some((id, at)) = self.ledger.held(who).iter().nth(nth).map(|(id, at)| (*id, *at)) else {
                    break;
                };
                if self.at(who).forward.finish(id).is_ok() {
                    self.ledger.half(who, at).finished = true;
                }
            }
        }
        self.settle();
        self.assert_all_arrived();
    }
}

#[cfg(test)]
mod tests {
    /// For the output of a replay that failed.
    pub(super) fn show(op: &super::Op) {
        println!("{op:?}");
    }
}
