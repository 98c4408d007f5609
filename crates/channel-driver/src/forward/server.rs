//! The server's side of a port-forward.

use std::fmt;

use bytes::BytesMut;
use channel_proto::{
    Role, SessionConfig, Subprotocol,
    forward::{ConnectionId, Forward as Machine, ForwardError},
};

use super::Connection;
use crate::{
    background::Background,
    halves::Handle,
    runtime::{Runtime, Transport},
    shared::Shared,
    trace,
};

/// A port-forward that is served.
pub struct ForwardServer {
    handle: Handle<Machine>,
}

impl ForwardServer {
    /// A forward on a stream that was upgraded, to the tunnel, to SPDY, or to channels for these `ports`. `rest` is what was read behind
    /// the head of the request.
    ///
    /// # Errors
    /// Channels cannot serve these ports in this subprotocol.
    pub fn over<R: Runtime<Timer: Unpin>>(
        stream: impl Transport,
        rest: BytesMut,
        subprotocol: Subprotocol,
        ports: &[u16],
        config: &SessionConfig,
    ) -> Result<Self, ForwardError> {
        let machine = match subprotocol {
            Subprotocol::Tunnel => Machine::over_tunnel(Role::Server, config, R::now()),
            Subprotocol::PortForward => Machine::over_spdy(Role::Server, config, R::now()),
            channels => Machine::over_channels(Role::Server, ports, channels, config, R::now())?,
        };
        trace::serving(subprotocol);
        let shared = Shared::new(machine, Box::new(stream), rest, &config.limits, R::now);
        let server = Self { handle: Handle::new(&shared) };
        Background::<Machine, R>::spawn(shared);
        Ok(server)
    }

    /// The next connection that the client wants; `None` once the forward is over.
    pub async fn accept(&self) -> Option<PendingConnection> {
        let shared = &self.handle.shared;
        let (index, port) = shared.connect().await?;
        Some(PendingConnection {
            port,
            id: ConnectionId::from_index(index),
            handle: Handle::new(shared),
            fate: Fate::Open,
        })
    }
}

impl Drop for ForwardServer {
    /// The connections that were accepted go on.
    fn drop(&mut self) {
        self.handle.shared.stop_connects();
    }
}

impl fmt::Debug for ForwardServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardServer").finish_non_exhaustive()
    }
}

/// A connection that a client wants. What it sends waits meanwhile. To drop it is to refuse it.
pub struct PendingConnection {
    port: u16,
    id: ConnectionId,
    handle: Handle<Machine>,
    fate: Fate,
}

/// Whether somebody said what becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Decided,
}

impl PendingConnection {
    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// There is something to connect it with.
    pub fn accept(mut self) -> Connection {
        self.decide()
    }

    /// There is not, and this is why: the client is told, for this connection alone.
    pub fn refuse(mut self, why: &str) {
        self.decide().fail(why);
    }

    fn decide(&mut self) -> Connection {
        self.fate = Fate::Decided;
        Connection::new(&self.handle.shared, self.id)
    }
}

impl Drop for PendingConnection {
    fn drop(&mut self) {
        // A connection that ends without a word seems to have ended well.
        if self.fate == Fate::Open {
            self.decide().fail("the connection was given up before it was made");
        }
    }
}

impl fmt::Debug for PendingConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingConnection").field("port", &self.port).finish_non_exhaustive()
    }
}
