//! A session of ours whose peer is played by hand.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use channel_proto::{
    ClientSession, CloseReason, Error, HeartbeatConfig, ServerSession, SessionConfig, Streams, Subprotocol,
    session::{Client, Server, Session, Side},
    spdy::Decoder,
};

use super::{Frame, decoder, written};
use crate::spdy_support::{Writer, numbers};

pub(crate) const PIPES: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };
pub(crate) const TERMINAL: Streams = Streams { stdin: true, stdout: true, stderr: false, tty: true };
pub(crate) const SUCCESS: &str = r#"{"metadata":{},"status":"Success"}"#;
pub(crate) const VERSIONS: [Subprotocol; 4] =
    [Subprotocol::V4, Subprotocol::V3, Subprotocol::V2, Subprotocol::V1];

/// A session whose peer is played by hand.
pub(crate) struct Play<S: Side> {
    pub(crate) session: Session<S>,
    pub(crate) writer: Writer,
    pub(crate) decoder: Decoder,
    pub(crate) now: Instant,
    pub(crate) events: Vec<S::Event>,
}

impl<S: Side> Play<S> {
    pub(crate) fn new(session: impl FnOnce(Instant) -> Session<S>) -> Self {
        let now = Instant::now();
        let (writer, decoder) = (Writer::new(), decoder());
        Self { session: session(now), writer, decoder, now, events: Vec::new() }
    }

    /// Feeds these bytes, one at a time.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut input = BytesMut::new();
        for byte in bytes {
            input.extend_from_slice(&[*byte]);
            while let Some(event) = self.session.next_event(self.now, &mut input)? {
                self.events.push(event);
            }
        }
        self.events.extend(self.session.poll_event());
        Ok(())
    }

    pub(crate) fn eof(&mut self) {
        self.session.handle_eof();
        self.events.extend(self.session.poll_event());
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) -> Result<(), Error> {
        let end = self.now + time;
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.session.handle_timeout(due)?;
        }
        self.now = end;
        self.events.extend(self.session.poll_event());
        Ok(())
    }

    pub(crate) fn written(&mut self) -> Vec<Frame> {
        written(&mut self.session, &mut self.decoder)
    }

    pub(crate) fn open(&mut self, id: u32, kind: &str) {
        let frame = self.writer.syn_stream(id, 0, &[("streamtype", kind)]);
        self.hear(&frame).unwrap();
    }

    pub(crate) fn reply(&mut self, ids: &[u32]) {
        for id in ids {
            let frame = self.writer.syn_reply(*id, 0, &[]);
            self.hear(&frame).unwrap();
        }
    }
}

pub(crate) fn server(streams: Streams, version: Subprotocol) -> Play<Server> {
    Play::new(|now| ServerSession::server_over_spdy(streams, version, &SessionConfig::server(), now))
}

pub(crate) fn client(streams: Streams, version: Subprotocol) -> Play<Client> {
    let mut config = SessionConfig::client([1; 32]);
    config.heartbeat = HeartbeatConfig::OFF;
    Play::new(|now| ClientSession::client_over_spdy(streams, version, &config, now))
}

/// A client whose streams 1, 3, 5 and 7 (error, stdin, stdout, stderr) were accepted.
pub(crate) fn accepted(version: Subprotocol) -> Play<Client> {
    let mut client = client(PIPES, version);
    client.reply(&[1, 3, 5, 7]);
    client.written();
    client.events.clear();
    client
}

pub(crate) fn goaway(last: u32, status: u32) -> Vec<u8> {
    numbers(7, 0, &[last, status])
}

pub(crate) fn close(code: u16) -> Option<CloseReason> {
    Some(CloseReason { code: Some(code), reason: "".into() })
}

pub(crate) fn ended<S: Side<Event: Clone>>(play: &Play<S>) -> Option<S::Event> {
    play.events.last().cloned()
}
