//! Sessions over a `kube::Client`: its credentials, its TLS, its proxies, and everything that was layered onto it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let kube = kube::Client::try_default().await?;
//! let client = channel_tokio::kube::client(kube.clone());
//! let output = client.exec(kube.default_namespace(), "web-0").command(["uname", "-a"]).output().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything that goes on a [`Client`] goes on this one: attach, port-forward with its listeners that connect again, fallback to v4 and to
//! SPDY, heartbeat, limits. It is a client, and not a method on `Api<Pod>`, so that these are set once and a
//! program that reaches other servers without kube reads the same.
//!
//! With another version of kube than this crate was built for, [`hyper::client`](crate::hyper::client) does the same in one line more.

use kube_client::client::Body;

use crate::Client;

/// A client of the API server that `kube` is a client of.
pub fn client(kube: kube_client::Client) -> Client {
    crate::hyper::client(move |request| {
        let kube = kube.clone();
        async move { kube.send(request.map(|()| Body::empty())).await }
    })
}
