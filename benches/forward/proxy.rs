//! A TCP proxy and nothing else: what the others are compared with.

use std::{io, net::Ipv4Addr};

use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
};

use crate::{process::announce, server::Access, work::BUFFER};

pub(crate) async fn run(access: Access) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    announce(listener.local_addr()?);
    loop {
        let (local, _) = listener.accept().await?;
        tokio::spawn(async move {
            // The client notices, and says so.
            let _ = forward(local, access.port).await;
        });
    }
}

async fn forward(mut local: TcpStream, port: u16) -> io::Result<()> {
    local.set_nodelay(true)?;
    let mut remote = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    remote.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut local, &mut remote, BUFFER, BUFFER).await.map(drop)
}
