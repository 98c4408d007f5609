//! The entries of a session: the bytes of a connection that was upgraded to WebSocket or to SPDY, which the driver reads, and the messages of
//! somebody else's WebSocket.

use std::{future::Future, ops::Range};

use async_tungstenite::{
    WebSocketStream,
    tungstenite::{client::IntoClientRequest, protocol::Role},
};
use bytes::BytesMut;
use channel_driver::{Io, Machine, ServerSession, Session};
use channel_pod::Pod;
use channel_proto::{
    Action, CloseReason, Outcome, PodRequest, Service, SessionConfig, Streams, Subprotocol, TerminalSize,
    Transport,
    session::{Client, Server, Session as MachineOf, Side},
};
use futures::{
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    io::{AsyncRead, AsyncWrite},
    stream::StreamExt,
};
use http::{HeaderValue, Uri, header};

use super::{
    flavour::Flavour,
    messages::{Command, Ends, drive},
    pod::client_of,
    streams::{Duplex, connect},
    tasks::{Task, spawn},
};

pub(crate) type Read = Box<dyn AsyncRead + Send + Unpin>;
pub(crate) type Write = Box<dyn AsyncWrite + Send + Unpin>;

/// The way into a session.
pub(crate) trait Entry: 'static {
    /// How much is taken from a peer that writes to somebody who does not read.
    const KEPT: Range<usize>;

    /// "some" on stdout, as a server says it.
    const SOME: &'static [u8];

    /// What is spoken there, best first.
    const SUBPROTOCOLS: &'static [Subprotocol];

    /// A command in the embedded pod, or an attachment to it.
    fn start<F: Flavour>(pod: &Pod, run: Run) -> impl Future<Output = Running> + Send;

    /// The client's end on a stream that was upgraded.
    fn client<F: Flavour>(stream: Duplex, streams: Streams, config: &SessionConfig) -> Running;

    /// The server's end on a stream that was upgraded.
    fn server<F: Flavour>(stream: Duplex, streams: Streams) -> Serving;

    /// Both ends of a session over a pipe in memory that holds `capacity` bytes each way.
    fn pair<F: Flavour>(capacity: usize, streams: Streams, config: &SessionConfig) -> (Running, Serving) {
        let (near, far) = super::streams::duplex(capacity);
        (Self::client::<F>(near, streams, config), Self::server::<F>(far, streams))
    }
}

/// What to start.
#[derive(Clone)]
pub(crate) struct Run {
    /// None to attach.
    pub(crate) command: Option<Vec<String>>,
    pub(crate) streams: Streams,
    pub(crate) size: Option<TerminalSize>,
    /// The best unless it is said.
    pub(crate) subprotocol: Option<Subprotocol>,
}

impl Run {
    pub(crate) fn exec<const N: usize>(command: [&str; N], streams: Streams) -> Self {
        let command = Some(command.into_iter().map(str::to_owned).collect());
        Self { command, streams, size: None, subprotocol: None }
    }

    pub(crate) fn attach(streams: Streams) -> Self {
        Self { command: None, ..Self::exec([], streams) }
    }
}

pub(crate) const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };
pub(crate) const IN_OUT: Streams = Streams { stderr: false, ..ALL };
pub(crate) const OUTPUTS: Streams = Streams { stdin: false, ..ALL };

/// A client's session.
pub(crate) struct Running {
    pub(crate) stdin: Option<Write>,
    pub(crate) stdout: Option<Read>,
    pub(crate) stderr: Option<Read>,
    pub(crate) subprotocol: Subprotocol,
    control: RunningControl,
}

enum RunningControl {
    Bytes(Session),
    Messages { commands: UnboundedSender<Command<Client>>, ended: Task<Result<Outcome, String>> },
}

impl Running {
    pub(crate) fn resize(&self, size: TerminalSize) {
        match &self.control {
            RunningControl::Bytes(session) => session.resize(size).expect("a terminal"),
            RunningControl::Messages { commands, .. } => {
                let resize =
                    move |session: &mut MachineOf<Client>, _| session.resize(size).expect("a terminal");
                commands.unbounded_send(Command::Now(Box::new(resize))).expect("the session goes on");
            }
        }
    }

