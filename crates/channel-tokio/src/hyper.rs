//! Upgrades by hyper: sessions over an HTTP client that a program already has, and in an HTTP server that it already has.

use std::{error, fmt, future::poll_fn, io, pin::pin};

use ::hyper::{
    body::Body,
    upgrade::{OnUpgrade, Upgraded, on},
};
use bytes::{Buf, Bytes, BytesMut};
use channel_driver::{
    Answer, AnswerFuture, ForwardServer, HttpClient, ServerSession,
    proto::{
        Service, SessionConfig, Streams, Subprotocol, Transport,
        upgrade::{self, BodyEnd},
    },
};
use http::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::{Client, Io, Tokio};

/// A client of the API server that `send` sends requests to. The requests have a path and a query alone: `send` adds where the server is, and
/// whatever shows who asks. The answers must be hyper's own, as those are what can be upgraded, over HTTP/1.1.
pub fn client<S, F, B, E>(send: S) -> Client
where
    S: Fn(Request<()>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send,
    B: Body<Data: Send, Error: Into<Box<dyn error::Error + Send + Sync>>> + Send,
    E: Into<Box<dyn error::Error + Send + Sync>>,
{
    Client::over(Sender(send))
}

struct Sender<S>(S);

impl<S, F, B, E> HttpClient for Sender<S>
where
    S: Fn(Request<()>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send,
    B: Body<Data: Send, Error: Into<Box<dyn error::Error + Send + Sync>>> + Send,
    E: Into<Box<dyn error::Error + Send + Sync>>,
{
    fn send(&self, request: Request<()>, body_limit: usize) -> AnswerFuture<'_> {
        Box::pin(async move {
            let mut response = (self.0)(request).await.map_err(Into::into)?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                let stream = Io(TokioIo::new(on(&mut response).await?));
                return Ok(Answer::Upgraded(response.map(drop), Box::new(stream)));
            }
            let (head, body) = response.into_parts();
            let (body, end) = collect(body, body_limit).await;
            Ok(Answer::Refused(Response::from_parts(head, body), end))
        })
    }
}

/// A refusal's body, as far as it is wanted and comes.
async fn collect(body: impl Body, limit: usize) -> (Bytes, BodyEnd) {
    let mut body = pin!(body);
    let mut kept = BytesMut::new();
    loop {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => return (kept.freeze(), BodyEnd::Complete),
            Some(Err(_)) => return (kept.freeze(), BodyEnd::Cut),
            Some(Ok(frame)) => {
                let Ok(mut data) = frame.into_data() else { continue };
                let room = limit - kept.len();
                let over = data.remaining() > room;
                let wanted = data.copy_to_bytes(data.remaining().min(room));
                kept.extend_from_slice(&wanted);
                if over {
                    return (kept.freeze(), BodyEnd::OverLimit);
                }
            }
        }
    }
}

/// A request that an HTTP server of hyper's read, axum's for one, and that asks for an exec, attach or port-forward.
pub struct Incoming {
    incoming: upgrade::Incoming,
    on: OnUpgrade,
}

/// What is done once the server has written the 101. Give it to a task of its own, and return the response.
type Pending<T> = (Response<()>, T);

impl Incoming {
    /// Takes the upgrade out of a request. Whether it asks for one shows when it is accepted.
    pub fn new<B>(request: &mut Request<B>) -> Self {
        Self { incoming: upgrade::Incoming::of(request), on: on(request) }
    }

    /// The request's head, with [its pod, its command and its streams](upgrade::Incoming::pod_request) and
    /// [its bearer token](upgrade::Incoming::bearer). Authenticate first.
    pub fn head(&self) -> &upgrade::Incoming {
        &self.incoming
    }

    /// Takes the upgrade of an exec or attach, to WebSocket or to SPDY, whichever is asked for: the 101 to return, and the session that begins once it
    /// is written.
    ///
    /// # Errors
    /// The refusal to return.
    pub fn accept(
        self,
        streams: Streams,
        config: SessionConfig,
    ) -> Result<Pending<impl Future<Output = io::Result<ServerSession>> + Send>, Box<Response<Bytes>>> {
        let accepted = self.incoming.accept_command(self.spoken(Service::RemoteCommand))?;
        let response = accepted.response();
        let session = async move {
            let stream = upgraded(self.on).await?;
            Ok(ServerSession::accepted::<Tokio>(stream, BytesMut::new(), &accepted, streams, &config))
        };
        Ok((response, session))
    }

    /// Takes the upgrade of a port-forward, to the tunnel, to SPDY or to channels, whichever is asked for, as [`accept`](Self::accept) does.
    ///
    /// # Errors
    /// The refusal to return.
    pub fn accept_forward(
        self,
        config: SessionConfig,
    ) -> Result<Pending<impl Future<Output = io::Result<ForwardServer>> + Send>, Box<Response<Bytes>>> {
        let ports = self.incoming.ports();
        let accepted = self.incoming.accept_port_forward(&ports, self.spoken(Service::PortForward))?;
        let forward = async move {
            let stream = upgraded(self.on).await?;
            let (rest, subprotocol) = (BytesMut::new(), accepted.subprotocol);
            let server = ForwardServer::over::<Tokio>(stream, rest, subprotocol, &ports, &config);
            server.map_err(io::Error::other)
        };
        Ok((accepted.response(), forward))
    }

    fn spoken(&self, service: Service) -> &'static [Subprotocol] {
        Subprotocol::spoken(service, self.incoming.transport().unwrap_or(Transport::WebSocket))
    }
}

async fn upgraded(on: OnUpgrade) -> io::Result<Io<TokioIo<Upgraded>>> {
    on.await.map(|stream| Io(TokioIo::new(stream))).map_err(io::Error::other)
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path may hold a token, and what a command is given.
        f.debug_struct("Incoming").field("method", self.incoming.request().method()).finish_non_exhaustive()
    }
}
