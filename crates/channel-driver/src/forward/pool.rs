//! The upgraded connections under a forward.

mod links;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use channel_proto::{
    Action, PodRequest, Role, Service, Streams, Subprotocol, Transport,
    forward::{Forward as Machine, ForwardError},
    upgrade::Fallback,
};

use event_listener::EventListener;
use links::{Claim, Found, Link, Links};

use super::{Connection, FirstByte};
use crate::{
    Error,
    background::Background,
    client::Client,
    fallback::{Agreed, Plan, Target},
    halves::Handle,
    runtime::Runtime,
    shared::Shared,
    trace::Span,
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

/// As many links as are wanted, of which at least one was there.
pub(super) struct Pool<R> {
    pub(super) settings: Arc<Settings<R>>,
    links: Arc<Links>,
}

impl<R: Runtime<Timer: Unpin>> Pool<R> {
    /// Opens the first connection, to know that there can be one, and further ones, if any are wanted, without waiting for them.
    pub(super) async fn open(settings: Settings<R>) -> Result<Self, Error> {
        settings.check()?;
        let (link, agreed) = settings.open().await?;
        let links = Links::new(link, agreed, settings.spread);
        let pool = Self { settings: Arc::new(settings), links };
        pool.look(&mut None);
        Ok(pool)
    }

    pub(super) fn agreed(&self) -> Agreed {
        self.links.lock().agreed.clone()
    }

    pub(super) async fn connect(&self, port: u16) -> Result<Connection, Error> {
        if port == 0 {
            return Err(Error::Usage(PORT_0.to_owned()));
        }
        // A link may turn out to be over only now; the next one is new.
        let mut last = ForwardError::GoingAway;
        for _ in 0..=self.settings.spread {
            match self.link().await?.connect(port, self.settings.first_byte) {
                Ok(connection) => return Ok(connection),
                Err(ForwardError::PortTaken) => {
                    let channels = self.agreed().subprotocol;
                    return self.settings.connect_apart(port, channels).await;
                }
                Err(error) => last = error,
            }
        }
        Err(Error::Forward(last))
    }

    /// Whether there is an upgraded connection that can be lost.
    pub(super) fn stands(&self) -> bool {
        self.links.lock().stand()
    }

    /// A link that lives, if there is one.
    pub(super) fn living(&self) -> Option<Arc<Link>> {
        self.links.with_living(links::Inner::least)
    }

    /// The link that carries least. Only where there is none, one is waited for.
    pub(super) async fn link(&self) -> Result<Arc<Link>, Error> {
        let mut seen = None;
        let mut changed = None;
        loop {
            if let Some(found) = self.look(&mut seen) {
                return found;
            }
            // It may have changed before this listened.
            match changed.take() {
                None => changed = Some(self.links.changed()),
                Some(changed) => changed.await,
            }
        }
    }

    /// Looks for a link, and has opened what is missing.
    fn look(&self, seen: &mut Option<u64>) -> Option<Result<Arc<Link>, Error>> {
        match self.links.find(R::now(), seen) {
            Found::Link(link, claims) => {
                claims.into_iter().for_each(|claim| self.begin(claim));
                Some(Ok(link))
            }
            Found::Waits(claim) => {
                claim.into_iter().for_each(|claim| self.begin(claim));
                None
            }
            Found::Failed(error) => Some(Err(error)),
        }
    }

    /// Opens a link in a task of its own: nobody has to wait for it, and whoever does can go away.
    fn begin(&self, claim: Claim) {
        let (settings, closing) = (self.settings.clone(), self.links.closing());
        R::spawn(Span::current().of(async move {
            if let Some(opened) = unless(closing, settings.open()).await {
                claim.settle(opened);
            }
        }));
    }
}

/// Runs `future`, unless that is `over` before it ends.
pub(super) async fn unless<T>(mut over: EventListener, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Pin::new(&mut over).poll(cx).map(|()| None),
    })
    .await
}

impl<R> Drop for Pool<R> {
    fn drop(&mut self) {
        self.links.close();
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
    async fn open(&self) -> Result<(Link, Agreed), Error> {
        let mut plan = self.plan.clone();
        plan.fallbacks.retain(|step| *step != Fallback::Channels || !self.ports.is_empty());
        self.open_as(&self.ports, &plan).await
    }

    async fn open_as(&self, ports: &[u16], plan: &Plan) -> Result<(Link, Agreed), Error> {
        let upgraded = self.client.negotiate(&self.target(ports), plan).await?;
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
        let link = Link::new(Handle::new(&shared));
        Background::<Machine, R>::spawn(shared);
        Ok((link, upgraded.agreed))
    }

    /// A further connection to a port, over channels: they have one for each port and upgrade, so it has an upgraded connection to itself, which ends
    /// with it. A path and query stands for the ports that were named where it came from, and for no others.
    async fn connect_apart(&self, port: u16, channels: Subprotocol) -> Result<Connection, Error> {
        let Pod::Named { .. } = self.pod else { return Err(Error::Forward(ForwardError::PortTaken)) };
        // What the server does not know was found out by the first.
        let plan =
            Plan { transport: Transport::WebSocket, offer: Some(vec![channels]), fallbacks: Vec::new() };
        self.open_as(&[port], &plan).await?.0.connect(port, self.first_byte).map_err(Error::Forward)
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