    /// How it ends, once.
    pub(crate) async fn outcome(&mut self) -> Result<Outcome, String> {
        match &mut self.control {
            RunningControl::Bytes(session) => session.outcome().await.map_err(|error| error.to_string()),
            RunningControl::Messages { ended, .. } => ended.await,
        }
    }

    /// Ends stdin, drops the outputs that were not taken, and waits for the end.
    pub(crate) async fn wait(mut self) -> Result<Outcome, String> {
        (self.stdin, self.stdout, self.stderr) = (None, None, None);
        self.outcome().await
    }
}

/// A server's session.
pub(crate) struct Serving {
    pub(crate) stdin: Option<Read>,
    pub(crate) stdout: Option<Write>,
    pub(crate) stderr: Option<Write>,
    control: ServingControl,
}

enum ServingControl {
    Bytes(ServerSession),
    Messages {
        commands: UnboundedSender<Command<Server>>,
        sizes: UnboundedReceiver<TerminalSize>,
        ended: Task<Result<Option<CloseReason>, String>>,
    },
}

impl Serving {
    pub(crate) async fn size(&mut self) -> Option<TerminalSize> {
        match &mut self.control {
            ServingControl::Bytes(session) => session.size().await,
            ServingControl::Messages { sizes, .. } => sizes.next().await,
        }
    }

    /// Sends the status behind everything that was written, and waits for the end of the connection.
    pub(crate) async fn finish(mut self, outcome: Outcome) -> Result<(), String> {
        (self.stdin, self.stdout, self.stderr) = (None, None, None);
        match self.control {
            ServingControl::Bytes(session) => {
                session.finish(&outcome).await.map_err(|error| error.to_string())
            }
            ServingControl::Messages { commands, ended, .. } => {
                let finish = move |session: &mut MachineOf<Server>, now| session.finish(now, &outcome);
                commands.unbounded_send(Command::AtTheEnd(Box::new(finish))).expect("the session goes on");
                ended.await.map(drop)
            }
        }
    }
}

/// The byte entry: the driver's own sessions, over WebSocket.
pub(crate) struct Bytes;

impl Entry for Bytes {
    const KEPT: Range<usize> = 128 << 10..1 << 20;
    const SOME: &'static [u8] = b"\x82\x01\x01\x82\x05\x01some";
    const SUBPROTOCOLS: &'static [Subprotocol] =
        Subprotocol::spoken(Service::RemoteCommand, Transport::WebSocket);

    async fn start<F: Flavour>(pod: &Pod, run: Run) -> Running {
        start_over::<F>(pod, run, Transport::WebSocket, Self::SUBPROTOCOLS[0]).await
    }

    fn client<F: Flavour>(stream: Duplex, streams: Streams, config: &SessionConfig) -> Running {
        let (rest, best) = (BytesMut::new(), Self::SUBPROTOCOLS[0]);
        running(Session::over::<F::Runtime>(Io(stream), rest, best, streams, config))
    }

    fn server<F: Flavour>(stream: Duplex, streams: Streams) -> Serving {
        let (rest, config, best) = (BytesMut::new(), SessionConfig::server(), Self::SUBPROTOCOLS[0]);
        serving(ServerSession::over::<F::Runtime>(Io(stream), rest, best, streams, &config))
    }
}

/// The same over SPDY.
pub(crate) struct Spdy;

impl Entry for Spdy {
    const KEPT: Range<usize> = 128 << 10..1 << 20;
    /// The third stream, behind those of errors and stdin, with a reply that has no headers. What they are compressed with begins like that.
    const SOME: &'static [u8] =
        b"\x80\x03\0\x02\0\0\0\x13\0\0\0\x05\x78\xbb\xe3\xc6\xa7\xc2\0\x04\0\xfb\xff\0\0\0\0\
        \0\0\0\x05\0\0\0\x04some";
    /// v5 is offered, and never chosen.
    const SUBPROTOCOLS: &'static [Subprotocol] =
        &[Subprotocol::V4, Subprotocol::V3, Subprotocol::V2, Subprotocol::V1];

