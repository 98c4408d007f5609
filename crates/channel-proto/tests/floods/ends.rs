//! Who is flooded.

use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use channel_proto::{
    ClientEvent, ClientSession, Error, HeartbeatConfig, Role, ServerEvent, ServerSession, SessionConfig,
    Streams, Subprotocol,
    forward::{Forward, ForwardEvent},
    session::{Session, Side},
};

/// What is carried, and over what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Raw,
    Tunnel,
    Channels(Subprotocol),
    /// An exec over SPDY.
    Exec,
}

/// The end that is flooded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Victim {
    pub(crate) role: Role,
    pub(crate) column: Column,
}

const fn victim(role: Role, column: Column) -> Victim {
    Victim { role, column }
}

impl Victim {
    pub(crate) const RAW_SERVER: Self = victim(Role::Server, Column::Raw);
    pub(crate) const TUNNEL_SERVER: Self = victim(Role::Server, Column::Tunnel);
    pub(crate) const OVER_SPDY: [Self; 6] = [
        victim(Role::Client, Column::Raw),
        Self::RAW_SERVER,
        victim(Role::Client, Column::Tunnel),
        Self::TUNNEL_SERVER,
        victim(Role::Client, Column::Exec),
        victim(Role::Server, Column::Exec),
    ];
    pub(crate) const OVER_WEBSOCKET: [Self; 8] = [
        victim(Role::Client, Column::Tunnel),
        Self::TUNNEL_SERVER,
        victim(Role::Client, Column::Channels(Subprotocol::V4)),
        victim(Role::Server, Column::Channels(Subprotocol::V4)),
        victim(Role::Client, Column::Channels(Subprotocol::V4Base64)),
        victim(Role::Server, Column::Channels(Subprotocol::V4Base64)),
        victim(Role::Client, Column::Channels(Subprotocol::Unnamed)),
        victim(Role::Server, Column::Channels(Subprotocol::Unnamed)),
    ];

    /// A server of an exec neither answers nor ends what it does not expect (SPE-5): up to the limit it is kept.
    pub(crate) fn keeps_what_is_opened(self) -> bool {
        self == victim(Role::Server, Column::Exec)
    }
}

/// Whether the peer reads what it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Reads,
    ReadsNothing,
}

enum Machine {
    Forward(Box<Forward>),
    Client(Box<ClientSession>),
    Server(Box<ServerSession>),
}

/// A victim that lives.
pub(crate) struct End {
    machine: Machine,
    input: BytesMut,
    now: Instant,
    /// Bytes of payload that it was told of.
    heard: usize,
}

impl End {
    pub(crate) fn new(victim: Victim) -> Self {
        let now = Instant::now();
        let mut config = SessionConfig::client([3; 32]);
        config.heartbeat = HeartbeatConfig::OFF;
        let streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };
        let forward = |forward| Machine::Forward(Box::new(forward));
        let machine = match (victim.column, victim.role) {
            (Column::Raw, role) => forward(Forward::over_spdy(role, &config, now)),
            (Column::Tunnel, role) => forward(Forward::over_tunnel(role, &config, now)),
            (Column::Channels(form), role) => {
                forward(Forward::over_channels(role, &[80], form, &config, now).unwrap())
            }
            (Column::Exec, Role::Client) => {
                let session = ClientSession::client_over_spdy(streams, Subprotocol::V4, &config, now);
                Machine::Client(Box::new(session))
            }
            (Column::Exec, _) => {
                let session = ServerSession::server_over_spdy(streams, Subprotocol::V4, &config, now);
                Machine::Server(Box::new(session))
            }
        };
        let mut end = Self { machine, input: BytesMut::new(), now, heard: 0 };
        if let (Role::Client, Machine::Forward(forward)) = (victim.role, &mut end.machine) {
            forward.connect(80).unwrap();
        }
        end
    }

    /// Takes what it can of these bytes, behind those that it did not take before.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.input.extend_from_slice(bytes);
        let (now, input) = (self.now, &mut self.input);
        match &mut self.machine {
            Machine::Forward(forward) => loop {
                forward.handle_input(now, input)?;
                match forward.poll_event() {
                    Some(ForwardEvent::Data(_, payload)) => self.heard += payload.len(),
                    Some(_) => {}
                    None => return Ok(()),
                }
            },
            Machine::Client(session) => pump(session, now, input, |event| {
                if let ClientEvent::Output(_, payload) = event {
                    self.heard += payload.len();
                }
            }),
            Machine::Server(session) => pump(session, now, input, |event| {
                if let ServerEvent::Stdin(payload) = event {
                    self.heard += payload.len();
                }
            }),
        }
    }

    /// Whether it takes nothing more before its answers are read.
    pub(crate) fn is_stopped(&self) -> bool {
        !self.input.is_empty()
    }

    /// Whether `bytes` reach the application.
    pub(crate) fn hears(&mut self, bytes: &[u8]) -> bool {
        let before = self.heard;
        self.take(bytes).is_ok() && self.heard > before
    }

    /// Writes all that there is to be written.
    pub(crate) fn write(&mut self) {
        loop {
            let transmit = match &mut self.machine {
                Machine::Forward(forward) => Some(forward.transmit()),
                Machine::Client(session) => session.transmit(),
                Machine::Server(session) => session.transmit(),
            };
            let Some(transmit) = transmit.filter(|transmit| !transmit.is_empty()) else { return };
            transmit.advance(transmit.remaining());
        }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        let Machine::Forward(forward) = &mut self.machine else { return };
        forward.handle_timeout(self.now).unwrap();
    }
}

fn pump<S: Side>(
    session: &mut Session<S>,
    now: Instant,
    input: &mut BytesMut,
    mut tell: impl FnMut(S::Event),
) -> Result<(), Error> {
    while let Some(event) = session.next_event(now, input)? {
        tell(event);
    }
    Ok(())
}
