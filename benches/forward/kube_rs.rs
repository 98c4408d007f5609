//! kube's `Api::portforward`: behind a local listener, as its example `pod_portforward_bind` has it, and by itself.

use std::{io, net::Ipv4Addr, pin::Pin};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, Config, api::Portforwarder};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::{contender::do_as_told, kubectl::POD, process::announce, server::Access, work::Connect};

pub(crate) async fn listen(access: Access) -> io::Result<()> {
    let through = Through { pods: pods(&access)?, port: access.port };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    announce(listener.local_addr()?);
    loop {
        let (local, _) = listener.accept().await?;
        let through = through.clone();
        tokio::spawn(async move {
            // The client notices, and says so.
            let _ = through.forward(local).await;
        });
    }
}

pub(crate) async fn connect(access: Access) -> io::Result<()> {
    do_as_told(Through { pods: pods(&access)?, port: access.port }).await
}

fn pods(access: &Access) -> io::Result<Api<Pod>> {
    let url = access.url_with_token().parse().map_err(io::Error::other)?;
    let mut config = Config::new(url);
    // It would take the certificate for that of an authority, which it is not. So it has less to do.
    config.accept_invalid_certs = true;
    let client = Client::try_from(config).map_err(io::Error::other)?;
    Ok(Api::namespaced(client, "default"))
}

#[derive(Clone)]
struct Through {
    pods: Api<Pod>,
    port: u16,
}

impl Through {
    async fn upgrade(&self) -> io::Result<(Portforwarder, Stream)> {
        let mut forwarder = self.pods.portforward(POD, &[self.port]).await.map_err(io::Error::other)?;
        let remote = forwarder.take_stream(self.port).ok_or(io::ErrorKind::NotConnected)?;
        Ok((forwarder, Box::pin(remote)))
    }

    async fn forward(&self, mut local: TcpStream) -> io::Result<()> {
        local.set_nodelay(true)?;
        let (forwarder, mut remote) = self.upgrade().await?;
        copy_bidirectional(&mut local, &mut remote).await?;
        drop(remote);
        forwarder.join().await.map_err(io::Error::other)
    }
}

impl Connect for Through {
    type Stream = Stream;

    /// Its end is not waited for, so that it has less to do.
    async fn connect(&self) -> io::Result<Stream> {
        Ok(self.upgrade().await?.1)
    }
}

/// kube's has no name.
type Stream = Pin<Box<dyn ReadWrite>>;

trait ReadWrite: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> ReadWrite for S {}