    async fn start<F: Flavour>(pod: &Pod, run: Run) -> Running {
        start_over::<F>(pod, run, Transport::Spdy, Self::SUBPROTOCOLS[0]).await
    }

    fn client<F: Flavour>(stream: Duplex, streams: Streams, config: &SessionConfig) -> Running {
        let (rest, best) = (BytesMut::new(), Self::SUBPROTOCOLS[0]);
        running(Session::over_spdy::<F::Runtime>(Io(stream), rest, best, streams, config))
    }

    fn server<F: Flavour>(stream: Duplex, streams: Streams) -> Serving {
        let (rest, config, best) = (BytesMut::new(), SessionConfig::server(), Self::SUBPROTOCOLS[0]);
        serving(ServerSession::over_spdy::<F::Runtime>(Io(stream), rest, best, streams, &config))
    }
}

async fn start_over<F: Flavour>(pod: &Pod, run: Run, transport: Transport, best: Subprotocol) -> Running {
    let client = client_of::<F>(pod);
    macro_rules! start {
        ($launch:expr) => {{
            let mut launch = $launch.transport(transport).offer([run.subprotocol.unwrap_or(best)]);
            let Streams { stdin, stdout, stderr, tty } = run.streams;
            launch = if stdin { launch.stdin() } else { launch };
            launch = if stdout { launch.stdout() } else { launch };
            launch = if stderr { launch.stderr() } else { launch };
            launch = if tty { launch.tty(run.size) } else { launch };
            launch.start().await.expect("a session")
        }};
    }
    let session = match run.command {
        Some(command) => start!(client.exec("default", "embedded").command(command)),
        None => start!(client.attach("default", "embedded")),
    };
    assert_eq!(session.transport(), transport);
    running(session)
}

fn running(mut session: Session) -> Running {
    Running {
        stdin: session.stdin.take().map(|stdin| Box::new(stdin) as Write),
        stdout: session.stdout.take().map(|stdout| Box::new(stdout) as Read),
        stderr: session.stderr.take().map(|stderr| Box::new(stderr) as Read),
        subprotocol: session.subprotocol(),
        control: RunningControl::Bytes(session),
    }
}

fn serving(mut session: ServerSession) -> Serving {
    Serving {
        stdin: session.stdin.take().map(|stdin| Box::new(stdin) as Read),
        stdout: session.stdout.take().map(|stdout| Box::new(stdout) as Write),
        stderr: session.stderr.take().map(|stderr| Box::new(stderr) as Write),
        control: ServingControl::Bytes(session),
    }
}

/// The message entry: sessions over the messages of a WebSocket of async-tungstenite's.
pub(crate) struct Messages;

/// What a pipe between a session and its application holds.
const PIPE: usize = 64 << 10;

impl Entry for Messages {
    const KEPT: Range<usize> = PIPE..1 << 20;
    const SOME: &'static [u8] = Bytes::SOME;
    const SUBPROTOCOLS: &'static [Subprotocol] = Bytes::SUBPROTOCOLS;

    async fn start<F: Flavour>(pod: &Pod, run: Run) -> Running {
        let action = match run.command {
            Some(command) => Action::Exec { command },
            None => Action::Attach,
        };
        let (namespace, name) = (pod.namespace().into(), pod.name().into());
        let request = PodRequest { namespace, pod: name, container: None, action, streams: run.streams };
        let uri: Uri = format!("ws://{}{}", pod.address(), request.path_and_query()).parse().expect("a URL");
        let mut request = uri.into_client_request().expect("a request");
        let value = |text: &str| HeaderValue::from_str(text).expect("a header's value");
        request.headers_mut().insert(header::AUTHORIZATION, value(&format!("Bearer {}", pod.token())));
        let subprotocol = run.subprotocol.unwrap_or(Self::SUBPROTOCOLS[0]);
        if subprotocol != Subprotocol::Unnamed {
            request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, value(subprotocol.name()));
        }
        let stream = connect::<F>(pod.address()).await.expect("a connection");
        let (socket, _) = async_tungstenite::client_async(request, stream).await.expect("an upgrade");
        let config = SessionConfig::client([1; 32]);
        let running = Self::running::<F, _>(async { socket }, run.streams, subprotocol, &config);
        if let Some(size) = run.size {
            running.resize(size);
        }
        running
    }

    fn client<F: Flavour>(stream: Duplex, streams: Streams, config: &SessionConfig) -> Running {
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None);
        Self::running::<F, _>(socket, streams, Subprotocol::V5, config)
    }

    fn server<F: Flavour>(stream: Duplex, streams: Streams) -> Serving {
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None);
        Self::serving::<F, _>(socket, streams, Subprotocol::V5)
    }
}

