//! A port-forward: its connections lead to ports of this machine.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use channel_tokio::{
    Io, Tokio,
    server::{ForwardServer, PendingConnection},
};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// How long what a client wrote before it left may take to reach the ports.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// Serves until the client is gone and what it wrote was passed on, and then breaks off what is left.
pub(crate) async fn run(forward: ForwardServer, pod: &str) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            pending = forward.accept() => match pending {
                Some(pending) => {
                    connections.spawn(connection(pending, pod.to_owned()));
                }
                None => break,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    let _ = timeout(LAST_BYTES, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(pending: PendingConnection, pod: String) {
    let port = pending.port();
    let dialled = match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(stream) => Ok(stream),
        // As the real servers do: IPv4 first, and its error is the one that counts.
        Err(error) => TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.map_err(|_| error),
    };
    match dialled {
        Ok(stream) => {
            // What became of it both ends know.
            let _ = pending.accept().carry::<Tokio>(Io::tcp(stream)).await;
        }
        Err(error) => pending.refuse(&format!(
            "error forwarding port {port} to pod {pod}: dial tcp4 127.0.0.1:{port}: connect: {}",
            reason(&error)
        )),
    }
}

/// In the words of Go, which people search for.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}
