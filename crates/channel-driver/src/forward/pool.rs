//! The upgraded connections under a forward.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_lock::Mutex;
use channel_proto::{
    Action, PodRequest, Role, Service, Streams, Subprotocol,
    forward::{Forward as Machine, ForwardError},
    upgrade::Fallback,
};

use super::{Connection, FirstByte};
use crate::{
    Error,
    background::Background,
    client::Client,
    fallback::{Agreed, Plan, Target},
    halves::Handle,
    runtime::Runtime,
    shared::Shared,
};

/// What a forward needs to connect, and to connect again.
pub(crate) struct Settings<R> {
    client: Client<R>,
    pod: Pod,
    /// The ports that channels would be for.
    pub(super) ports: Vec<u16>,
    pub(crate) plan: Plan,
    pub(super) spread: usize,
    pub(super) patience: Option<Duration>,
    pub(super) first_byte: FirstByte,
}

/// The pod of a forward.
pub(crate) enum Pod {
    /// In the paths of an API server.
    Named { namespace: String, pod: String },
    /// What a path and query stands for.
    At(String),
}

pub(super) struct Pool<R> {
    pub(super) settings: Settings<R>,
    links: Mutex<Vec<Arc<Link>>>,
    next: AtomicUsize,
    /// Of the connection that was opened last.
    agreed: std::sync::Mutex<Agreed>,
}

/// One upgraded connection.
pub(super) struct Link {
    handle: Handle<Machine>,
}

impl<R: Runtime<Timer: Unpin>> Pool<R> {
    /// Opens the first connection, to know that there can be one.
    pub(super) async fn open(settings: Settings<R>) -> Result<Self, Error> {
        settings.check()?;
        let (link, agreed) = settings.open(&settings.ports).await?;
        let links = Mutex::new(vec![Arc::new(link)]);
        Ok(Self { settings, links, next: AtomicUsize::new(0), agreed: agreed.into() })
    }

    pub(super) fn agreed(&self) -> Agreed {
        self.agreed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn connect(&self, port: u16) -> Result<Connection, Error> {
        if port == 0 {
            return Err(Error::Usage(PORT_0.to_owned()));
        }
        // A link may turn out to be over only now; the next one is new.
        let mut last = ForwardError::GoingAway;
        for _ in 0..=self.settings.spread {
            match self.link().await?.connect(port) {
                Ok(connection) => return Ok(connection),
                Err(ForwardError::PortTaken) => return self.settings.connect_apart(port).await,
                Err(error) => last = error,
            }
        }
        Err(Error::Forward(last))
    }

    /// Whether the connections have an upgraded connection under them that is there without them, and can be lost. Over channels there is none:
    /// each has its own.
    pub(super) fn stands(&self) -> bool {
        matches!(self.agreed().subprotocol, Subprotocol::Tunnel | Subprotocol::PortForward)
    }

    /// The next connection in turn; a new one where one is missing or was lost.
    pub(super) async fn link(&self) -> Result<Arc<Link>, Error> {
        let mut links = self.links.lock().await;
        links.retain(|link| link.is_usable());
        if links.len() < self.settings.spread {
            match self.settings.open(&self.settings.ports).await {
                Ok((link, agreed)) => {
                    *self.agreed.lock().unwrap_or_else(PoisonError::into_inner) = agreed;
                    let link = Arc::new(link);
                    links.push(link.clone());
                    return Ok(link);
                }
                Err(error) if links.is_empty() => return Err(error),
                // Those that live will do.
                Err(_) => {}
            }
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % links.len();
        Ok(links[turn].clone())
    }
}

impl<R: Runtime<Timer: Unpin>> Settings<R> {
    pub(crate) fn new(client: Client<R>, pod: Pod) -> Self {
        Self {
            client,
            pod,
            ports: Vec::new(),
            plan: Plan::default(),
            spread: 1,
            patience: None,
            first_byte: FirstByte::AtOnce,
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.ports.contains(&0) {
            return Err(Error::Usage(PORT_0.to_owned()));
        }
        Ok(())
    }

    /// Upgrades a connection: to the tunnel, or where the server does not know it, to SPDY, or where that cannot be either and the ports are known,
    /// to channels.
    async fn open(&self, ports: &[u16]) -> Result<(Link, Agreed), Error> {
        let mut plan = self.plan.clone();
        plan.fallbacks.retain(|step| *step != Fallback::Channels || !ports.is_empty());
        let upgraded = self.client.negotiate(&self.target(ports), &plan).await?;
        let (config, now) = (self.client.session_config()?, R::now());
        let machine = match upgraded.agreed.subprotocol {
            Subprotocol::Tunnel => Machine::over_tunnel(Role::Client, &config, now),
            Subprotocol::PortForward => Machine::over_spdy(Role::Client, &config, now),
            channels => {
                Machine::over_channels(Role::Client, ports, channels, &config, now).map_err(Error::Forward)?
            }
        };
        let shared = Shared::new(machine, upgraded.stream, upgraded.rest, &config.limits, R::now);
        shared.lock().patience = self.patience;
        let link = Link { handle: Handle::new(&shared) };
        Background::<Machine, R>::spawn(shared);
        Ok((link, upgraded.agreed))
    }

    /// A further connection to a port, over channels: they have one for each port and upgrade, so it has an upgraded connection to itself, which ends
    /// with it. A path and query stands for the ports that were named where it came from, and for no others.
    async fn connect_apart(&self, port: u16) -> Result<Connection, Error> {
        match self.pod {
            Pod::Named { .. } => self.open(&[port]).await?.0.connect(port).map_err(Error::Forward),
            Pod::At(_) => Err(Error::Forward(ForwardError::PortTaken)),
        }
    }

    fn target(&self, ports: &[u16]) -> Target {
        match &self.pod {
            Pod::At(path_and_query) => Target::At(path_and_query.clone(), Service::PortForward),
            Pod::Named { namespace, pod } => Target::Pod(PodRequest {
                namespace: namespace.clone(),
                pod: pod.clone(),
                container: None,
                action: Action::PortForward { ports: ports.to_vec() },
                streams: Streams::default(),
            }),
        }
    }
}

const PORT_0: &str = "port 0 is no port to connect to";

impl Link {
    fn connect(&self, port: u16) -> Result<Connection, ForwardError> {
        let shared = &self.handle.shared;
        // The request goes out with what is written first, if that is soon.
        let id = shared.defer(|machine| machine.connect(port))?;
        Ok(Connection::new(shared, id))
    }

    /// Whether new connections can go over it.
    fn is_usable(&self) -> bool {
        let state = self.handle.shared.lock();
        !state.has_ended() && !state.machine.is_going_away()
    }

    /// Waits until it is lost, and tells how.
    pub(super) async fn lost(&self) -> String {
        match self.handle.shared.ended().await {
            Ok(Some(close)) => close.to_string(),
            Ok(None) => "the connection ended".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}
