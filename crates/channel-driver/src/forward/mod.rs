//! Port-forward: connections to ports of a pod, many over one upgraded connection.

mod connection;
mod copy;
mod listener;
mod machine;
mod pool;
mod server;

use std::{fmt, net::SocketAddr, sync::Arc};

pub use connection::Connection;
pub use listener::{Listener, ListenerState};
use pool::Pool;
pub use server::{ForwardServer, PendingConnection};

use crate::{Error, runtime::Runtime};

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
    /// The forward's own connection was lost and cannot be opened anew, or carries as many connections as it may.
    pub async fn connect(&self, port: u16) -> Result<Connection, Error> {
        self.pool.connect(port).await
    }

    /// Listens on a local address, and forwards what connects there to a port of the pod, until the listener is dropped. When the
    /// connection to the pod is lost it goes on listening, and connects again, with growing pauses.
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

pub(crate) use pool::Settings;

/// A port-forward that is about to start.
#[must_use = "nothing is forwarded before it is started"]
pub struct PortForward<R> {
    pub(crate) settings: Settings<R>,
}

impl<R: Runtime<Timer: Unpin>> PortForward<R> {
    /// Spreads the connections over this many upgraded connections, so that a slow reader holds up fewer others. 1.
    pub fn connections(mut self, count: usize) -> Self {
        self.settings.spread = count.max(1);
        self
    }

    /// Opens the upgraded connection.
    ///
    /// # Errors
    /// No connection, or a refusal with all that the server said.
    pub async fn start(self) -> Result<Forward<R>, Error> {
        let pool = Pool::new(self.settings);
        pool.warm_up().await?;
        Ok(Forward { pool: Arc::new(pool) })
    }
}

impl<R> fmt::Debug for PortForward<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortForward").finish_non_exhaustive()
    }
}
