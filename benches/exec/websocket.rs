//! tokio-tungstenite, both ends, on messages and without channels in them: a lower bound for whoever builds on it.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};
use tungstenite::Message;

use crate::{
    bytes::check,
    work::{Contender, MESSAGE, PING, Work},
};

#[derive(Clone, Copy)]
pub(crate) struct WebSocket;

type Socket = WebSocketStream<TcpStream>;

impl Contender for WebSocket {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        let mut socket = accept_async(stream).await.map_err(io::Error::other)?;
        let command = receive(&mut socket).await?;
        let command = String::from_utf8(command.to_vec()).map_err(io::Error::other)?;
        let words: Vec<_> = command.split(' ').collect();
        match Work::parse(&words).ok_or(io::ErrorKind::InvalidInput)? {
            Work::Download(count) => source(&mut socket, count).await?,
            Work::Upload(count) => sink(&mut socket, count).await?,
            Work::RoundTrips(count) => {
                for _ in 0..count {
                    let back = receive(&mut socket).await?;
                    socket.send(Message::Binary(back)).await.map_err(io::Error::other)?;
                }
            }
        }
        socket.close(None).await.map_err(io::Error::other)?;
        while let Some(Ok(_)) = socket.next().await {}
        Ok(())
    }

    async fn work(self, server: SocketAddr, work: Work) -> io::Result<Vec<Duration>> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let connected = client_async(format!("ws://{server}/"), stream).await;
        let (mut socket, _) = connected.map_err(io::Error::other)?;
        let command = work.command().join(" ");
        socket.send(Message::Binary(command.into())).await.map_err(io::Error::other)?;
        let mut times = Vec::new();
        match work {
            Work::Download(count) => sink(&mut socket, count).await?,
            Work::Upload(count) => source(&mut socket, count).await?,
            Work::RoundTrips(count) => {
                let message = Bytes::from_static(&[b'x'; PING]);
                for _ in 0..count {
                    let begin = Instant::now();
                    socket.send(Message::Binary(message.clone())).await.map_err(io::Error::other)?;
                    check(receive(&mut socket).await?.len() as u64, PING as u64)?;
                    times.push(begin.elapsed());
                }
            }
        }
        while let Some(Ok(_)) = socket.next().await {}
        Ok(times)
    }
}

async fn source(socket: &mut Socket, bytes: u64) -> io::Result<()> {
    let message = Bytes::from(vec![b'x'; MESSAGE]);
    for _ in 0..bytes / MESSAGE as u64 {
        socket.feed(Message::Binary(message.clone())).await.map_err(io::Error::other)?;
    }
    socket.flush().await.map_err(io::Error::other)
}

async fn sink(socket: &mut Socket, bytes: u64) -> io::Result<()> {
    let mut taken = 0;
    while taken < bytes {
        taken += receive(socket).await?.len() as u64;
    }
    check(taken, bytes)
}

async fn receive(socket: &mut Socket) -> io::Result<Bytes> {
    let message = socket.next().await.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(message.map_err(io::Error::other)?.into_data())
}
