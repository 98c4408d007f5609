//! Connections in, answers out: who may do what, and the upgrade.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use channel_proto::{Action, PodRequest, Service, SessionConfig, Subprotocol, TerminalSize};
use channel_tokio::{
    ByteStream, Io, Tokio,
    server::{Incoming, accept},
    tls::ServerTls,
};
use http::{Response, StatusCode, header::CONTENT_TYPE};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    forward,
    process::{MainProcess, ProcessSpec},
    rest::{self, PodFacts, Refusal},
    session::{self, Started},
};

/// How long a client may take for the head of its request, and to take an answer that is no upgrade.
const CLIENT_TIME: Duration = Duration::from_secs(10);

/// How long a command on a terminal waits for the size that a client sends first, so that it does not start on one without a size.
const SIZE_TIME: Duration = Duration::from_millis(100);

/// How long to wait when the system has no more sockets for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is served.
pub(crate) struct Facts {
    pub(crate) pod: PodFacts,
    /// The main processes, by container.
    pub(crate) main: HashMap<String, MainProcess>,
    pub(crate) token: String,
    pub(crate) subprotocols: Vec<Subprotocol>,
    pub(crate) session: SessionConfig,
    pub(crate) tls: Option<ServerTls>,
}

/// Serves until it is dropped, and every session with it.
pub(crate) async fn serve(listener: TcpListener, facts: Arc<Facts>, max_connections: usize) {
    let places = Arc::new(Semaphore::new(max_connections));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let facts = facts.clone();
                connections.spawn(async move {
                    // What fails here fails because the client is gone: there is nobody to tell.
                    let _ = connection(stream, &facts).await;
                    drop(place);
                });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, facts: &Facts) -> io::Result<()> {
    let stream = Io::tcp(stream);
    let Some(tls) = &facts.tls else { return serve_one(stream, Showed::Nothing, facts).await };
    let stream = bounded(tls.accept(stream)).await?;
    let showed = match stream.connection().peer_certificates() {
        // It was verified in the handshake.
        Some(_) => Showed::Certificate,
        None => Showed::Nothing,
    };
    serve_one(stream, showed, facts).await
}

/// What a client showed of itself before its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Showed {
    Nothing,
    /// A certificate of an authority that the pod knows.
    Certificate,
}

async fn serve_one(stream: impl ByteStream, showed: Showed, facts: &Facts) -> io::Result<()> {
    let Ok(read) = timeout(CLIENT_TIME, accept(stream, &facts.session.limits)).await else {
        return Ok(());
    };
    let Some(incoming) = read? else { return Ok(()) };
    let (request, container) = match facts.judge(&incoming, showed) {
        Ok(Wanted::Command(request, container)) => (request, container),
        Ok(Wanted::Forward) => {
            let forward = bounded(incoming.accept_forward::<Tokio>(&facts.session)).await?;
            if let Some(forward) = forward {
                forward::run(forward, &facts.pod.name).await;
            }
            return Ok(());
        }
        Err(answer) => return bounded(incoming.respond(*answer)).await,
    };
    let accepted = incoming.accept_only::<Tokio>(&facts.subprotocols, request.streams, &facts.session);
    let Some(session) = bounded(accepted).await? else { return Ok(()) };
    let size = match request.streams.tty && matches!(request.action, Action::Exec { .. }) {
        true => timeout(SIZE_TIME, session.size()).await.ok().flatten(),
        false => None,
    };
    // Only now: a command that cannot be started is no refusal, but a status (EXE-11).
    let started = facts.start(&request, &container, size);
    session::run(session, started).await.map_err(io::Error::from)
}

/// A client that takes its time does not take ours.
async fn bounded<T>(answer: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(CLIENT_TIME, answer).await?
}

/// What a client may have.
enum Wanted {
    /// A command in a container, or an attachment to it.
    Command(PodRequest, String),
    /// The ports of the pod, which has but one network.
    Forward,
}

impl Facts {
    /// What to run in which container; or the answer to anything else, in the order of the real server.
    fn judge<T: ByteStream>(
        &self,
        incoming: &Incoming<T>,
        showed: Showed,
    ) -> Result<Wanted, Box<Response<Bytes>>> {
        if showed == Showed::Nothing && !self.is_authentic(incoming) {
            return Err(Box::new(Refusal::unauthorized().into_response()));
        }
        let request = match incoming.pod_request() {
            Ok(Some(request)) => request,
            Ok(None) => return Err(Box::new(rest::answer(&self.pod, incoming.request()))),
            Err(error) => return Err(Box::new(text(StatusCode::BAD_REQUEST, error.to_string()))),
        };
        let refuse = |refusal: Refusal| Box::new(refusal.into_response());
        if request.action.service() == Service::PortForward {
            self.pod.check(&request.namespace, &request.pod).map_err(refuse)?;
            return Ok(Wanted::Forward);
        }
        let container = self.container(&request).map_err(refuse)?;
        Ok(Wanted::Command(request, container))
    }

    /// The token may come as every client sends it, or in the path, as [`Pod::kubectl_url`](crate::Pod::kubectl_url) has it.
    fn is_authentic<T: ByteStream>(&self, incoming: &Incoming<T>) -> bool {
        match incoming.bearer() {
            Ok(Some(token)) => self.is_token(token.secret()),
            Ok(None) => {
                rest::token_in_path(incoming.request().uri().path()).is_some_and(|token| self.is_token(token))
            }
            Err(_) => false,
        }
    }

    /// Compares without telling by its time how much was right.
    fn is_token(&self, given: &str) -> bool {
        let (known, given) = (self.token.as_bytes(), given.as_bytes());
        let different =
            known.iter().zip(given).fold(0, |different, (known, given)| different | (known ^ given));
        known.len() == given.len() && different == 0
    }

    fn container(&self, request: &PodRequest) -> Result<String, Refusal> {
        self.pod.check(&request.namespace, &request.pod)?;
        self.pod.container(request.container.as_deref()).map(|container| container.name.clone())
    }

    fn start(&self, request: &PodRequest, container: &str, size: Option<TerminalSize>) -> Started {
        match &request.action {
            Action::Exec { command } => {
                let spec = ProcessSpec {
                    command: command.clone(),
                    streams: request.streams.served(),
                    size,
                    ..ProcessSpec::default()
                };
                Started::Exec { process: spec.spawn(), command: command.clone() }
            }
            _ => Started::Attach(self.main.get(container).map(|main| main.attach(request.streams.served()))),
        }
    }
}

fn text(status: StatusCode, text: String) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let content_type = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
