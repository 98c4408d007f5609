//! A port-forward's client and server over WebSocket channels, whose ports are known from the start, over a link that cuts, delays and goes
//! bad.

mod ledger;

use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;

use self::ledger::{Ledger, Taken};
use super::{
    forward_end::{End, Who},
    forward_ends::{At, Ends, Pick},
    play::{Pair, heartbeat, play},
};
use crate::{
    forward::{ConnectionId, Forward, ForwardError},
    heartbeat::Reading,
    session::SessionConfig,
    subprotocol::Subprotocol,
    websocket::Role,
};

/// `[subprotocol, ports, heartbeat of client and of server, limits: transmit, unread, message]`, then `Op`s.
pub fn forward_channels(data: &[u8]) {
    play::<Game>(data);
}

/// What the applications, the link and the clock do next. A port is picked from those that its end holds.
#[derive(Debug, Arbitrary)]
enum Op {
    Connect(Pick),
    Write(At, Pick, u16),
    WriteBytes(At, Pick, u16),
    Finish(At, Pick),
    Fail(Pick, u8),
    Forget(At, Pick),
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
}

impl Pair for Game {
    type Op = Op;

    fn new(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let form = *u.choose(&[Subprotocol::V4, Subprotocol::V4Base64, Subprotocol::Unnamed])?;
        // The second has the number of the first.
        let ports = [80, 80, 0x1234, 65_535].into_iter().take(u.int_in_range(1..=4)?).collect::<Vec<u16>>();
        let client_heartbeat = heartbeat(u)?;
        let server_heartbeat = heartbeat(u)?;
        let mut client = SessionConfig { heartbeat: client_heartbeat, ..SessionConfig::client([1; 32]) };
        client.limits.transmit = *u.choose(&[128 << 10, 4 << 10, 200, 1])?;
        client.limits.unread = *u.choose(&[128 << 10, 300, 0])?;
        client.limits.outgoing_message = *u.choose(&[32 << 10, 100, 3])?;
        let server = SessionConfig { heartbeat: server_heartbeat, ..client.clone() };
        let now = Instant::now();
        let ledger = Ledger::new(&ports, client.limits.unread, client.limits.outgoing_message);
        let new = |role, config: SessionConfig| {
            let forward = Forward::over_channels(role, &ports, form, &config, now);
            End::new(forward.expect("few ports, and a form of channels"), config, now)
        };
        let ends = Ends { now, client: new(Role::Client, client), server: new(Role::Server, server) };
        Ok(Self { ends, ledger })
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Connect(Pick(nth)) => self.connect(nth.into()),
            Op::Write(at, pick, len) => self.write(at.who(), pick, len, Forward::write),
            Op::WriteBytes(at, pick, len) => {
                let end = self.ends.at(at.who());
                end.longest_shared = end.longest_shared.max(len.into());
                self.write(at.who(), pick, len, |forward, id, data| {
                    forward.write_bytes(id, &Bytes::copy_from_slice(data)).map(|()| data.len())
                });
            }
            Op::Finish(at, pick) => {
                if let Some(at_port) = self.ledger.pick(at.who(), pick.0.into()) {
                    self.finish(at.who(), at_port);
                }
            }
            Op::Fail(pick, len) => self.fail(pick, len),
            Op::Forget(at, pick) => self.forget(at.who(), pick),
            Op::Transmit(at, count) => _ = self.ends.at(at.who()).transmit(count.into()),
            Op::Receive(at, count) => {
                let Self { ends, ledger } = self;
                ends.receive(at.who(), count.into(), |_, who, event| ledger.hears(who, event));
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
            Op::Trouble(1, at, _) => self.abort(at.who()),
            // What this end sent is cut off behind so many bytes, and nothing of it arrives any more.
            Op::Trouble(2, at, keep) => self.ends.at(at.who()).wire.cut(keep.into()),
            Op::Trouble(..) => {}
        }
        self.hold_up();
    }

