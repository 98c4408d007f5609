//! The server's side of a port-forward.

use std::{fmt, future::poll_fn, sync::Arc};

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
        let (index, port) = poll_fn(|cx| shared.poll_connect(cx)).await?;
        let connection = Connection::new(shared, ConnectionId::from_index(index));
        Some(PendingConnection {
            port,
            shared: shared.clone(),
            connection,
            id: ConnectionId::from_index(index),
        })
    }
}

impl fmt::Debug for ForwardServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardServer").finish_non_exhaustive()
    }
}

/// A connection that a client wants. What it sends waits meanwhile.
pub struct PendingConnection {
    port: u16,
    id: ConnectionId,
    shared: Arc<Shared<Machine>>,
    connection: Connection,
}

impl PendingConnection {
    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// There is something to connect it with.
    pub fn accept(self) -> Connection {
        self.connection
    }

    /// There is not, and this is why: the client is told, for this connection alone.
    pub fn refuse(self, why: &str) {
        self.shared.command(|machine, _| machine.fail_connection(self.id, why));
    }
}

impl fmt::Debug for PendingConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingConnection").field("port", &self.port).finish_non_exhaustive()
    }
}
