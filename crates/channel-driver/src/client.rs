//! A client of one API server, and what it can start there.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use channel_proto::{
    Action, HeartbeatConfig, Limits, PodRequest, Service, SessionConfig, Streams, TerminalSize,
    upgrade::BearerIn,
};
use http::{HeaderValue, StatusCode, header::AUTHORIZATION};

use crate::{
    AfterRejection, Endpoint, Error, Identity,
    connect::{Open, connect},
    credentials::Authorization,
    fallback::{Attempt, Plan, Target, plan_settings},
    forward::{self, PortForward},
    handshake::{self, Upgraded, timeout},
    http_client::{self, HttpClient},
    runtime::Runtime,
    session::{Output, Session},
};

/// Starts sessions in the pods of one API server. Cheap to clone.
pub struct Client<R> {
    shared: Arc<Settings>,
    runtime: PhantomData<fn() -> R>,
}

#[derive(Debug, Clone)]
struct Settings {
    reach: Reach,
    limits: Limits,
    heartbeat: HeartbeatConfig,
    connect_timeout: Duration,
}

/// For the `Host` of a request whose HTTP client writes that itself.
const ANY_AUTHORITY: &str = "kubernetes";

/// How the server is reached.
#[derive(Clone)]
enum Reach {
    /// By connections of our own.
    Endpoint(Box<Endpoint>),
    /// By somebody else's.
    Http(Arc<dyn HttpClient>),
}

impl<R: Runtime<Timer: Unpin>> Client<R> {
    /// A client of the server at `endpoint`. Nothing is connected until a session starts.
    pub fn new(endpoint: Endpoint) -> Self {
        Self::reaching(Reach::Endpoint(Box::new(endpoint)))
    }

    /// A client of the server that an HTTP client leads to, with that one's connections, credentials, TLS and proxies.
    pub fn over(http: impl HttpClient) -> Self {
        Self::reaching(Reach::Http(Arc::new(http)))
    }

    fn reaching(reach: Reach) -> Self {
        Self::with(Settings {
            reach,
            limits: Limits::default(),
            heartbeat: HeartbeatConfig::default(),
            connect_timeout: Duration::from_secs(30),
        })
    }

    fn with(settings: Settings) -> Self {
        Self { shared: Arc::new(settings), runtime: PhantomData }
    }

    /// Pings of each session, and when a silent peer is dead.
    #[must_use]
    pub fn heartbeat(self, heartbeat: HeartbeatConfig) -> Self {
        Self::with(Settings { heartbeat, ..Settings::clone(&self.shared) })
    }

    /// The caps of each session.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self::with(Settings { limits, ..Settings::clone(&self.shared) })
    }

    /// How long connecting and upgrading may take together, whatever is tried. 30 s.
    #[must_use]
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self::with(Settings { connect_timeout: timeout, ..Settings::clone(&self.shared) })
    }

    /// A command to run in a pod, like [`std::process::Command`].
    pub fn exec(&self, namespace: impl Into<String>, pod: impl Into<String>) -> Exec<R> {
        Exec(Launch::new(self, namespace.into(), pod.into(), Action::Exec { command: Vec::new() }))
    }

    /// A command that a path and query of the server stands for, already percent-encoded: what the streaming server of a kubelet or of a container
    /// runtime hands out, `/exec/TOKEN`. Which command and container it is, and on what streams, was said when it was handed out. The streams asked
    /// for here have to be the same.
    pub fn exec_at(&self, path_and_query: impl Into<String>) -> Exec<R> {
        Exec(Launch::at(self, path_and_query.into(), Action::Exec { command: Vec::new() }))
    }

    /// The main process of a pod, to attach to.
    pub fn attach(&self, namespace: impl Into<String>, pod: impl Into<String>) -> Attach<R> {
        Attach(Launch::new(self, namespace.into(), pod.into(), Action::Attach))
    }

    /// The main process of the container that a path and query stands for, as [`exec_at`](Self::exec_at) has it.
    pub fn attach_at(&self, path_and_query: impl Into<String>) -> Attach<R> {
        Attach(Launch::at(self, path_and_query.into(), Action::Attach))
    }

    /// The ports of a pod, to connect to.
    pub fn port_forward(&self, namespace: impl Into<String>, pod: impl Into<String>) -> PortForward<R> {
        let pod = forward::Pod::Named { namespace: namespace.into(), pod: pod.into() };
        PortForward { settings: forward::Settings::new(self.clone(), pod) }
    }

    /// The ports of the pod that a path and query stands for, as [`exec_at`](Self::exec_at) has it.
    pub fn port_forward_at(&self, path_and_query: impl Into<String>) -> PortForward<R> {
        let pod = forward::Pod::At(path_and_query.into());
        PortForward { settings: forward::Settings::new(self.clone(), pod) }
    }
}

