//! The server's side: a request, a decision, a session.

use std::{fmt, io, sync::Arc};

use bytes::{Bytes, BytesMut};
use channel_proto::{
    BearerToken, CloseReason, Limits, Outcome, PodRequest, ServerSession as Machine, Service, SessionConfig,
    Streams, Subprotocol, TerminalSize, Transport,
    request::RequestError,
    upgrade::{self, Accepted, InvalidBearer, respond},
};
use http::{Request, Response};

use crate::{
    Error, ForwardServer,
    background::Background,
    halves::{Handle, Reader, Writer},
    handshake,
    runtime::{Runtime, Transport as Stream},
    shared::Shared,
    trace,
};

/// Reads a request from a connection that just came in; `None` if it ended without one. A head that cannot be read is answered, and an error here.
///
/// How long it may take is the caller's to bound.
///
/// # Errors
/// The connection failed, or what came is no HTTP request.
pub async fn accept<T: Stream>(mut stream: T, limits: &Limits) -> Result<Option<Incoming<T>>, Error> {
    let read = handshake::read_request(&mut stream, limits).await?;
    Ok(read.map(|(incoming, rest)| Incoming { stream, rest, incoming }))
}

/// A request that waits for its answer.
pub struct Incoming<T> {
    stream: T,
    rest: BytesMut,
    incoming: upgrade::Incoming,
}

impl<T: Stream> Incoming<T> {
    /// The request's head.
    pub fn request(&self) -> &Request<()> {
        self.incoming.request()
    }

    /// What to do in which pod; `None` for any other path.
    ///
    /// # Errors
    /// To be answered with 400 and its text.
    pub fn pod_request(&self) -> Result<Option<PodRequest>, RequestError> {
        self.incoming.pod_request()
    }

    /// The bearer token, wherever it travels.
    ///
    /// # Errors
    /// To be answered with 401.
    pub fn bearer(&self) -> Result<Option<BearerToken>, InvalidBearer> {
        self.incoming.bearer()
    }

    /// Answers with anything but an upgrade, and ends the connection: waits until the client has ended its side too, so that the answer is not
    /// lost in a reset. How long that may take is the caller's to bound.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn respond(mut self, response: Response<Bytes>) -> io::Result<()> {
        trace::turned_away(response.status());
        handshake::answer(&mut self.stream, respond(response)).await
    }

    /// Takes the upgrade, to WebSocket or to SPDY, whichever is asked for, with the best subprotocol that is
    /// [spoken](Subprotocol::spoken) there; or answers that it cannot be, and gives `None`.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn accept<R: Runtime<Timer: Unpin>>(
        self,
        streams: Streams,
        config: &SessionConfig,
    ) -> io::Result<Option<ServerSession>> {
        let supported = Subprotocol::spoken(Service::RemoteCommand, self.transport());
        self.accept_only::<R>(supported, streams, config).await
    }

    /// As [`accept`](Self::accept), with these `supported` subprotocols only; what is not spoken over the transport that is asked for counts for nothing
    /// there. A client that offers none is accepted if [`Unnamed`](Subprotocol::Unnamed) is among them.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn accept_only<R: Runtime<Timer: Unpin>>(
        mut self,
        supported: &[Subprotocol],
        streams: Streams,
        config: &SessionConfig,
    ) -> io::Result<Option<ServerSession>> {
        let mut accepted = match self.incoming.accept_command(supported) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                self.respond(*refusal).await?;
                return Ok(None);
            }
        };
        handshake::write_all(&mut self.stream, &mut accepted.head).await?;
        let Self { stream, rest, .. } = self;
        Ok(Some(ServerSession::accepted::<R>(stream, rest, &accepted, streams, config)))
    }

    /// What is asked for. One that asks for no upgrade is refused like one that asks for a WebSocket in a wrong way.
    fn transport(&self) -> Transport {
        self.incoming.transport().unwrap_or(Transport::WebSocket)
    }
}

impl<T: Stream> Incoming<T> {
    /// Takes the upgrade of a port-forward, to the tunnel, to SPDY or to channels, whichever is asked for; or answers that it
    /// cannot be, and gives `None`.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn accept_forward<R: Runtime<Timer: Unpin>>(
        mut self,
        config: &SessionConfig,
    ) -> io::Result<Option<ForwardServer>> {
        let ports = self.incoming.ports();
        let supported = Subprotocol::spoken(Service::PortForward, self.transport());
        let mut accepted = match self.incoming.accept_port_forward(&ports, supported) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                self.respond(*refusal).await?;
                return Ok(None);
            }
        };
        handshake::write_all(&mut self.stream, &mut accepted.head).await?;
        let server = ForwardServer::over::<R>(self.stream, self.rest, accepted.subprotocol, &ports, config);
        server.map(Some).map_err(io::Error::other)
    }
}

