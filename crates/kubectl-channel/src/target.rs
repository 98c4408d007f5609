//! The pod that a command is about: one of a cluster, or one in this process.

use channel_pod::Pod;
use channel_tokio::{Client, Endpoint};

use crate::{
    cli::{ConnectionFlags, ServerFlags},
    endpoint,
    exit::Failure,
};

/// A pod, and a client of the server that has it.
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    /// One of our own, which lives as long as this.
    _embedded: Option<Pod>,
}

impl Target {
    /// The pod `pod` of the server that the flags name.
    pub(crate) fn in_cluster(
        server: &ServerFlags,
        connection: &ConnectionFlags,
        pod: &str,
    ) -> Result<Self, Failure> {
        let client = client(endpoint::resolve(server)?, connection);
        Ok(Self { client, namespace: connection.namespace.clone(), pod: pod.to_owned(), _embedded: None })
    }

    /// A pod in this process.
    pub(crate) async fn embedded(connection: &ConnectionFlags) -> Result<Self, Failure> {
        let started = Pod::builder().start().await;
        let pod =
            started.map_err(|error| Failure::local(format!("cannot start the embedded pod: {error}")))?;
        Ok(Self {
            client: client(Endpoint::new(&pod.url())?.token(pod.token()), connection),
            namespace: pod.namespace().to_owned(),
            pod: pod.name().to_owned(),
            _embedded: Some(pod),
        })
    }
}

fn client(endpoint: Endpoint, flags: &ConnectionFlags) -> Client {
    Client::new(endpoint).heartbeat(flags.heartbeat).connect_timeout(flags.connect_timeout)
}

/// `web-0`, `pod/web-0`: kubectl takes both.
pub(crate) fn pod_name(name: &str) -> Result<&str, Failure> {
    match name.split_once('/') {
        None => Ok(name),
        Some(("pod" | "pods" | "po", name)) => Ok(name),
        Some(_) => Err(Failure::usage(format!("{name:?} names no pod; say POD, or pod/POD"))),
    }
}
