//! A server that gives back what it gets, on any runtime.

use std::{future::poll_fn, io, net::SocketAddr};

use bytes::Bytes;
use channel_driver::{
    ServerSession, accept,
    runtime::{Accept, Runtime, Transport},
    tls::ServerTls,
};
use channel_proto::{Limits, Outcome, SessionConfig, Streams};
use http::{Response, StatusCode};

/// Serves exec over TLS on a port of 127.0.0.1: every command is `cat`.
pub(crate) async fn serve<R: Runtime<Timer: Unpin>>(tls: ServerTls) -> SocketAddr {
    start::<R>(Some(tls), None).await
}

/// The same without TLS, to those who know the token.
pub(crate) async fn serve_with_token<R: Runtime<Timer: Unpin>>(token: &'static str) -> SocketAddr {
    start::<R>(None, Some(token)).await
}

async fn start<R: Runtime<Timer: Unpin>>(tls: Option<ServerTls>, token: Option<&'static str>) -> SocketAddr {
    let (mut listener, address) = listen::<R>().await;
    R::spawn(async move {
        while let Ok(stream) = poll_fn(|cx| listener.poll_accept(cx)).await {
            let tls = tls.clone();
            R::spawn(async move {
                // That a client is refused is what many tests are about.
                let _ = match tls {
                    None => one::<R>(stream, token).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => one::<R>(stream, token).await,
                        Err(error) => Err(error),
                    },
                };
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

async fn one<R: Runtime<Timer: Unpin>>(
    stream: impl Transport,
    token: Option<&'static str>,
) -> io::Result<()> {
    let Some(incoming) = accept(stream, &Limits::default()).await? else { return Ok(()) };
    let known = incoming.bearer().ok().flatten();
    let authorization = incoming.request().headers().get("authorization").cloned();
    if token.is_some_and(|token| {
        known.is_none_or(|known| known.secret() != token) && authorization.is_none_or(|basic| basic != token)
    }) {
        let mut refusal = Response::new(Bytes::new());
        *refusal.status_mut() = StatusCode::UNAUTHORIZED;
        return incoming.respond(refusal).await;
    }
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
