//! Our client on each runtime, and our server.

use std::{io, net::SocketAddr, time::Duration};

use channel_async_std::AsyncStd;
use channel_driver::{Client, runtime::Runtime};
use channel_smol::Smol;
use channel_tokio::{Endpoint, Io, Tokio};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    bytes, pod,
    work::{Contender, Work},
};

#[derive(Clone, Copy)]
pub(crate) struct Ours;

impl Contender for Ours {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        pod::serve(Io(stream)).await
    }

    async fn work(self, server: SocketAddr, work: Work) -> io::Result<Vec<Duration>> {
        perform::<Tokio>(plain(server)?, work).await
    }
}

#[derive(Clone, Copy)]
pub(crate) struct OnSmol;

impl Contender for OnSmol {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        pod::serve(Io(stream)).await
    }

    async fn work(self, server: SocketAddr, work: Work) -> io::Result<Vec<Duration>> {
        perform::<Smol>(plain(server)?, work).await
    }

    fn block_on<T>(self, client: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        smol::block_on(client)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct OnAsyncStd;

impl Contender for OnAsyncStd {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        pod::serve(Io(stream)).await
    }

    async fn work(self, server: SocketAddr, work: Work) -> io::Result<Vec<Duration>> {
        perform::<AsyncStd>(plain(server)?, work).await
    }

    fn block_on<T>(self, client: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        async_std::task::block_on(client)
    }
}

fn plain(server: SocketAddr) -> io::Result<Endpoint> {
    Ok(Endpoint::new(&format!("http://{server}"))?)
}

/// Does the work as a client of this endpoint.
pub(crate) async fn perform<R>(endpoint: Endpoint, work: Work) -> io::Result<Vec<Duration>>
where
    R: Runtime<Timer: Unpin>,
{
    let client = Client::<R>::new(endpoint);
    let exec = client.exec("default", "bench").command(work.command()).stdout();
    let exec = if let Work::Download(_) = work { exec } else { exec.stdin() };
    let mut session = exec.start().await?;
    let (stdin, stdout) = (session.stdin.take(), session.stdout.take());
    let stdout = stdout.ok_or(io::ErrorKind::InvalidInput)?;
    let mut times = Vec::new();
    match (work, stdin) {
        (Work::Upload(count), Some(mut stdin)) => {
            bytes::upload(&mut stdin, count).await?;
            stdin.shutdown().await?;
            bytes::download(stdout, 0).await?;
        }
        (Work::RoundTrips(count), Some(stdin)) => {
            times = bytes::round_trips(stdin, stdout, count).await?;
        }
        (Work::Download(count), _) => bytes::download(stdout, count).await?,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    if session.wait().await?.success() { Ok(times) } else { Err(io::Error::other("not a success")) }
}