    /// Everybody reads again and connects to every port, whose ends then all come: of the forward as well, whoever is there.
    fn end(&mut self) {
        for who in [Who::Client, Who::Server] {
            self.ends.set_reading(who, Reading::Active);
        }
        for nth in 0..self.ledger.ports.len() {
            self.connect(nth);
        }
        self.hold_up();
        self.settle();
        self.assert_all_arrived();
        let healthy = self.ends.is_healthy();
        for at in 0..self.ledger.ports.len() {
            if self.ledger.ports[at].is_served {
                self.finish(Who::Server, at);
            }
        }
        self.settle();
        if healthy {
            self.ledger.assert_all_ended();
            assert!(self.ends.client.is_over() && self.ends.server.is_over());
        }
        self.abort(Who::Client);
        self.ends.client.set_held_up(self.ends.now, false);
        self.settle();
        let Self { ends, ledger } = self;
        ends.wait_for_the_end(|_, who, event| ledger.hears(who, event));
    }
}

impl Game {
    /// What came may wait for somebody to connect.
    fn hold_up(&mut self) {
        self.ends.client.set_held_up(self.ends.now, self.ledger.may_hold_up());
    }

    /// Lets everything through that wants through.
    fn settle(&mut self) {
        let Self { ends, ledger } = self;
        ends.settle(|_, who, event| ledger.hears(who, event));
    }
    fn connect(&mut self, nth: usize) {
        let (number, free) = self.ledger.first_free(nth);
        match self.ends.client.forward.connect(number) {
            Ok(id) => {
                assert!(Some(id.index()) == free && !self.ends.client.is_over());
                self.ledger.ports[id.index()].taken = Taken::Held;
            }
            Err(ForwardError::PortTaken) => assert_eq!(free, None),
            Err(error) => {
                assert!(error == ForwardError::GoingAway && self.ends.is_closing(Who::Client), "{error}");
            }
        }
        let unknown = self.ends.client.forward.connect(1);
        assert!(matches!(unknown, Err(ForwardError::PortUnknown | ForwardError::GoingAway)));
        let at_server = self.ends.server.forward.connect(number);
        assert!(matches!(at_server, Err(ForwardError::ServerSide | ForwardError::GoingAway)));
    }

    fn write(
        &mut self,
        who: Who,
        Pick(nth): Pick,
        len: u16,
        write: impl FnOnce(&mut Forward, ConnectionId, &[u8]) -> Result<usize, ForwardError>,
    ) {
        let Some(at) = self.ledger.pick(who, nth.into()) else { return };
        let data = self.ledger.next(who, at, len);
        let closing = self.ends.is_closing(who);
        match write(&mut self.ends.at(who).forward, ConnectionId::from_index(at), data) {
            Ok(taken) => {
                assert!(!closing && taken <= data.len() && (taken > 0 || data.is_empty()));
                self.ledger.sent(who, at, taken);
            }
            Err(ForwardError::Blocked) => *self.ledger.blocked(who, at) = true,
            Err(error) => assert!(closing || self.ledger.may_refuse(who, at, error), "{error}"),
        }
    }

    fn finish(&mut self, who: Who, at: usize) {
        let closing = self.ends.is_closing(who);
        match (who, self.ends.at(who).forward.finish(ConnectionId::from_index(at))) {
            (Who::Server, Ok(())) => self.ledger.finished(at),
            (Who::Client, Err(ForwardError::NoHalfClose)) => {}
            (Who::Client, Err(error)) => {
                assert!(closing || self.ledger.may_refuse(who, at, error), "{error}");
            }
            (_, result) => assert!(closing && result == Err(ForwardError::Gone), "{result:?}"),
        }
    }

    fn fail(&mut self, Pick(nth): Pick, len: u8) {
        let Some(at) = self.ledger.pick(Who::Server, nth.into()) else { return };
        let why = "why ".repeat(len.into());
        if !self.ends.is_closing(Who::Server) {
            self.ledger.failed(at, if len == 0 { "the connection failed" } else { &why });
        }
        self.ends.server.forward.fail_connection(ConnectionId::from_index(at), &why);
    }

    fn forget(&mut self, who: Who, Pick(nth): Pick) {
        let Some(at) = self.ledger.pick(who, nth.into()) else { return };
        let closing = self.ends.is_closing(who);
        self.ledger.forgot(who, at, closing);
        let end = self.ends.at(who);
        end.forward.forget(ConnectionId::from_index(at));
        assert_eq!(end.forward.write(ConnectionId::from_index(at), b"x"), Err(ForwardError::Gone));
    }

    fn abort(&mut self, who: Who) {
        self.ledger.left(who);
        self.ends.at(who).forward.abort();
    }

    /// Once it settled.
    fn assert_all_arrived(&self) {
        if self.ends.is_healthy() {
            self.ledger.assert_all_arrived();
        }
    }
}
