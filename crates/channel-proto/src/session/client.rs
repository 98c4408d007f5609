//! The client's end: stdin and sizes out, output and the status in.

use std::time::Instant;

use bytes::Bytes;

use super::{
    CloseStdinError, ResizeError, Session, SessionConfig, TerminalSize, WriteError,
    sealed::{self, Taken},
    status::StatusReader,
};
use crate::{
    channel,
    error::ErrorKind,
    link::Link,
    outcome::{CloseReason, Outcome},
    request::Streams,
    subprotocol::Subprotocol,
    websocket::Role,
};

/// What a client's session tells its application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The server is ready (FRM-8, SPE-3). Not every server says so; nothing need wait for it.
    Connected,
    /// Some of the command's output. Never empty; where it was cut means nothing.
    Output(Output, Bytes),
    /// No more comes on this output (v5's close signal, FRM-13; over SPDY a FIN, SPE-8). Over WebSocket most servers never say so.
    OutputClosed(Output),
    /// After [`WriteError::Blocked`]: there is room again.
    Writable,
    /// The session is over. The last event.
    Ended(Outcome),
}

/// One of the two outputs of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// Standard output; on a terminal, all output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Output {
    pub(crate) fn channel(self) -> u8 {
        match self {
            Self::Stdout => channel::STDOUT,
            Self::Stderr => channel::STDERR,
        }
    }

    fn from_channel(channel: u8) -> Option<Self> {
        // Two channels side by side are one comparison, on the path of every message.
        match channel {
            channel::STDOUT..=channel::STDERR if channel == channel::STDOUT => Some(Self::Stdout),
            channel::STDOUT..=channel::STDERR => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// The state of a client's end. Used as [`ClientSession`](super::ClientSession).
pub struct Client {
    streams: Streams,
    stdin: Stdin,
    server: Server,
    status: StatusReader,
    /// A size that waits for room; only the newest matters.
    size: Option<TerminalSize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stdin {
    Open,
    Closed,
}

/// Whether the server said that it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Unheard,
    Ready,
}

impl sealed::Side for Client {
    type Tells = ClientEvent;
    const ROLE: Role = Role::Client;
    const WRITABLE: ClientEvent = ClientEvent::Writable;

    fn data(&mut self, channel: u8, payload: Bytes, end: bool) -> Result<Taken<ClientEvent>, ErrorKind> {
        match channel {
            channel::ERROR => {
                Ok(if self.status.push(&payload, end)? { Taken::Concluded } else { Taken::Silent })
            }
            _ => Ok(match Output::from_channel(channel) {
                Some(_) if payload.is_empty() => Taken::Silent,
                Some(output) => Taken::Event(ClientEvent::Output(output, payload)),
                // Channels that a later protocol may bring (FRM-15).
                None => Taken::Free,
            }),
        }
    }

    type Output = Output;

    #[inline]
    fn output(channel: u8) -> Option<Output> {
        Output::from_channel(channel)
    }

    #[inline]
    fn output_event(output: Output, payload: Bytes) -> ClientEvent {
        ClientEvent::Output(output, payload)
    }

    /// The first message without payload says that the server is ready, whatever its channel (FRM-8).
    fn bare(&mut self, _channel: u8) -> Taken<ClientEvent> {
        match std::mem::replace(&mut self.server, Server::Ready) {
            Server::Unheard => Taken::Event(ClientEvent::Connected),
            Server::Ready => Taken::Free,
        }
    }

    fn channel_closed(&mut self, channel: u8) -> Taken<ClientEvent> {
        match Output::from_channel(channel) {
            Some(output) => Taken::Event(ClientEvent::OutputClosed(output)),
            None => Taken::Free,
        }
    }

    fn ended(&mut self, close: Option<CloseReason>) -> ClientEvent {
        ClientEvent::Ended(self.status.outcome().unwrap_or(Outcome::EndedWithoutStatus(close)))
    }

    #[inline]
    fn is_deferring(&self) -> bool {
        self.size.is_some()
    }

    fn deferred(&mut self) -> Option<(u8, Bytes)> {
        self.size.take().map(|size| (channel::RESIZE, size.to_json()))
    }
}

impl Client {
    fn new(streams: Streams, subprotocol: Subprotocol, config: &SessionConfig) -> Self {
        Self {
            streams,
            stdin: Stdin::Open,
            server: Server::Unheard,
            status: StatusReader::new(subprotocol, config.limits.status),
            size: None,
        }
    }
}

impl Session<Client> {
    /// A session over the bytes that follow the upgrade.
    pub fn client(streams: Streams, subprotocol: Subprotocol, config: &SessionConfig, now: Instant) -> Self {
        let link = Link::over_bytes(Role::Client, subprotocol, config, now);
        Self::new(Client::new(streams, subprotocol, config), link, config)
    }

    /// A session over the messages of a WebSocket that somebody else upgraded and frames.
    pub fn client_over_messages(
        streams: Streams,
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
    ) -> Self {
        let link = Link::over_messages(Role::Client, subprotocol, config, now);
        Self::new(Client::new(streams, subprotocol, config), link, config)
    }

    /// A session over the streams of the SPDY connection that follows the upgrade. They are opened at once (SPE-2).
    #[cfg(feature = "spdy")]
    pub fn client_over_spdy(
        streams: Streams,
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
    ) -> Self {
        let link = Link::over_spdy(Role::Client, streams, subprotocol, config, now);
        Self::new(Client::new(streams, subprotocol, config), link, config)
    }

    /// Sends the front of `data` to the command's stdin, and tells how many bytes it took: all, unless the
    /// buffer of what waits to be sent got full. The data is copied, once, since it must be masked.
    ///
    /// # Errors
    /// [`WriteError::Blocked`] when it took nothing; the others when it never will again.
    #[inline]
    pub fn write_stdin(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        self.may_write_stdin()?;
        let len = self.may_send(channel::STDIN, data.len())?;
        if len > 0 {
            self.link.send(channel::STDIN, &data[..len]);
        }
        Ok(len)
    }

    /// Ends the command's stdin; its output goes on (EXE-2, SPE-6). A second time does nothing.
    ///
    /// # Errors
    /// [`CloseStdinError::Unsupported`] over WebSocket before v5, where nothing but closing the whole connection ends stdin, and that loses
    /// output. Who wants it all the same calls [`disconnect`](Self::disconnect).
    pub fn close_stdin(&mut self) -> Result<(), CloseStdinError> {
        match self.may_write_stdin() {
            Err(WriteError::NotRequested) => return Err(CloseStdinError::NotRequested),
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        if !self.can_half_close() {
            return Err(CloseStdinError::Unsupported(self.subprotocol()));
        }
        self.side.stdin = Stdin::Closed;
        if self.may_command() {
            self.link.close_channel(channel::STDIN);
        }
        Ok(())
    }

    /// Tells the command's terminal its size. Never blocks: while there is no room to send, only the newest size is kept.
    /// A size of zero, which servers ignore, is not sent.
    ///
    /// # Errors
    /// The session has no terminal (the real servers hang on a size that comes without one), or no way to tell a size
    /// ([`can_resize`](Self::can_resize)).
    pub fn resize(&mut self, size: TerminalSize) -> Result<(), ResizeError> {
        if !self.side.streams.tty || !self.can_resize() {
            return Err(ResizeError);
        }
        if !size.is_empty() {
            self.side.size = Some(size);
        }
        Ok(())
    }

    /// Closes the connection: the command's stdin ends, and what it writes from now on may be lost. No status comes then.
    pub fn disconnect(&mut self, now: Instant) {
        self.side.stdin = Stdin::Closed;
        self.link.close(1000, "");
        self.conclude(now);
    }

    #[inline]
    fn may_write_stdin(&self) -> Result<(), WriteError> {
        match self.side.stdin {
            _ if !self.side.streams.stdin => Err(WriteError::NotRequested),
            Stdin::Closed => Err(WriteError::Closed),
            Stdin::Open => Ok(()),
        }
    }
}
