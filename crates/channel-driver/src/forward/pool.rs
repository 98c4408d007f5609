//! The upgraded connections under a forward.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_lock::Mutex;
use channel_proto::{
    Action, PodRequest, Role, Service, Streams, Subprotocol, Transport,
    forward::{Forward as Machine, ForwardError},
    upgrade::Fallback,
};

use super::Connection;
use crate::{
    Error, background::Background, client::Client, halves::Handle, runtime::Runtime, shared::Shared,
};

/// What a forward needs to connect, and to connect again.
pub(crate) struct Settings<R> {
    pub(crate) client: Client<R>,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) spread: usize,
}

pub(super) struct Pool<R> {
    settings: Settings<R>,
    links: Mutex<Vec<Arc<Link>>>,
    next: AtomicUsize,
}

/// One upgraded connection.
pub(super) struct Link {
    handle: Handle<Machine>,
}

impl<R: Runtime<Timer: Unpin>> Pool<R> {
    pub(super) fn new(settings: Settings<R>) -> Self {
        Self { settings, links: Mutex::new(Vec::new()), next: AtomicUsize::new(0) }
    }

    /// Opens the first connection, to know that there can be one.
    pub(super) async fn warm_up(&self) -> Result<(), Error> {
        self.link().await.map(|_| ())
    }

    pub(super) async fn connect(&self, port: u16) -> Result<Connection, Error> {
        if port == 0 {
            return Err(Error::Usage("port 0 is no port to connect to".to_owned()));
        }
        // A link may turn out to be over only now; the next one is new.
        let mut last = ForwardError::GoingAway;
        for _ in 0..=self.settings.spread {
            match self.link().await?.connect(port) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(Error::Usage(last.to_string()))
    }

    /// The next connection in turn; a new one where one is missing or was lost.
    pub(super) async fn link(&self) -> Result<Arc<Link>, Error> {
        let mut links = self.links.lock().await;
        links.retain(|link| link.is_usable());
        if links.len() < self.settings.spread {
            let link = Arc::new(self.settings.open().await?);
            links.push(link.clone());
            return Ok(link);
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % links.len();
        Ok(links[turn].clone())
    }
}

impl<R: Runtime<Timer: Unpin>> Settings<R> {
    /// Upgrades a connection: to the tunnel, or where the server does not know it, to SPDY.
    async fn open(&self) -> Result<Link, Error> {
        match self.open_over(Transport::WebSocket).await {
            Err(Error::Refused(refusal)) if refusal.fallback() == Some(Fallback::Spdy) => {
                self.open_over(Transport::Spdy).await
            }
            opened => opened,
        }
    }

    async fn open_over(&self, transport: Transport) -> Result<Link, Error> {
        let request = PodRequest {
            namespace: self.namespace.clone(),
            pod: self.pod.clone(),
            container: None,
            action: Action::PortForward { ports: Vec::new() },
            streams: Streams::default(),
        };
        let offers = Subprotocol::default_offer(Service::PortForward, transport);
        let upgraded = self.client.upgrade(request, transport, offers).await?;
        let config = self.client.session_config()?;
        let machine = match upgraded.subprotocol {
            Subprotocol::Tunnel => Machine::over_tunnel(Role::Client, &config, R::now()),
            _ => Machine::over_spdy(Role::Client, &config, R::now()),
        };
        let stream = Box::new(upgraded.stream);
        let shared = Shared::new(machine, stream, upgraded.rest, &config.limits, R::now);
        let link = Link { handle: Handle::new(&shared) };
        Background::<Machine, R>::spawn(shared);
        Ok(link)
    }
}

impl Link {
    fn connect(&self, port: u16) -> Result<Connection, ForwardError> {
        let shared = &self.handle.shared;
        let id = shared.command(|machine, _| machine.connect(port))?;
        Ok(Connection::new(shared, id))
    }

    /// Whether new connections can go over it.
    fn is_usable(&self) -> bool {
        let state = self.handle.shared.lock();
        !state.has_ended() && !state.machine.is_going_away()
    }

    /// Waits until it is lost, and tells how.
    pub(super) async fn lost(&self) -> String {
        match std::future::poll_fn(|cx| self.handle.shared.poll_ended(cx)).await {
            Ok(Some(close)) => close.to_string(),
            Ok(None) => "the connection ended".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}
