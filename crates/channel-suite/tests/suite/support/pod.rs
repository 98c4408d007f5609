//! The embedded pod. It needs tokio, and so has one of its own, in a thread that no runtime under test knows of.

use std::sync::LazyLock;

use channel_driver::{Client, Endpoint, Exec};
use channel_pod::{Builder, Pod};
use tokio::runtime::Runtime;

use super::flavour::Flavour;

pub(super) static TOKIO: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread")
});

pub(crate) async fn start(pod: Builder) -> Pod {
    TOKIO.spawn(pod.start()).await.expect("no panic").expect("a free port")
}

/// An embedded pod and a client of it.
pub(crate) async fn pod<F: Flavour>() -> (Pod, Client<F::Runtime>) {
    let pod = start(Pod::builder()).await;
    let client = client_of::<F>(&pod);
    (pod, client)
}

pub(crate) fn client_of<F: Flavour>(pod: &Pod) -> Client<F::Runtime> {
    Client::new(Endpoint::new(&pod.url()).expect("a URL").token(pod.token()))
}

/// A command in the embedded pod.
pub(crate) fn exec<F: Flavour, const N: usize>(
    client: &Client<F::Runtime>,
    command: [&str; N],
) -> Exec<F::Runtime> {
    client.exec("default", "embedded").command(command)
}