impl<T> fmt::Debug for Incoming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path may hold a token, and what a command is given.
        f.debug_struct("Incoming").field("method", self.incoming.request().method()).finish_non_exhaustive()
    }
}

/// A session that is served. If it and all its streams are dropped before [`finish`](Self::finish), the client sees it end without a status.
pub struct ServerSession {
    /// What the client sends to the command, if it asked to. It ends when the client ends stdin or is gone.
    pub stdin: Option<Reader<Machine>>,
    /// The command's stdout, if the client wants it.
    pub stdout: Option<Writer<Machine>>,
    /// The command's stderr, if the client wants it.
    pub stderr: Option<Writer<Machine>>,
    subprotocol: Subprotocol,
    handle: Handle<Machine>,
}

impl ServerSession {
    /// A session on a stream that somebody else upgraded to WebSocket. `rest` is what was read behind the head of the request.
    pub fn over<R: Runtime<Timer: Unpin>>(
        stream: impl Stream,
        rest: BytesMut,
        subprotocol: Subprotocol,
        streams: Streams,
        config: &SessionConfig,
    ) -> Self {
        let machine = Machine::server(streams.served(), subprotocol, config, R::now());
        Self::new::<R>(machine, Box::new(stream), rest, streams.served(), config)
    }

    /// A session on a stream that somebody else upgraded to SPDY, otherwise as [`over`](Self::over).
    pub fn over_spdy<R: Runtime<Timer: Unpin>>(
        stream: impl Stream,
        rest: BytesMut,
        subprotocol: Subprotocol,
        streams: Streams,
        config: &SessionConfig,
    ) -> Self {
        let machine = Machine::server_over_spdy(streams.served(), subprotocol, config, R::now());
        Self::new::<R>(machine, Box::new(stream), rest, streams.served(), config)
    }

    /// A session on a stream that was upgraded as `accepted` says, otherwise as [`over`](Self::over).
    pub fn accepted<R: Runtime<Timer: Unpin>>(
        stream: impl Stream,
        rest: BytesMut,
        accepted: &Accepted,
        streams: Streams,
        config: &SessionConfig,
    ) -> Self {
        let over = match accepted.transport {
            Transport::WebSocket => Self::over::<R>,
            Transport::Spdy => Self::over_spdy::<R>,
        };
        over(stream, rest, accepted.subprotocol, streams, config)
    }

    fn new<R: Runtime<Timer: Unpin>>(
        machine: Machine,
        stream: Box<dyn Stream>,
        rest: BytesMut,
        streams: Streams,
        config: &SessionConfig,
    ) -> Self {
        let subprotocol = machine.subprotocol();
        trace::serving(subprotocol);
        let shared = Shared::new(machine, stream, rest, &config.limits, R::now);
        let session = Self {
            stdin: streams.stdin.then(|| Reader::new(&shared, 0)),
            stdout: streams.stdout.then(|| Writer::new(&shared, 0)),
            stderr: streams.stderr.then(|| Writer::new(&shared, 1)),
            subprotocol,
            handle: Handle::new(&shared),
        };
        // Tells the client that the server is ready, before anything is awaited.
        shared.command(|_, _| ());
        Background::<Machine, R>::spawn(Arc::clone(&shared));
        session
    }

    /// The subprotocol that was negotiated.
    pub fn subprotocol(&self) -> Subprotocol {
        self.subprotocol
    }

    /// Waits for the terminal's next size; `None` at the end of the session. Sizes that came in between are passed over.
    pub async fn size(&self) -> Option<TerminalSize> {
        self.handle.shared.size().await
    }

    /// Waits until the client is gone, and tells its close frame, if it sent one.
    ///
    /// # Errors
    /// The client broke the protocol or went silent, or the connection failed in another way than being cut.
    pub async fn ended(&self) -> Result<Option<CloseReason>, Error> {
        self.handle.shared.ended().await
    }

    /// Sends the status, closes, and waits until the client closed as well (for [`linger`](SessionConfig::linger) at most), so that nothing of
    /// what was written is lost on the way. Drops the streams that were not taken out of the session.
    ///
    /// # Errors
    /// As [`ended`](Self::ended).
    pub async fn finish(mut self, outcome: &Outcome) -> Result<(), Error> {
        (self.stdin, self.stdout, self.stderr) = (None, None, None);
        self.handle.shared.command(|session, now| session.finish(now, outcome));
        self.handle.shared.closed().await.map(|_| ())
    }
}

impl fmt::Debug for ServerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSession").field("subprotocol", &self.subprotocol).finish_non_exhaustive()
    }
}
