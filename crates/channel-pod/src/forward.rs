//! A port-forward: its connections lead to ports of this machine.

use std::{io, net::Ipv4Addr, net::Ipv6Addr};

use channel_tokio::{
    Connection,
    server::{ForwardServer, PendingConnection},
};
use tokio::{io::copy_bidirectional_with_sizes, net::TcpStream, task::JoinSet};

/// Bytes on their way in each direction of a connection.
const BUFFER: usize = 64 << 10;

/// Serves until the client is gone, and then breaks off what is left.
pub(crate) async fn run(forward: ForwardServer, pod: &str) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            pending = forward.accept() => match pending {
                Some(pending) => {
                    connections.spawn(connection(pending, pod.to_owned()));
                }
                None => return,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(pending: PendingConnection, pod: String) {
    let port = pending.port();
    let dialled = match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(stream) => Ok(stream),
        // As the real servers do: IPv4 first, and its error is the one that counts.
        Err(error) => TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.map_err(|_| error),
    };
    match dialled {
        Ok(stream) => copy(stream, pending.accept()).await,
        Err(error) => pending.refuse(&format!(
            "error forwarding port {port} to pod {pod}: dial tcp4 127.0.0.1:{port}: connect: {}",
            reason(&error)
        )),
    }
}

/// Carries both directions to their ends. What breaks one end off breaks off the other.
async fn copy(mut local: TcpStream, mut remote: Connection) {
    // Whether this worked or not, the bytes go the same.
    let _ = local.set_nodelay(true);
    if copy_bidirectional_with_sizes(&mut local, &mut remote, BUFFER, BUFFER).await.is_err() {
        remote.reset();
    }
}

/// In the words of Go, which people search for.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}
