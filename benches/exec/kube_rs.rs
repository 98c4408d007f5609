//! kube's `Api::exec`, with its defaults, against our server.

use std::{io, net::SocketAddr, time::Duration};

use channel_tokio::Io;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    api::{AttachParams, AttachedProcess},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    bytes, pod,
    work::{Contender, Work},
};

#[derive(Clone, Copy)]
pub(crate) struct Kube;

impl Contender for Kube {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        pod::serve(Io(stream)).await
    }

    async fn work(self, server: SocketAddr, work: Work) -> io::Result<Vec<Duration>> {
        exec(Config::new(format!("http://{server}").parse().map_err(io::Error::other)?), work).await
    }
}

/// Does the work as a client with this configuration.
pub(crate) async fn exec(config: Config, work: Work) -> io::Result<Vec<Duration>> {
    let client = Client::try_from(config).map_err(io::Error::other)?;
    let pods: Api<Pod> = Api::namespaced(client, "default");
    let params = AttachParams::default().stdin(!matches!(work, Work::Download(_)));
    let mut process = pods.exec("bench", work.command(), &params).await.map_err(io::Error::other)?;
    let status = process.take_status().ok_or(io::ErrorKind::InvalidInput)?;
    let times = perform(&mut process, work).await?;
    match status.await {
        Some(status) if status.status.as_deref() == Some("Success") => Ok(times),
        status => Err(io::Error::other(format!("not a success: {status:?}"))),
    }
}

async fn perform(process: &mut AttachedProcess, work: Work) -> io::Result<Vec<Duration>> {
    let (stdin, stdout) = (process.stdin(), process.stdout());
    let stdout = stdout.ok_or(io::ErrorKind::InvalidInput)?;
    match (work, stdin) {
        (Work::Upload(count), Some(mut stdin)) => {
            bytes::upload(&mut stdin, count).await?;
            stdin.shutdown().await?;
            bytes::download(stdout, 0).await?;
        }
        (Work::RoundTrips(count), Some(stdin)) => return bytes::round_trips(stdin, stdout, count).await,
        (Work::Download(count), _) => bytes::download(stdout, count).await?,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    Ok(Vec::new())
}
