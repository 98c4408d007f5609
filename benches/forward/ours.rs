//! `channel-tokio`: its listener, and its connections without one.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use channel_tokio::{Client, Connection, Endpoint, Forward, tls::Tls};

use crate::{contender::do_as_told, kubectl::POD, process::announce, server::Access, work::Connect};

pub(crate) async fn listen(access: Access) -> io::Result<()> {
    let forward = start(&access).await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = forward.listen(address, access.port).await.map_err(io::Error::from)?;
    announce(listener.address());
    std::future::pending().await
}

pub(crate) async fn connect(access: Access) -> io::Result<()> {
    do_as_told(Through { forward: start(&access).await?, port: access.port }).await
}

async fn start(access: &Access) -> io::Result<Forward> {
    let mut endpoint = Endpoint::new(&access.url)?.token(&access.token);
    if !access.authority.is_empty() {
        let tls = Tls::new().authorities(access.authority.as_bytes()).map_err(io::Error::other)?;
        endpoint = endpoint.tls(tls);
    }
    let client = Client::new(endpoint);
    Ok(client.port_forward("default", POD).start().await?)
}

#[derive(Clone)]
struct Through {
    forward: Forward,
    port: u16,
}

impl Connect for Through {
    type Stream = Connection;

    async fn connect(&self) -> io::Result<Connection> {
        Ok(self.forward.connect(self.port).await?)
    }
}
