//! The protocol that streams bytes in and out of Kubernetes pods, for both ends, without any I/O.
//!
//! `kubectl exec -i my-pod -- wc -c` asks the cluster, over HTTP, to run a command in a container, and turns that
//! connection into a WebSocket. On it travel numbered *channels*: stdin is channel 0, stdout 1, stderr 2, the exit status 3,
//! the size of the terminal 4. `kubectl attach` does the same with a process that runs already. This crate is that protocol as
//! state machines: you give them the bytes that arrived and the time, and they tell you what the bytes mean, what to
//! write and when to come back. Sockets, clocks, randomness and tasks stay yours, so it fits a thread, any async
//! runtime, a test without a network, or a fuzzer. It serves programs that *are* a client (a tool, a controller), and
//! programs that *serve* one (a kubelet, a container runtime, a gateway).
//!
//! The rules that the comments name, such as FRM-9, are those of `docs/spec.md` in this crate's repository.
//!
//! # The layers
//!
//! ```text
//!  session       ClientSession · ServerSession: exec and attach after the upgrade
//!  channels      v1, v4, v5 and the base64 forms: which channel a message is for              │ SPDY/3.1: a
//!  messages      WebSocket (RFC 6455), as a stream, or whole messages of one you hold already  │ stream for each
//!  upgrade       HTTP/1.1 request and 101, subprotocol negotiation, refusals
//!  ────────────────────────────────────────────────────────────────────────────────────────────────
//!  yours         sockets, TLS, clock, entropy, tasks
//! ```
//!
//! SPDY/3.1, the older carrier of the same sessions, stands beside channels and messages: see
//! `ClientSession::client_over_spdy` and `ServerSession::server_over_spdy` (feature `spdy`).
//!
//! # The contract
//!
//! Every machine has methods of four families:
//!
//! * **getters** (`&self`): what was negotiated and how far things are;
//! * **`handle_*`**: what happened: bytes came, the stream ended, it is time;
//! * **commands**: what the application wants: `write_stdin`, `close_stdin`, `resize`, `finish`, …;
//! * **`poll_*`** and **`transmit`**: what to do next.
//!
//! The order to call them in: *input, then what is due, then everything to be written, then one event, and again from the
//! start; when there is no event left, sleep* until bytes come or `poll_timeout` is over. Nothing is ever dropped for want of room. A session
//! holds a single event and leaves in your buffer what came behind it, so that an application which takes no
//! events stops the peer; a write beyond [`Limits::transmit`] answers [`WriteError::Blocked`], and a `Writable` event
//! follows. Errors are fatal and stick; each says [whose fault](Fault) it is. How a session ended is an event, with
//! an [`Outcome`]: only `Exited(0)` is success.
//!
//! # The run loop
//!
//! All there is to a driver, with blocking sockets of the standard library. The function `run` drives either end.
//!
//! ```
//! use std::io::{self, ErrorKind, Read, Write};
//! use std::net::{TcpListener, TcpStream};
//! use std::{thread, time::Duration, time::Instant};
//!
//! use bytes::{Buf, BytesMut};
//! use channel_proto::session::{Session, Side};
//! use channel_proto::upgrade::{ClientUpgrade, ServerUpgrade, UpgradeRequest, respond};
//! use channel_proto::{
//!     Action, ClientEvent, ClientSession, Limits, Outcome, Output, PodRequest, ServerEvent, ServerSession,
//!     SessionConfig, Streams, Subprotocol,
//! };
//!
//! type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
//!
//! /// Runs a session to its end.
//! fn run<S: Side>(
//!     socket: &mut TcpStream,
//!     input: &mut BytesMut, // Holds what came behind the head of the upgrade.
//!     session: &mut Session<S>,
//!     mut on_event: impl FnMut(&mut Session<S>, S::Event),
//! ) -> Result<()> {
//!     loop {
//!         loop {
//!             let now = Instant::now();
//!             let handled = session.handle_input(now, input).and_then(|()| session.handle_timeout(now));
//!             // Even after an error there is a close frame to be written.
//!             while let Some(transmit) = session.transmit().filter(|transmit| transmit.has_remaining()) {
//!                 socket.write_all(transmit.chunk())?;
//!                 transmit.advance(transmit.chunk().len());
//!             }
//!             handled?;
//!             match session.poll_event() {
//!                 Some(event) => on_event(session, event),
//!                 None => break,
//!             }
//!         }
//!         if session.is_ended() {
//!             return Ok(());
//!         }
//!         let wait = session.poll_timeout().map(|until| until.saturating_duration_since(Instant::now()));
//!         // A read timeout of zero is an error.
//!         socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
//!         match receive(socket, input) {
//!             Ok(0) => session.handle_eof(),
//!             Ok(_) => {}
//!             Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
//!             Err(error) => return Err(error.into()),
//!         }
//!     }
//! }
//!
//! fn receive(socket: &mut TcpStream, input: &mut BytesMut) -> io::Result<usize> {
//!     let mut buffer = [0; 16 * 1024];
//!     let count = socket.read(&mut buffer)?;
//!     input.extend_from_slice(&buffer[..count]);
//!     Ok(count)
//! }
//!
//! /// A server. Its "command" writes its input in upper case, and exits with 7 at the end of it.
//! fn serve(mut socket: TcpStream) -> Result<()> {
//!     let mut input = BytesMut::new();
//!     let mut upgrade = ServerUpgrade::new(&Limits::default());
//!     let request = loop {
//!         match upgrade.handle_input(&mut input)? {
//!             Some(request) => break request,
//!             None if receive(&mut socket, &mut input)? == 0 => return Ok(upgrade.handle_eof()?),
//!             None => {}
//!         }
//!     };
//!     // In earnest, check `request.bearer()` first.
//!     let pod = request.pod_request()?.ok_or("neither an exec nor an attach")?;
//!     let accepted = match request.accept(&Subprotocol::NAMED) {
//!         Ok(accepted) => accepted,
//!         Err(refusal) => return Ok(socket.write_all(&respond(*refusal))?),
//!     };
//!     socket.write_all(&accepted.head)?;
//!
//!     let config = SessionConfig::server();
//!     let mut session = ServerSession::server(pod.streams, accepted.subprotocol, &config, Instant::now());
//!     run(&mut socket, &mut input, &mut session, |session, event| match event {
//!         ServerEvent::Stdin(data) => {
//!             let data = data.to_ascii_uppercase().into();
//!             // Never blocked: `run` wrote all that waited before it handed out the event.
//!             session.write_output_bytes(Output::Stdout, &data).expect("room");
//!         }
//!         ServerEvent::StdinClosed => session.finish(Instant::now(), &Outcome::Exited(7)),
//!         _ => {}
//!     })
//! }
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! let server = thread::spawn(move || serve(listener.accept()?.0));
//!
//! // A client: the upgrade,
//! let pod = PodRequest {
//!     namespace: "default".into(),
//!     pod: "web-0".into(),
//!     container: None,
//!     action: Action::Exec { command: vec!["shout".into()] },
//!     streams: Streams { stdin: true, stdout: true, ..Streams::default() },
//! };
//! let streams = pod.streams;
//! let (nonce, seed) = ([1; 16], [2; 32]); // In earnest, from the system's entropy: `getrandom::fill`.
//! let request = UpgradeRequest::for_pod(address.to_string(), pod);
//! let mut upgrade = ClientUpgrade::new(&request, nonce, &Limits::default())?;
//! let mut socket = TcpStream::connect(address)?;
//! socket.write_all(upgrade.transmit())?;
//! let mut input = BytesMut::new();
//! let upgraded = loop {
//!     match upgrade.handle_input(&mut input)? {
//!         Some(upgraded) => break upgraded,
//!         None if receive(&mut socket, &mut input)? == 0 => return Err(upgrade.handle_eof().into()),
//!         None => {}
//!     }
//! };
//!
//! // and the session.
//! let config = SessionConfig::client(seed);
//! let mut session = ClientSession::client(streams, upgraded.subprotocol, &config, Instant::now());
//! session.write_stdin(b"hello, channel")?;
//! session.close_stdin()?; // A half-close: the output still comes.
//! let (mut stdout, mut outcome) = (Vec::new(), None);
//! run(&mut socket, &mut input, &mut session, |_, event| match event {
//!     ClientEvent::Output(Output::Stdout, data) => stdout.extend_from_slice(&data),
//!     ClientEvent::Ended(how) => outcome = Some(how),
//!     _ => {}
//! })?;
//! assert_eq!(stdout, b"HELLO, CHANNEL");
//! assert_eq!(outcome, Some(Outcome::Exited(7)));
//! server.join().expect("the server does not panic")?;
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```
//!
//! What it leaves out: while a blocking `write` waits, nothing is read. Between two peers that both send much that is a deadlock;
//! a real driver waits for both directions at once. One that stops reading because nobody takes the output says so with
//! [`Session::set_reading`](session::Session::set_reading), lest the silence count.
//!
//! # Where to begin reading
//!
//! 1. `subprotocol`: what can be negotiated, and what each form can do ([`Subprotocol`]).
//! 2. [`request`]: which pod, which command, which streams ([`PodRequest`], [`Streams`]).
//! 3. [`upgrade`]: from HTTP to WebSocket, and every way to be refused ([`ClientUpgrade`](upgrade::ClientUpgrade),
//!    [`ServerUpgrade`](upgrade::ServerUpgrade)).
//! 4. [`session`]: what happens then ([`ClientSession`], [`ServerSession`]); its life is the table in `session/state.rs`, its end an
//!    [`Outcome`] made from a [`Status`].
//! 5. Below it, private: `link` (what a session stands on, in two columns: channels and SPDY streams), `channel` (channel frames), `websocket` (RFC 6455; the
//!    close handshake is the table in `websocket/state.rs`), `heartbeat`.
//! 6. What all share: [`Limits`] (every cap and its reason), [`Error`].
//!
//! Who holds a WebSocket already (of axum, tungstenite, a browser) needs neither the upgrade nor the bytes: see
//! [`ClientSession::client_over_messages`](session::Session::client_over_messages) and [`Message`].

mod channel;
mod error;
#[cfg(feature = "spdy")]
pub mod forward;
mod free_frames;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod heartbeat;
mod limits;
mod link;
mod message;
mod outcome;
pub mod request;
pub mod session;
#[cfg(feature = "spdy")]
pub mod spdy;
mod status;
mod subprotocol;
#[cfg(test)]
mod table;
mod time;
mod transmit;
pub mod upgrade;
mod websocket;

pub use error::{ChannelViolation, Error, ErrorKind, Fault, FrameViolation, HeadViolation, SpdyViolation};
pub use heartbeat::{HeartbeatConfig, Reading};
pub use limits::Limits;
pub use message::Message;
pub use outcome::{CloseReason, Outcome};
pub use request::{Action, PodRequest, Streams};
pub use session::{
    ClientEvent, ClientSession, Output, ServerEvent, ServerSession, SessionConfig, TerminalSize, WriteError,
};
pub use status::{Cause, Details, Status};
pub use subprotocol::{BearerToken, Encoding, Service, StatusForm, Subprotocol, Transport};
pub use time::rfc3339;
pub use websocket::{Role, Strictness, Transmit};
