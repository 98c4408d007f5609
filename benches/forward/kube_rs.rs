//! kube's `Api::portforward` behind a local listener, as its example `pod_portforward_bind` has it.

use std::{io, net::Ipv4Addr};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, Config};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use crate::{kubectl::POD, process::announce, server::Access};

pub(crate) async fn run(access: Access) -> io::Result<()> {
    let url = access.url_with_token().parse().map_err(io::Error::other)?;
    let mut config = Config::new(url);
    // It would take the certificate for that of an authority, which it is not. So it has less to do.
    config.accept_invalid_certs = true;
    let client = Client::try_from(config).map_err(io::Error::other)?;
    let pods: Api<Pod> = Api::namespaced(client, "default");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    announce(listener.local_addr()?);
    loop {
        let (local, _) = listener.accept().await?;
        let pods = pods.clone();
        tokio::spawn(async move {
            // The client notices, and says so.
            let _ = forward(local, pods, access.port).await;
        });
    }
}

async fn forward(mut local: TcpStream, pods: Api<Pod>, port: u16) -> io::Result<()> {
    local.set_nodelay(true)?;
    let mut forwarder = pods.portforward(POD, &[port]).await.map_err(io::Error::other)?;
    let mut remote = forwarder.take_stream(port).ok_or(io::ErrorKind::NotConnected)?;
    copy_bidirectional(&mut local, &mut remote).await?;
    drop(remote);
    forwarder.join().await.map_err(io::Error::other)
}