impl<R: Runtime<Timer: Unpin>> Client<R> {
    /// As the client's identity, and if that is refused and may have been stale, once more as what it is then.
    pub(crate) async fn upgrade_with_identity(
        &self,
        target: &Target,
        attempt: &Attempt,
    ) -> Result<Upgraded, Error> {
        let endpoint = match &self.shared.reach {
            Reach::Endpoint(endpoint) => endpoint,
            // Its credentials are its own matter.
            Reach::Http(http) => return self.upgrade_over(&**http, target, attempt).await,
        };
        let identity = endpoint.identity().await?;
        match self.upgrade(endpoint, target, attempt, &identity).await {
            Err(Error::Refused(refusal)) if refusal.status == StatusCode::UNAUTHORIZED => {
                match endpoint.credentials.rejected(&identity) {
                    AfterRejection::AskAgain => {
                        self.upgrade(endpoint, target, attempt, &endpoint.identity().await?).await
                    }
                    AfterRejection::GiveUp => Err(Error::Refused(refusal)),
                }
            }
            result => result,
        }
    }

    /// Connects, and asks for an upgrade once.
    async fn upgrade(
        &self,
        endpoint: &Endpoint,
        target: &Target,
        attempt: &Attempt,
        identity: &Identity,
    ) -> Result<Upgraded, Error> {
        let request = target.request(&endpoint.authority(), attempt).path_prefix(&endpoint.prefix);
        let mut request = request.headers(endpoint.headers_as(identity));
        if let Some(Authorization::Bearer(token)) = &identity.authorization {
            request = request.bearer(token.clone(), BearerIn::Header);
        }
        let stream = connect::<R>(endpoint, identity).await?;
        handshake::upgrade(stream, &request, &self.shared.limits).await
    }

    async fn upgrade_over(
        &self,
        http: &dyn HttpClient,
        target: &Target,
        attempt: &Attempt,
    ) -> Result<Upgraded, Error> {
        http_client::upgrade(http, &target.request(ANY_AUTHORITY, attempt), &self.shared.limits).await
    }

    /// A connection to the server, TLS and proxy done, for requests of other kinds than are made here; one for each, so that a token that
    /// has expired is not shown again.
    ///
    /// # Errors
    /// No connection, or no identity.
    pub async fn open(&self) -> Result<Open, Error> {
        let Reach::Endpoint(endpoint) = &self.shared.reach else {
            return Err(Error::Usage(
                "this client's connections are made by another, and upgraded ones only".to_owned(),
            ));
        };
        timeout::<R, _>(self.shared.connect_timeout, &self.authority(), async {
            let identity = endpoint.identity().await?;
            let stream = connect::<R>(endpoint, &identity).await?;
            let mut headers = endpoint.headers_as(&identity);
            if let Some(Authorization::Bearer(token)) = &identity.authorization {
                let mut value =
                    HeaderValue::try_from(format!("Bearer {}", token.secret())).map_err(|_| {
                        Error::Usage("the token has characters in it that no token has".to_owned())
                    })?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            Ok(Open { stream, headers, authority: endpoint.authority(), prefix: endpoint.prefix.clone() })
        })
        .await
    }

    pub(crate) fn connect_time(&self) -> Duration {
        self.shared.connect_timeout
    }

    pub(crate) fn authority(&self) -> String {
        match &self.shared.reach {
            Reach::Endpoint(endpoint) => endpoint.authority(),
            Reach::Http(_) => "the server of the HTTP client".to_owned(),
        }
    }

    /// The configuration of a session of this client.
    pub(crate) fn session_config(&self) -> Result<SessionConfig, Error> {
        let mut config = SessionConfig::client(handshake::entropy()?);
        config.limits = self.shared.limits.clone();
        config.heartbeat = self.shared.heartbeat;
        Ok(config)
    }
}

impl<R> Clone for Client<R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), runtime: PhantomData }
    }
}

impl<R> fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("reach", &self.shared.reach).finish_non_exhaustive()
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(endpoint) => endpoint.fmt(f),
            Self::Http(_) => f.write_str("HttpClient(…)"),
        }
    }
}

/// What exec and attach have in common.
struct Launch<R> {
    client: Client<R>,
    /// In the place of the pod, its container and the command.
    at: Option<String>,
    request: PodRequest,
    plan: Plan,
    size: Option<TerminalSize>,
}

