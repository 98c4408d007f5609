//! A server of forwards that knows one way of carrying them, as older ones do, and opens no sockets for their connections.

use std::{
    future::poll_fn,
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use channel_driver::{
    Client, Endpoint, accept,
    runtime::{Accept, Runtime, Transport as Stream},
};
use channel_proto::{Limits, SessionConfig, Subprotocol};
use http::{HeaderMap, Method, Response, StatusCode, header};

use crate::support::streams::{LOOPBACK, echo};

/// A server that knows one subprotocol alone, and serves every port with an echo.
pub(crate) struct Server<R> {
    pub(crate) client: Client<R>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// What it was asked: how, for what, and for which ports.
pub(crate) type Asked = (Method, String, Option<String>);

impl<R: Runtime<Timer: Unpin>> Server<R> {
    pub(crate) async fn knowing(subprotocol: Subprotocol) -> Self {
        let mut listener = R::listen(LOOPBACK).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let asking = asked.clone();
        R::spawn(async move {
            while let Ok(stream) = poll_fn(|cx| listener.poll_accept(cx)).await {
                let asked = asking.clone();
                // It fails when the client is gone, as each is in the end.
                R::spawn(async move { drop(one::<R>(stream, subprotocol, &asked).await) });
            }
        });
        Self { client: Client::new(Endpoint::new(&url).unwrap()), asked }
    }

    /// What it was asked since this was last asked for.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn one<R: Runtime<Timer: Unpin>>(
    stream: impl Stream,
    knows: Subprotocol,
    asked: &Mutex<Vec<Asked>>,
) -> io::Result<()> {
    let Some(incoming) = accept(stream, &Limits::default()).await? else { return Ok(()) };
    let request = incoming.request();
    let offer = offer(request.headers());
    asked.lock().unwrap().push((
        request.method().clone(),
        offer.clone(),
        request.uri().query().map(str::to_owned),
    ));
    if offer != knows.name() {
        // As a container runtime has it: with words, and without a `Status`.
        let mut refusal = Response::new(Bytes::from_static(b"unknown subprotocol"));
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        return incoming.respond(refusal).await;
    }
    let Some(forward) = incoming.accept_forward::<R>(&SessionConfig::server()).await? else { return Ok(()) };
    while let Some(pending) = forward.accept().await {
        R::spawn(echo(pending.accept()));
    }
    Ok(())
}

fn offer(headers: &HeaderMap) -> String {
    let either = [header::SEC_WEBSOCKET_PROTOCOL.as_str(), "x-stream-protocol-version"];
    let offer = either.into_iter().find_map(|name| headers.get(name)).unwrap();
    offer.to_str().unwrap().to_owned()
}
