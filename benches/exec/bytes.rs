//! The work over streams of bytes: what all contenders but one have in common.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::work::{BUFFER, PING};

/// Reads all there is.
pub(crate) async fn download(mut from: impl AsyncRead + Unpin, expected: u64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut taken = 0;
    loop {
        match from.read(&mut buffer).await? {
            0 => break,
            count => taken += count as u64,
        }
    }
    check(taken, expected)
}

/// Writes this many bytes.
pub(crate) async fn upload(to: &mut (impl AsyncWrite + Unpin), bytes: u64) -> io::Result<()> {
    let buffer = vec![b'x'; BUFFER];
    for _ in 0..bytes / BUFFER as u64 {
        to.write_all(&buffer).await?;
    }
    to.flush().await
}

/// Times each round trip.
pub(crate) async fn round_trips(
    mut to: impl AsyncWrite + Unpin,
    mut from: impl AsyncRead + Unpin,
    count: u64,
) -> io::Result<Vec<Duration>> {
    let (sent, mut back) = ([b'x'; PING], [0; PING]);
    let mut times = Vec::new();
    for _ in 0..count {
        let begin = Instant::now();
        to.write_all(&sent).await?;
        to.flush().await?;
        from.read_exact(&mut back).await?;
        times.push(begin.elapsed());
    }
    Ok(times)
}

/// Sends back what comes.
pub(crate) async fn echo(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    count: u64,
) -> io::Result<()> {
    let mut buffer = [0; PING];
    for _ in 0..count {
        from.read_exact(&mut buffer).await?;
        to.write_all(&buffer).await?;
        to.flush().await?;
    }
    Ok(())
}

pub(crate) fn check(taken: u64, expected: u64) -> io::Result<()> {
    if taken == expected {
        return Ok(());
    }
    Err(io::Error::other(format!("{taken} of {expected} bytes came")))
}