impl Messages {
    fn running<F: Flavour, T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        socket: impl Future<Output = WebSocketStream<T>> + Send + 'static,
        streams: Streams,
        subprotocol: Subprotocol,
        config: &SessionConfig,
    ) -> Running {
        let session = MachineOf::client_over_messages(streams, subprotocol, config, now::<F>());
        let (stdin, stdin_read) = input(streams.stdin);
        let (stdout, stdout_write) = output(streams.stdout);
        let (stderr, stderr_write) = output(streams.stderr);
        let Driven { commands, ended, .. } = run::<F, _, _>(
            socket,
            session,
            stdin_read.into_iter().collect(),
            vec![stdout_write, stderr_write],
        );
        let control = RunningControl::Messages { commands, ended };
        Running { stdin, stdout, stderr, subprotocol, control }
    }

    pub(crate) fn serving<F: Flavour, T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        socket: impl Future<Output = WebSocketStream<T>> + Send + 'static,
        streams: Streams,
        subprotocol: Subprotocol,
    ) -> Serving {
        let config = SessionConfig::server();
        let session = MachineOf::server_over_messages(streams, subprotocol, &config, now::<F>());
        let (stdin, stdin_write) = output(streams.stdin);
        // A stream that the client does not want is one where nothing is written.
        let (stdout, stdout_read) = input(true);
        let (stderr, stderr_read) = input(streams.stderr);
        let inputs = stdout_read.into_iter().chain(stderr_read).collect();
        let Driven { commands, sizes, ended } = run::<F, _, _>(socket, session, inputs, vec![stdin_write]);
        let control = ServingControl::Messages { commands, sizes, ended };
        Serving { stdin, stdout: stdout.filter(|_| streams.stdout), stderr, control }
    }
}

struct Driven<S: Side, E> {
    commands: UnboundedSender<Command<S>>,
    sizes: UnboundedReceiver<TerminalSize>,
    ended: Task<Result<E, String>>,
}

/// Drives a session in a task of its own.
fn run<F: Flavour, S: Side, T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    socket: impl Future<Output = WebSocketStream<T>> + Send + 'static,
    session: MachineOf<S>,
    inputs: Vec<piper::Reader>,
    outputs: Vec<Option<piper::Writer>>,
) -> Driven<S, <MachineOf<S> as Machine>::Ended>
where
    MachineOf<S>: Machine,
{
    let ((commands, commanded), (sized, sizes)) = (unbounded(), unbounded());
    let ends = Ends { inputs, outputs, sizes: sized, commands: commanded };
    let ended = spawn::<F, _>(async move { drive::<F, S, _>(socket.await, session, ends).await });
    Driven { commands, sizes, ended }
}

fn now<F: Flavour>() -> std::time::Instant {
    <F::Runtime as channel_driver::runtime::Runtime>::now()
}

/// A pipe that the application writes.
fn input(wanted: bool) -> (Option<Write>, Option<piper::Reader>) {
    if !wanted {
        return (None, None);
    }
    let (read, write) = piper::pipe(PIPE);
    (Some(Box::new(write)), Some(read))
}

/// A pipe that the application reads.
fn output(wanted: bool) -> (Option<Read>, Option<piper::Writer>) {
    if !wanted {
        return (None, None);
    }
    let (read, write) = piper::pipe(PIPE);
    (Some(Box::new(read)), Some(write))
}
