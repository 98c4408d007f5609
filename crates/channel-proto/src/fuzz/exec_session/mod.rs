//! A client and a server, from the first message to the end, over a link that cuts, delays and goes bad.

mod end;
mod ledger;

use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;

use self::{
    end::{End, Lost},
    ledger::{Ledger, Writer, stated},
};
use super::{
    SUBPROTOCOLS,
    play::{Pair, heartbeat, play, until_rest},
};
use crate::{
    heartbeat::Reading,
    outcome::Outcome,
    request::Streams,
    session::{
        Client, ClientSession, CloseStdinError, Output, Server, ServerSession, SessionConfig, TerminalSize,
        WriteError,
    },
    status::Status,
    subprotocol::Subprotocol,
};

/// `[subprotocol, entry, streams (a bit each), heartbeat of client and of server, transmit limit, message limit]`, then `Op`s.
pub fn exec_session(data: &[u8]) {
    play::<Game>(data);
}

/// What the applications, the link and the clock do next.
#[derive(Debug, Arbitrary)]
enum Op {
    WriteStdin(u16),
    CloseStdin,
    Resize(u16, u16),
    Disconnect,
    WriteOutput(Which, u16),
    WriteOutputBytes(Which, u16),
    Finish(Ending),
    /// Up to so many bytes or messages leave a session.
    Transmit(Who, u16),
    /// Up to so many arrive at a session.
    Receive(Who, u16),
    /// All that is on its way arrives, and what answers it.
    Settle,
    /// The application takes no events, and the driver does not read.
    Pause(Who),
    Resume(Who),
    Sleep {
        milliseconds: u16,
    },
    Abort(Who),
    /// What this end sent is cut off behind so many bytes or messages, and nothing of it arrives any more.
    Cut(Who, u16),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Who {
    Client,
    Server,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Which {
    Stdout,
    Stderr,
}

#[derive(Debug, Arbitrary)]
enum Ending {
    Exited(i32),
    Failed { message: u8 },
    NotStarted { message: u8 },
    WithoutStatus,
}

impl Which {
    fn output(self) -> Output {
        match self {
            Self::Stdout => Output::Stdout,
            Self::Stderr => Output::Stderr,
        }
    }
}

impl Ending {
    fn outcome(&self) -> Outcome {
        // Escapes and characters of several bytes, to be cut anywhere.
        let text = |count: u8| "\u{20ac}\"\n".repeat(count.into());
        match *self {
            Self::Exited(code) => Outcome::Exited(code),
            Self::Failed { message } => Outcome::Failed(Box::new(Status::from_text(text(message)))),
            Self::NotStarted { message } => Outcome::Failed(Box::new(Status::internal_error(text(message)))),
            Self::WithoutStatus => Outcome::EndedWithoutStatus(None),
        }
    }
}

struct Game {
    now: Instant,
    subprotocol: Subprotocol,
    streams: Streams,
    client: End<Client>,
    server: End<Server>,
    ledger: Ledger,
}

impl Pair for Game {
    type Op = Op;

    fn new(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let subprotocol = *u.choose(&SUBPROTOCOLS)?;
        let over_messages = u.arbitrary()?;
        let bits: u8 = u.arbitrary()?;
        let [stdin, stdout, stderr, tty] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        let streams = Streams { stdin, stdout, stderr, tty };
        let client_heartbeat = heartbeat(u)?;
        let server_heartbeat = heartbeat(u)?;
        let mut client = SessionConfig { heartbeat: client_heartbeat, ..SessionConfig::client([1; 32]) };
        client.limits.transmit = *u.choose(&[128 << 10, 4 << 10, 200, 1])?;
        // A client takes a status in 16 messages at most.
        client.limits.outgoing_message = *u.choose(&[32 << 10, 1000, 300])?;
        let server = SessionConfig { heartbeat: server_heartbeat, ..client.clone() };

        let now = Instant::now();
        let (client_session, server_session) = if over_messages {
            (
                ClientSession::client_over_messages(streams, subprotocol, &client, now),
                ServerSession::server_over_messages(streams, subprotocol, &server, now),
            )
        } else {
            (
                ClientSession::client(streams, subprotocol, &client, now),
                ServerSession::server(streams, subprotocol, &server, now),
            )
        };
        Ok(Self {
            now,
            subprotocol,
            streams,
            client: End::new(client_session, client, now),
            server: End::new(server_session, server, now),
            ledger: Ledger::default(),
        })
    }

    fn step(&mut self, op: Op) {
        let now = self.now;
        match op {
            Op::WriteStdin(len) => self.write_stdin(len),
            Op::CloseStdin => self.close_stdin(),
            Op::Resize(width, height) => self.resize(TerminalSize { width, height }),
            Op::Disconnect => self.client.session.disconnect(now),
            Op::WriteOutput(which, len) => self.write_output(which.output(), len, |session, output, data| {
                session.write_output(output, data)
            }),
            Op::WriteOutputBytes(which, len) => {
                self.server.longest_shared = self.server.longest_shared.max(len.into());
                self.write_output(which.output(), len, |session, output, data| {
                    session.write_output_bytes(output, &Bytes::copy_from_slice(data)).map(|()| data.len())
                });
            }
            Op::Finish(ending) => self.finish(&ending.outcome()),
            Op::Transmit(Who::Client, count) => _ = self.client.transmit(count.into()),
            Op::Transmit(Who::Server, count) => _ = self.server.transmit(count.into()),
            Op::Receive(Who::Client, count) => _ = self.client_receives(count.into()),
            Op::Receive(Who::Server, count) => _ = self.server_receives(count.into()),
            Op::Settle => self.settle(),
            Op::Pause(Who::Client) => self.client.set_reading(now, Reading::Paused),
            Op::Pause(Who::Server) => self.server.set_reading(now, Reading::Paused),
            Op::Resume(Who::Client) => self.client.set_reading(now, Reading::Active),
            Op::Resume(Who::Server) => self.server.set_reading(now, Reading::Active),
            Op::Sleep { milliseconds } => self.sleep(now + Duration::from_millis(milliseconds.into())),
            Op::Abort(Who::Client) => self.client.session.abort(now),
            Op::Abort(Who::Server) => self.server.session.abort(now),
            Op::Cut(Who::Client, keep) => self.client.wire.cut(keep.into()),
            Op::Cut(Who::Server, keep) => self.server.wire.cut(keep.into()),
        }
    }

    /// Everybody reads again, the command finishes, and the session comes to its end.
    fn end(&mut self) {
        self.client.set_reading(self.now, Reading::Active);
        self.server.set_reading(self.now, Reading::Active);
        self.settle();
        if self.client.is_healthy() && self.server.is_healthy() {
            self.ledger.assert_all_arrived();
        }
        self.finish(&Outcome::Exited(0));
        self.settle();
        // A session that concluded lingers; one that hears nothing gives up.
        for _ in 0..100 {
            if self.client.is_over() && self.server.is_over() {
                break;
            }
            let (client, server) = (self.client.session.poll_timeout(), self.server.session.poll_timeout());
            let until = [client, server].into_iter().flatten().min().expect("an end that waits for nothing");
            self.sleep(until.max(self.now));
            self.settle();
        }
        self.assert_ended();
    }
}

impl Game {
    fn write_stdin(&mut self, len: u16) {
        let closing = self.client.session.is_closing() || self.client.is_over();
        match self.client.session.write_stdin(&self.ledger.stdin.next(len)) {
            Ok(taken) => {
                assert!(!closing && taken <= len.into() && (taken > 0 || len == 0));
                self.ledger.stdin.sent(taken);
            }
            Err(WriteError::Blocked) => self.ledger.client_writer = Writer::Blocked,
            Err(WriteError::NotRequested) => assert!(!self.streams.stdin),
            // Disconnecting closes stdin, too.
            Err(WriteError::Closed) => assert!(self.ledger.stdin.closed || closing),
            Err(WriteError::Ended) => assert!(!self.client.is_healthy()),
        }
    }

    fn close_stdin(&mut self) {
        let open = !self.client.session.is_closing() && !self.client.is_over();
        match self.client.session.close_stdin() {
            Ok(()) => self.ledger.stdin.closed |= open,
            Err(CloseStdinError::Unsupported(of)) => assert!(of == self.subprotocol && !of.can_half_close()),
            Err(CloseStdinError::NotRequested) => assert!(!self.streams.stdin),
        }
    }

    fn resize(&mut self, size: TerminalSize) {
        assert_eq!(self.client.session.resize(size).is_ok(), self.streams.tty);
        if self.streams.tty && size.width > 0 && size.height > 0 {
            self.ledger.resized(size);
        }
    }

    fn write_output(
        &mut self,
        output: Output,
        len: u16,
        write: impl FnOnce(&mut ServerSession, Output, &[u8]) -> Result<usize, WriteError>,
    ) {
        let data = self.ledger.output(output).next(len);
        let healthy = self.server.is_healthy();
        match write(&mut self.server.session, output, &data) {
            Ok(taken) => {
                assert!(taken <= data.len() && (taken > 0 || data.is_empty()));
                self.ledger.output(output).sent(taken);
            }
            Err(WriteError::Blocked) => self.ledger.server_writer = Writer::Blocked,
            Err(WriteError::NotRequested) => assert!(match output {
                Output::Stdout => !self.streams.stdout,
                Output::Stderr => !self.streams.served().stderr,
            }),
            Err(error) => assert!(error == WriteError::Ended && !healthy),
        }
    }

    fn finish(&mut self, outcome: &Outcome) {
        if !self.server.session.is_closing() && !self.server.is_over() {
            self.ledger.finished = Some(outcome.clone());
        }
        self.server.session.finish(self.now, outcome);
    }

    fn client_receives(&mut self, count: usize) -> bool {
        let Self { ledger, subprotocol, .. } = self;
        self.client.receive(self.now, &mut self.server.wire, count, |event| {
            ledger.client_hears(*subprotocol, event);
        })
    }

    fn server_receives(&mut self, count: usize) -> bool {
        let ledger = &mut self.ledger;
        self.server.receive(self.now, &mut self.client.wire, count, |event| ledger.server_hears(event))
    }

    /// Lets everything through that wants through.
    fn settle(&mut self) {
        until_rest(|| {
            let moved = [
                self.client.transmit(usize::MAX),
                self.server.transmit(usize::MAX),
                self.client_receives(usize::MAX),
                self.server_receives(usize::MAX),
            ];
            moved != [false; 4]
        });
    }

    fn sleep(&mut self, until: Instant) {
        self.now = until;
        self.client.tick(until);
        self.server.tick(until);
    }

    fn assert_ended(&self) {
        let Self { ledger, client, server, .. } = self;
        assert!(client.is_over() && server.is_over());
        assert_eq!(client.session.poll_timeout(), None);
        assert_eq!(server.session.poll_timeout(), None);
        assert_eq!(client.error.is_none(), ledger.outcome.is_some());
        assert_eq!(server.error.is_none(), ledger.server_ended.is_some());

        let closed_by_peer = matches!(ledger.outcome, Some(Outcome::EndedWithoutStatus(Some(_))));
        if closed_by_peer && server.wire.lost == Lost::Nothing {
            let given = ledger.finished.as_ref().and_then(|outcome| stated(self.subprotocol, outcome));
            assert_eq!(given, None, "the status was lost on the way");
            ledger.stdout.assert_complete();
            ledger.stderr.assert_complete();
        }
        // Once it finished, a server drops what still comes (EXE-19).
        let closed_by_peer = matches!(ledger.server_ended, Some(Some(_)));
        if closed_by_peer && client.wire.lost == Lost::Nothing && ledger.finished.is_none() {
            ledger.stdin.assert_complete();
        }
    }
}
