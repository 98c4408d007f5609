//! An embedded pod: serves Kubernetes' exec and attach by processes of this machine.
//!
//! It is what the tests and examples of this project, and `kubectl channel exec --embedded`, talk to; `kubectl` talks to it too, since it
//! also answers the few REST requests that `kubectl` makes before an exec. Unix only.
//!
//! Whoever can reach it and knows its token can run any command as the user it runs as. So it listens on loopback unless told
//! otherwise, and always asks for a token.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! let pod = channel_pod::Pod::builder().start().await?;
//! println!("kubectl --server={} exec {} -- date", pod.kubectl_url(), pod.name());
//! # Ok(())
//! # }
//! ```

mod certificate;
mod forward;
mod process;
mod rest;
mod serve;
mod session;

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use channel_proto::{Service, SessionConfig, Streams, Subprotocol, Transport};
use channel_tokio::{Endpoint, tls::Tls};
use process::{MainProcess, ProcessSpec};
use rest::{ContainerFacts, Objects, PodFacts, ServiceFacts};
use tokio::{net::TcpListener, task::JoinHandle};

/// A pod that is being served. Dropping it ends every session and hangs up every process.
pub struct Pod {
    address: SocketAddr,
    token: String,
    authority: Option<String>,
    facts: Arc<serve::Facts>,
    server: JoinHandle<()>,
}

impl Pod {
    /// A pod named `embedded` in the namespace `default`, with one container, on a free port of 127.0.0.1, with a random token.
    pub fn builder() -> Builder {
        Builder {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            namespace: "default".into(),
            name: "embedded".into(),
            containers: Vec::new(),
            objects: Objects::default(),
            subprotocols: every_subprotocol(),
            max_connections: 1024,
            session: SessionConfig::server(),
            security: Security::Plain,
            names: Vec::new(),
            client_authorities: None,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for a client: `http://127.0.0.1:41234`, or with TLS `https://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The authority that vouches for its certificate, as PEM, if it speaks TLS.
    pub fn certificate_authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// All that a client needs: where it is, the token, and with TLS the authority to believe.
    pub fn endpoint(&self) -> Endpoint {
        let endpoint = Endpoint::new(&self.url()).expect("an address makes a URL").token(&self.token);
        match &self.authority {
            Some(authority) => {
                let tls = Tls::new().authorities(authority.as_bytes());
                endpoint.tls(tls.expect("it was made as a certificate"))
            }
            None => endpoint,
        }
    }

    /// The URL for kubectl, with the token in it: `http://127.0.0.1:41234/token/TOKEN`. kubectl sends no credentials over plain HTTP.
    ///
    /// Only good for a token that stands for itself in a path, as the random one does.
    pub fn kubectl_url(&self) -> String {
        format!("{}/token/{}", self.url(), self.token)
    }

    /// The bearer token that it asks for.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.facts.pod.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.facts.pod.namespace
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pod")
            .field("address", &self.address)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// A container of the pod.
#[derive(Debug, Clone)]
pub struct Container {
    name: String,
    command: Vec<String>,
    streams: Streams,
    ports: Vec<(String, u16)>,
}

impl Container {
    /// A container without a main process: exec works in it, attach has nothing to attach to.
    pub fn new(name: impl Into<String>) -> Self {
        let streams = Streams { stdout: true, stderr: true, ..Streams::default() };
        Self { name: name.into(), command: Vec::new(), streams, ports: Vec::new() }
    }

    /// The main process, which runs as long as the pod does, and to which sessions attach.
    #[must_use]
    pub fn command(mut self, command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.command = command.into_iter().map(Into::into).collect();
        self
    }

    /// The main process has a stdin.
    #[must_use]
    pub fn stdin(mut self) -> Self {
        self.streams.stdin = true;
        self
    }

    /// The main process runs on a terminal.
    #[must_use]
    pub fn tty(mut self) -> Self {
        self.streams.tty = true;
        self
    }

    /// A port of it has a name, by which a service can mean it.
    #[must_use]
    pub fn port(mut self, name: impl Into<String>, port: u16) -> Self {
        self.ports.push((name.into(), port));
        self
    }

    fn start(self) -> io::Result<(ContainerFacts, Option<MainProcess>)> {
        let main = match self.command.is_empty() {
            true => None,
            false => {
                let streams = self.streams.served();
                let spec = ProcessSpec { command: self.command.clone(), streams, ..ProcessSpec::default() };
                Some(MainProcess::start(&spec).map_err(io::Error::other)?)
            }
        };
        let Self { name, command, streams, ports } = self;
        Ok((ContainerFacts { name, command, stdin: streams.stdin, tty: streams.tty, ports }, main))
    }
}

/// What a pod will be.
#[derive(Clone)]
#[must_use = "nothing is served before it is started"]
pub struct Builder {
    listen: SocketAddr,
    token: Option<String>,
    namespace: String,
    name: String,
    containers: Vec<Container>,
    objects: Objects,
    subprotocols: Vec<Subprotocol>,
    max_connections: usize,
    session: SessionConfig,
    security: Security,
    names: Vec<String>,
    client_authorities: Option<Vec<u8>>,
}

/// Whether the pod speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    Plain,
    Tls,
}

impl Builder {
    /// Listens on another address. Think before you leave loopback: without [TLS](Self::tls) the token travels in the
    /// clear.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Speaks TLS, with a certificate that is made when it starts, by an [authority](Pod::certificate_authority) that is made for it. It is
    /// for the address that it listens on, for 127.0.0.1, ::1 and `localhost`.
    pub fn tls(mut self) -> Self {
        self.security = Security::Tls;
        self
    }

    /// Speaks [TLS](Self::tls) with a certificate that is for this name or address too.
    pub fn tls_name(mut self, name: impl Into<String>) -> Self {
        self.names.push(name.into());
        self.tls()
    }

    /// Speaks [TLS](Self::tls), and takes a client's certificate in the place of the token, if one of these authorities, in PEM, vouches for it.
    pub fn client_authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.client_authorities = Some(pem.into());
        self.tls()
    }

    /// Asks for this token in the place of a random one.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Its namespace.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Its name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Adds a container. Without any there is one, `main`, without a main process.
    pub fn container(mut self, container: Container) -> Self {
        self.containers.push(container);
        self
    }

    /// Tells of a deployment of this name, whose only pod it is.
    pub fn deployment(mut self, name: impl Into<String>) -> Self {
        self.objects.deployments.push(name.into());
        self
    }

    /// Tells of a service of this name before it, whose port leads to the container's port `target`: a number, or [the name of one](Container::port).
    pub fn service(mut self, name: impl Into<String>, port: u16, target: impl Into<String>) -> Self {
        self.objects.services.push(ServiceFacts { name: name.into(), port, target: target.into() });
        self
    }

    /// Speaks only these subprotocols, to be like an older server: those of them that there are, over WebSocket and over SPDY.
    pub fn subprotocols(mut self, subprotocols: impl IntoIterator<Item = Subprotocol>) -> Self {
        self.subprotocols = subprotocols.into_iter().collect();
        self
    }

    /// How many connections are served at once; more wait to be accepted. 1,024.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.max_connections = count;
        self
    }

