//! What these tests share: the embedded pod's client, and a bound on everything.

// Each test binary uses some of it.
#![allow(dead_code)]

use std::time::Duration;

use channel_pod::Pod;
use channel_tokio::{Client, Exec};
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
    Client::new(pod.endpoint())
}

/// A command in the embedded pod.
pub(crate) fn exec<const N: usize>(client: &Client, command: [&str; N]) -> Exec {
    client.exec("default", "embedded").command(command)
}
