//! Port-forward: connections to ports of a pod, many over one upgraded connection.

mod backoff;
mod connection;
mod copy;
mod listener;
mod machine;
mod pool;
mod server;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

pub use connection::Connection;
pub use listener::{Listener, ListenerState};
use pool::Pool;
pub use server::{ForwardServer, PendingConnection};

use channel_proto::{Subprotocol, upgrade::Refusal};

use crate::{Error, fallback::plan_settings, runtime::Runtime};

/// A port-forward to a pod. Cheap to clone; when the last clone and the last connection are dropped, it ends.
///
/// It holds one upgraded connection, or [several](PortForward::connections), over which any number of connections go. One that was lost is
/// opened anew when the next connection asks for it.
pub struct Forward<R> {
    pool: Arc<Pool<R>>,
}

impl<R: Runtime<Timer: Unpin>> Forward<R> {
    /// Connects to a port of the pod. What is written first goes out with the request for the connection: there is no round trip
    /// to wait for. That nothing listens there is told by the first read or a later write, in the pod's words.
    ///
    /// # Errors
    /// The forward's own connection was lost and cannot be opened anew, or carries as many connections as it may. Over channels there is
    /// connections to the [ports](PortForward::ports) alone, and [`Error::Forward`] for any other.
    pub async fn connect(&self, port: u16) -> Result<Connection, Error> {
        let connection = self.pool.connect(port).await?;
        if self.pool.settings.first_byte == FirstByte::WhenAccepted {
            connection.accepted().await?;
        }
        Ok(connection)
    }

    /// The subprotocol that was negotiated: `Tunnel`, `PortForward` (over SPDY), or that of channels. It may be another when the connection to the pod was
    /// lost and opened anew.
    pub fn subprotocol(&self) -> Subprotocol {
        self.pool.agreed().subprotocol
    }

    /// What the server refused before it took this, in order.
    pub fn refusals(&self) -> Arc<[Refusal]> {
        self.pool.agreed().refusals
    }

    /// Listens on a local address, and forwards what connects there to a port of the pod, until the listener is dropped. When the
    /// connection to the pod is lost it goes on listening, and connects again, with growing pauses. Over channels, where connections share
    /// none, one that cannot be made fails alone.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn listen(&self, address: SocketAddr, port: u16) -> Result<Listener, Error> {
        Listener::start(self.clone(), address, port).await
    }
}

impl<R> Clone for Forward<R> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone() }
    }
}

impl<R> fmt::Debug for Forward<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").finish_non_exhaustive()
    }
}

pub(crate) use pool::{Pod, Settings};

/// When the first data of a connection may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstByte {
    AtOnce,
    WhenAccepted,
}

/// A port-forward that is about to start.
#[must_use = "nothing is forwarded before it is started"]
pub struct PortForward<R> {
    pub(crate) settings: Settings<R>,
}

impl<R: Runtime<Timer: Unpin>> PortForward<R> {
    /// Spreads the connections over this many upgraded connections, so that a slow reader holds up fewer others. 1. All are opened at the start, but
    /// only the first is waited for.
    pub fn connections(mut self, count: usize) -> Self {
        self.settings.spread = count.max(1);
        self
    }

    /// Resets a connection whose unread data held up the others on the same upgraded connection for this long: reads and writes of it fail with
    /// [`ConnectionReset`](std::io::ErrorKind::ConnectionReset), and the others go on. Unless said, they wait for it without end. Neither the tunnel
    /// nor SPDY as it is spoken has windows, so that there is no third way.
    pub fn reset_slow_readers(mut self, after: Duration) -> Self {
        self.settings.patience = Some(after);
        self
    }

    /// Has [`connect`](Forward::connect) wait until the server has accepted a connection, for a server that does not take data before that, or to know
    /// that it is still there: one more round trip for each. The real servers accept before they dial the port, and so do not tell that somebody
    /// listens there. Through a [local port](Forward::listen) it is the data that waits. Over channels there is nothing to wait for.
    pub fn wait_until_accepted(mut self) -> Self {
        self.settings.first_byte = FirstByte::WhenAccepted;
        self
    }

    /// The ports that will be connected to. They need not be named, but where a server has neither the tunnel nor SPDY there are only WebSocket
    /// channels left, and those are for ports that are named in advance. A connection has no half-close then, and but the first to a port
    /// is an upgrade of its own; at a path and query, which is good for what it stands for, there is only the first, and a port that was named twice
    /// gives two.
    pub fn ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.settings.ports = ports.into_iter().collect();
        self
    }

    plan_settings!(self => self.settings.plan);

    /// Opens the upgraded connection: to the tunnel unless told otherwise. What the server does not know gives way to SPDY, and that to channels if
    /// the [ports](Self::ports) are named, if a refusal makes that worth trying and [`fallbacks`](Self::fallbacks) allows it.
    ///
    /// # Errors
    /// No connection, or a refusal with all that the server said.
    pub async fn start(self) -> Result<Forward<R>, Error> {
        Ok(Forward { pool: Arc::new(Pool::open(self.settings).await?) })
    }
}

impl<R> fmt::Debug for PortForward<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortForward").finish_non_exhaustive()
    }
}
