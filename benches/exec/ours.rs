//! `channel-tokio`, both ends.

use std::{io, net::SocketAddr, time::Duration};

use channel_tokio::{Client, Endpoint, Io};
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
        perform(Endpoint::new(&format!("http://{server}"))?, work).await
    }
}

/// Does the work as a client of this endpoint.
pub(crate) async fn perform(endpoint: Endpoint, work: Work) -> io::Result<Vec<Duration>> {
    let client = Client::new(endpoint);
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
