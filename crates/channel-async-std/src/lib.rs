//! **async-std is discontinued ([RUSTSEC-2025-0052]): new programs, and whoever can move, use smol and `channel-smol`.** This is exec, attach and
//! port-forward in Kubernetes pods for programs that have yet to move.
//!
//! ```no_run
//! use async_std::io::{ReadExt, WriteExt};
//! use channel_async_std::{Client, Endpoint};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(Endpoint::new("http://127.0.0.1:8001")?); // kubectl proxy
//!
//! // Like std::process::Command.
//! let output = client.exec("default", "web-0").command(["uname", "-a"]).output().await?;
//! assert!(output.outcome.success());
//!
//! // Streams. Dropping stdin ends it, and that is a half-close: the output still arrives.
//! let mut session = client.exec("default", "web-0").command(["wc", "-c"]).stdin().stdout().start().await?;
//! let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
//! stdin.write_all(b"hello").await?;
//! drop(stdin);
//! let mut count = String::new();
//! stdout.read_to_string(&mut count).await?;
//! assert!(session.wait().await?.success());
//! # Ok(())
//! # }
//! ```
//!
//! The streams are async-std's [`Read`](async_std::io::Read) and [`Write`](async_std::io::Write). Moving to smol is a matter of
//! this crate's name: both stand on the same reactor, and everything but the executor is the same code. It is documented in
//! [`channel_driver`].
//!
//! [RUSTSEC-2025-0052]: https://rustsec.org/advisories/RUSTSEC-2025-0052.html

use std::{future::Future, io, net::SocketAddr};

use async_std::net::ToSocketAddrs;
pub use channel_driver::{
    Io,
    async_io::{Executor, Socket},
};

channel_driver::adapter!(AsyncStd);

/// async-std, as the driver knows it.
#[derive(Debug, Clone, Copy)]
pub struct AsyncStd;

impl Executor for AsyncStd {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        async_std::task::spawn(future);
    }

    async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((host, port).to_socket_addrs().await?.collect())
    }
}
