//! Exec, attach and port-forward in Kubernetes pods, on smol.
//!
//! ```no_run
//! use channel_smol::{Client, Endpoint};
//! use smol::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(Endpoint::new("http://127.0.0.1:8001")?); // kubectl proxy
//!
//! // Like std::process::Command.
//! let output = client.exec("default", "web-0").command(["uname", "-a"]).output().await?;
//! assert!(output.outcome.success());
//!
//! // Streams. Ending stdin is a half-close: the output still arrives.
//! let mut session = client.exec("default", "web-0").command(["wc", "-c"]).stdin().stdout().start().await?;
//! let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
//! stdin.write_all(b"hello").await?;
//! stdin.close().await?;
//! let mut count = String::new();
//! stdout.read_to_string(&mut count).await?;
//! assert!(session.wait().await?.success());
//! # Ok(())
//! # }
//! ```
//!
//! The streams are smol's [`AsyncRead`](smol::io::AsyncRead) and [`AsyncWrite`](smol::io::AsyncWrite), and work in any
//! task of any executor. What nobody waits for, such as pings, is done by a task for each session on smol's global executor. Who
//! wants those tasks on an executor of their own implements [`Executor`] for a type of their own, as this crate does for [`Smol`].
//!
//! Everything else is the same for every runtime, and is documented in [`channel_driver`].

use std::{future::Future, io, net::SocketAddr};

pub use channel_driver::{
    Io,
    async_io::{Executor, Socket},
};

channel_driver::adapter!(Smol);

/// smol, as the driver knows it.
#[derive(Debug, Clone, Copy)]
pub struct Smol;

impl Executor for Smol {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(future).detach();
    }

    async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        smol::net::resolve((host, port)).await
    }
}
