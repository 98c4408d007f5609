//! What these tests share: the embedded pod, an in-memory pair of sessions, and a bound on everything.

// Each test binary uses some of it.
#![allow(dead_code)]

use std::time::Duration;

use bytes::BytesMut;
use channel_pod::Pod;
use channel_tokio::{
    Client, Endpoint, Exec, Io, Session, SessionConfig, Streams, Subprotocol, Tokio, server::ServerSession,
};
use tokio::time::timeout;

/// Every test ends: one that hangs fails.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("took too long")
}

/// An embedded pod and a client of it.
pub(crate) async fn pod() -> (Pod, Client) {
    let pod = Pod::builder().start().await.expect("a free port");
    let client = client_of(&pod);
    (pod, client)
}

pub(crate) fn client_of(pod: &Pod) -> Client {
    Client::new(Endpoint::new(&pod.url()).expect("a URL").token(pod.token()))
}

/// A command in the embedded pod.
pub(crate) fn exec<const N: usize>(client: &Client, command: [&str; N]) -> Exec {
    client.exec("default", "embedded").command(command)
}

/// Both ends of a session over a pipe in memory that holds `capacity` bytes each way.
pub(crate) fn pair(capacity: usize, streams: Streams, client: &SessionConfig) -> (Session, ServerSession) {
    let (near, far) = tokio::io::duplex(capacity);
    (over(near, streams, client), serve(far, streams))
}

pub(crate) fn over(stream: tokio::io::DuplexStream, streams: Streams, config: &SessionConfig) -> Session {
    Session::over::<Tokio>(Io(stream), BytesMut::new(), Subprotocol::V5, streams, config)
}

pub(crate) fn serve(stream: tokio::io::DuplexStream, streams: Streams) -> ServerSession {
    let config = SessionConfig::server();
    ServerSession::over::<Tokio>(Io(stream), BytesMut::new(), Subprotocol::V5, streams, &config)
}

pub(crate) const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };
