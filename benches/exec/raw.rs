//! Bytes over TCP and nothing else: what the others are compared with.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    bytes,
    work::{Contender, Work},
};

#[derive(Clone, Copy)]
pub(crate) struct Raw;

impl Contender for Raw {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        serve(stream).await
    }

    async fn work(self, server: SocketAddr, work: Work) -> io::Result<Vec<Duration>> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        perform(stream, work).await
    }
}

/// Serves what comes on a stream.
pub(crate) async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut command = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut command).await?;
    let command = String::from_utf8(command).map_err(io::Error::other)?;
    let words: Vec<_> = command.split(' ').collect();
    let (from, mut to) = io::split(stream);
    match Work::parse(&words).ok_or(io::ErrorKind::InvalidInput)? {
        Work::Download(count) => bytes::upload(&mut to, count).await?,
        Work::Upload(count) => bytes::download(from, count).await?,
        Work::RoundTrips(count) => bytes::echo(from, &mut to, count).await?,
    }
    to.shutdown().await
}

/// Does the work on a stream.
pub(crate) async fn perform(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    work: Work,
) -> io::Result<Vec<Duration>> {
    let command = work.command().join(" ");
    stream.write_u8(command.len().try_into().map_err(io::Error::other)?).await?;
    stream.write_all(command.as_bytes()).await?;
    stream.flush().await?;
    let (mut from, mut to) = io::split(stream);
    match work {
        Work::Download(count) => bytes::download(from, count).await?,
        Work::Upload(count) => {
            bytes::upload(&mut to, count).await?;
            to.shutdown().await?;
            // The other end closes when it has everything.
            bytes::check(from.read(&mut [0]).await? as u64, 0)?;
        }
        Work::RoundTrips(count) => return bytes::round_trips(to, from, count).await,
    }
    Ok(Vec::new())
}
