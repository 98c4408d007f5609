//! `channel-tokio`: its listener, and its connections without one.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use channel_tokio::{Client, Connection, Endpoint, Forward, tls::Tls};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{
    contender::DONE,
    kubectl::POD,
    process::announce,
    server::Access,
    work::{self, Connect},
};

pub(crate) async fn listen(access: Access) -> io::Result<()> {
    let forward = start(&access).await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = forward.listen(address, access.port).await.map_err(io::Error::from)?;
    announce(listener.address());
    std::future::pending().await
}

/// Does each work that a line of stdin tells.
pub(crate) async fn connect(access: Access) -> io::Result<()> {
    let through = Through { forward: start(&access).await?, port: access.port };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match work::run(through.clone(), line.parse()?).await {
            Ok(()) => println!("{DONE}"),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
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
