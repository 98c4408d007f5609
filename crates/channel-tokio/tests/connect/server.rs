//! A server that gives back what it gets, on any runtime.

use std::{future::poll_fn, io, net::SocketAddr};

use channel_driver::{
    ServerSession, accept,
    runtime::{Accept, Runtime, Transport},
    tls::ServerTls,
};
use channel_proto::{Limits, Outcome, SessionConfig, Streams};

/// Serves exec over TLS on a port of 127.0.0.1: every command is `cat`.
pub(crate) async fn serve<R: Runtime<Timer: Unpin>>(tls: ServerTls) -> SocketAddr {
    let (mut listener, address) = listen::<R>().await;
    R::spawn(async move {
        while let Ok(stream) = poll_fn(|cx| listener.poll_accept(cx)).await {
            let tls = tls.clone();
            R::spawn(async move {
                // That a client is refused is what many tests are about.
                if let Ok(stream) = tls.accept(stream).await {
                    let _ = one::<R>(stream).await;
                }
            });
        }
    });
    address
}

pub(crate) async fn listen<R: Runtime>() -> (R::Listener, SocketAddr) {
    let listener = R::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn one<R: Runtime<Timer: Unpin>>(stream: impl Transport) -> io::Result<()> {
    let Some(incoming) = accept(stream, &Limits::default()).await? else { return Ok(()) };
    let streams = Streams { stdin: true, stdout: true, ..Streams::default() };
    match incoming.accept::<R>(streams, &SessionConfig::server()).await? {
        Some(session) => echo(session).await,
        None => Ok(()),
    }
}

/// `cat`.
pub(crate) async fn echo(mut session: ServerSession) -> io::Result<()> {
    let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    while let Some(data) = stdin.chunk().await? {
        stdout.write_bytes(data).await?;
    }
    drop((stdin, stdout));
    session.finish(&Outcome::Exited(0)).await?;
    Ok(())
}