impl<R: Runtime<Timer: Unpin>> Launch<R> {
    fn new(client: &Client<R>, namespace: String, pod: String, action: Action) -> Self {
        let request = PodRequest { namespace, pod, container: None, action, streams: Streams::default() };
        Self { client: client.clone(), at: None, request, plan: Plan::default(), size: None }
    }

    fn at(client: &Client<R>, path_and_query: String, action: Action) -> Self {
        Self { at: Some(path_and_query), ..Self::new(client, String::new(), String::new(), action) }
    }

    fn check(&self) -> Result<(), Error> {
        let usage = |what: &str| Err(Error::Usage(what.to_owned()));
        let command = match &self.request.action {
            Action::Exec { command } => Some(command),
            _ => None,
        };
        let elsewhere =
            command.is_some_and(|command| !command.is_empty()) || self.request.container.is_some();
        match &self.at {
            _ if !self.request.streams.any() => usage("ask for at least one of stdin, stdout and stderr"),
            _ if self.request.streams.tty && self.request.streams.stderr => {
                usage("a terminal has no stderr of its own: everything comes on stdout")
            }
            Some(_) if elsewhere => usage("the URL says which command in which container: name neither"),
            None if command.is_some_and(Vec::is_empty) => usage("no command to run"),
            _ => Ok(()),
        }
    }

    async fn start(self) -> Result<Session, Error> {
        self.check()?;
        let streams = self.request.streams;
        let target = match self.at {
            Some(path_and_query) => Target::At(path_and_query, Service::RemoteCommand),
            None => Target::Pod(self.request),
        };
        let upgraded = self.client.negotiate(&target, &self.plan).await?;
        let session = Session::start::<R>(upgraded, streams, &self.client.session_config()?);
        if let Some(size) = self.size {
            // A size was only taken together with a terminal; before v3 SPDY cannot tell one, and the terminal then has none.
            let _ = session.resize(size);
        }
        Ok(session)
    }
}

macro_rules! launch {
    ($name:ident) => {
        impl<R: Runtime<Timer: Unpin>> $name<R> {
            /// The container; the pod's only or default one unless named.
            pub fn container(mut self, name: impl Into<String>) -> Self {
                self.0.request.container = Some(name.into());
                self
            }

            /// Wants to write stdin.
            pub fn stdin(mut self) -> Self {
                self.0.request.streams.stdin = true;
                self
            }

            /// Wants to read stdout.
            pub fn stdout(mut self) -> Self {
                self.0.request.streams.stdout = true;
                self
            }

            /// Wants to read stderr. A terminal has none of its own.
            pub fn stderr(mut self) -> Self {
                self.0.request.streams.stderr = true;
                self
            }

            /// On a terminal, of this size if it is known.
            pub fn tty(mut self, size: Option<TerminalSize>) -> Self {
                self.0.request.streams.tty = true;
                self.0.size = size;
                self
            }

            plan_settings!(self => self.0.plan);

            /// Connects, upgrades, and hands out the streams. What the server does not know it is not asked for a second time: v5 gives way to v4
            /// and WebSocket to SPDY, if a refusal makes that worth trying and [`fallbacks`](Self::fallbacks) allows it.
            ///
            /// # Errors
            /// No connection, a refusal (with all that the server said), or a request that makes no sense.
            pub async fn start(self) -> Result<Session, Error> {
                self.0.start().await
            }
        }

        impl<R> fmt::Debug for $name<R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0.request).finish()
            }
        }
    };
}

/// A command to run in a pod.
#[must_use = "nothing runs before it is started"]
pub struct Exec<R>(Launch<R>);

/// An attachment to the main process of a pod.
#[must_use = "nothing happens before it is started"]
pub struct Attach<R>(Launch<R>);

launch!(Exec);
launch!(Attach);

impl<R: Runtime<Timer: Unpin>> Exec<R> {
    /// The command and its arguments. No shell is involved.
    pub fn command(mut self, command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.request.action = Action::Exec { command: command.into_iter().map(Into::into).collect() };
        self
    }

    /// Runs the command to its end and collects its output, stdout and stderr apart.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when the connection breaks the protocol. That it was cut off is an outcome, beside the
    /// output that came before.
    pub async fn output(mut self) -> Result<Output, Error> {
        self.0.request.streams.stdout = true;
        self.0.request.streams.stderr = !self.0.request.streams.tty;
        self.start().await?.output().await
    }
}
