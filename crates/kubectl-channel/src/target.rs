//! The pod that a command is about: one of a cluster, or one in this process.

use std::time::Duration;

use channel_pod::Pod;
use channel_tokio::{Attach, Client, Endpoint, Exec, PortForward};

use crate::{
    cli::{ConnectionFlags, ServerFlags},
    endpoint::{self, StreamingUrl},
    exit::Failure,
    resource::{Name, RemotePort, ResolvedPort},
};

/// A pod, and a client of the server that has it.
pub(crate) struct Target {
    client: Client,
    place: Place,
    /// One of our own, which lives as long as this.
    _embedded: Option<Pod>,
}

/// Where to ask for it.
enum Place {
    /// In the paths of an API server.
    Pod { namespace: String, pod: String },
    /// At a path and query that stands for it.
    At(String),
}

impl Target {
    /// The pod that `name` stands for, on the server that the flags name.
    pub(crate) async fn in_cluster(
        server: &ServerFlags,
        connection: &ConnectionFlags,
        name: &Name,
    ) -> Result<Self, Failure> {
        Ok(Self::with_ports(server, connection, None, name, &[], None).await?.0)
    }

    /// As [`in_cluster`](Self::in_cluster), with the numbers of the pod's ports that these stand for. A namespace may be said with the pod,
    /// and a time within which it has to run.
    pub(crate) async fn with_ports(
        server: &ServerFlags,
        connection: &ConnectionFlags,
        namespace: Option<String>,
        name: &Name,
        ports: &[RemotePort],
        running_within: Option<Duration>,
    ) -> Result<(Self, Vec<ResolvedPort>), Failure> {
        let found = endpoint::resolve(server)?;
        let namespace = namespace.or_else(|| connection.namespace.clone()).unwrap_or(found.namespace);
        // A login in a plugin takes as long as it takes.
        found.endpoint.authenticate().await?;
        let client = client(found.endpoint, connection);
        let (pod, ports) = name.resolve(&client, &namespace, ports, running_within).await?;
        Ok((Self { client, place: Place::Pod { namespace, pod }, _embedded: None }, ports))
    }

    /// What a URL stands for.
    pub(crate) fn at(
        url: &StreamingUrl,
        server: &ServerFlags,
        connection: &ConnectionFlags,
    ) -> Result<Self, Failure> {
        let (endpoint, path_and_query) = url.resolve(&server.token)?;
        Ok(Self { client: client(endpoint, connection), place: Place::At(path_and_query), _embedded: None })
    }

    /// A pod in this process.
    pub(crate) async fn embedded(connection: &ConnectionFlags) -> Result<Self, Failure> {
        let started = Pod::builder().tls().start().await;
        let pod =
            started.map_err(|error| Failure::local(format!("cannot start the embedded pod: {error}")))?;
        Ok(Self {
            client: client(pod.endpoint(), connection),
            place: Place::Pod { namespace: pod.namespace().to_owned(), pod: pod.name().to_owned() },
            _embedded: Some(pod),
        })
    }

    pub(crate) fn exec(&self) -> Exec {
        match &self.place {
            Place::Pod { namespace, pod } => self.client.exec(namespace, pod),
            Place::At(path_and_query) => self.client.exec_at(path_and_query),
        }
    }

    pub(crate) fn attach(&self) -> Attach {
        match &self.place {
            Place::Pod { namespace, pod } => self.client.attach(namespace, pod),
            Place::At(path_and_query) => self.client.attach_at(path_and_query),
        }
    }

    pub(crate) fn port_forward(&self) -> PortForward {
        match &self.place {
            Place::Pod { namespace, pod } => self.client.port_forward(namespace, pod),
            Place::At(path_and_query) => self.client.port_forward_at(path_and_query),
        }
    }
}

fn client(endpoint: Endpoint, flags: &ConnectionFlags) -> Client {
    Client::new(endpoint).heartbeat(flags.heartbeat).connect_timeout(flags.connect_timeout)
}