    /// Limits, strictness and heartbeat of each session.
    pub fn session(mut self, config: SessionConfig) -> Self {
        self.session = config;
        self
    }

    /// Starts the main processes, and serves. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be listened on, no certificate can be made or the client authorities cannot be read, a main process cannot be started, or the token is empty.
    pub async fn start(mut self) -> io::Result<Pod> {
        let token = match self.token {
            Some(token) if token.is_empty() => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "an empty token is no protection"));
            }
            Some(token) => token,
            None => random_token()?,
        };
        if self.containers.is_empty() {
            self.containers.push(Container::new("main"));
        }
        let listener = TcpListener::bind(self.listen).await?;
        let address = listener.local_addr()?;
        let (tls, authority) = match self.security {
            Security::Plain => (None, None),
            Security::Tls => {
                let made = certificate::make(address.ip(), &self.names, self.client_authorities.as_deref())?;
                (Some(made.tls), Some(made.authority))
            }
        };
        let started: Vec<_> = self.containers.into_iter().map(Container::start).collect::<io::Result<_>>()?;
        let (containers, main): (Vec<_>, Vec<_>) = started.into_iter().unzip();
        let main = containers.iter().map(|facts| facts.name.clone()).zip(main);
        let facts = Arc::new(serve::Facts {
            main: main.filter_map(|(name, main)| Some((name, main?))).collect(),
            pod: PodFacts {
                namespace: self.namespace,
                name: self.name,
                containers,
                started: SystemTime::now(),
                objects: self.objects,
            },
            token: token.clone(),
            subprotocols: self.subprotocols,
            session: self.session,
            tls,
        });
        let server = tokio::spawn(serve::serve(listener, facts.clone(), self.max_connections));
        Ok(Pod { address, token, authority, facts, server })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("listen", &self.listen)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn every_subprotocol() -> Vec<Subprotocol> {
    let over = |transport| Subprotocol::spoken(Service::RemoteCommand, transport).iter().copied();
    over(Transport::WebSocket).chain(over(Transport::Spdy)).collect()
}

fn random_token() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
