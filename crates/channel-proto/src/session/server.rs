//! The server's end: stdin and sizes in, output and the status out.

use std::{convert::Infallible, time::Instant};

use bytes::Bytes;

use super::{
    Session, SessionConfig, TerminalSize, WriteError,
    client::Output,
    resize::ResizeReader,
    sealed::{self, Taken},
};
use crate::{
    channel,
    error::ErrorKind,
    link::Link,
    outcome::{CloseReason, Outcome},
    request::Streams,
    status::Status,
    subprotocol::{StatusForm, Subprotocol},
    websocket::Role,
};

/// What a server's session tells its application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// Input for the command. Never empty; where it was cut means nothing.
    Stdin(Bytes),
    /// The command's input ends; its output goes on (EXE-2, SPE-6).
    StdinClosed,
    /// The terminal's new size.
    Resize(TerminalSize),
    /// After [`WriteError::Blocked`]: there is room again.
    Writable,
    /// The connection is over, with what the client said when it left, if it said anything. The last event.
    Ended(Option<CloseReason>),
}

/// The state of a server's end. Used as [`ServerSession`](super::ServerSession).
pub struct Server {
    streams: Streams,
    stdin: Input,
    sizes: Input,
    resize: ResizeReader,
}

/// Whether a channel from the client is still of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    Closed,
}

impl sealed::Side for Server {
    type Tells = ServerEvent;
    const ROLE: Role = Role::Server;
    const WRITABLE: ServerEvent = ServerEvent::Writable;

    fn data(&mut self, channel: u8, payload: Bytes, end: bool) -> Result<Taken<ServerEvent>, ErrorKind> {
        Ok(match channel {
            channel::STDIN if self.stdin == Input::Closed || payload.is_empty() => Taken::Silent,
            channel::STDIN => Taken::Event(ServerEvent::Stdin(payload)),
            channel::RESIZE if self.sizes == Input::Open => match self.resize.push(&payload, end) {
                Some(size) => Taken::Event(ServerEvent::Resize(size)),
                None => Taken::Free,
            },
            // Unknown channels, and channels that are the server's to write (FRM-15).
            _ => Taken::Free,
        })
    }

    type Output = Infallible;

    fn output(_channel: u8) -> Option<Infallible> {
        None
    }

    fn output_event(output: Infallible, _payload: Bytes) -> ServerEvent {
        match output {}
    }

    fn bare(&mut self, _channel: u8) -> Taken<ServerEvent> {
        Taken::Free
    }

    fn channel_closed(&mut self, channel: u8) -> Taken<ServerEvent> {
        match channel {
            channel::STDIN if self.stdin == Input::Open => {
                self.stdin = Input::Closed;
                Taken::Event(ServerEvent::StdinClosed)
            }
            channel::RESIZE => {
                self.sizes = Input::Closed;
                Taken::Free
            }
            _ => Taken::Free,
        }
    }

    fn ended(&mut self, close: Option<CloseReason>) -> ServerEvent {
        ServerEvent::Ended(close)
    }

    #[inline]
    fn is_deferring(&self) -> bool {
        false
    }

    fn deferred(&mut self) -> Option<(u8, Bytes)> {
        None
    }
}

impl Server {
    fn new(streams: Streams, config: &SessionConfig) -> Self {
        let asked = |wanted| if wanted { Input::Open } else { Input::Closed };
        Self {
            streams: streams.served(),
            stdin: asked(streams.stdin),
            sizes: asked(streams.tty),
            resize: ResizeReader::new(config.limits.resize),
        }
    }
}

impl Session<Server> {
    /// A session over the bytes that follow the upgrade. It begins by telling the client that the server is ready (FRM-8).
    pub fn server(streams: Streams, subprotocol: Subprotocol, config: &SessionConfig, now: Instant) -> Self {
        let link = Link::over_bytes(Role::Server, subprotocol, config, now);
        Self::new(Server::new(streams, config), link, config).begin()
    }

    /// A session over the messages of a WebSocket that somebody else upgraded and frames.
    pub fn server_over_messages(
        streams: Streams,
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
    ) -> Self {
        let link = Link::over_messages(Role::Server, subprotocol, config, now);
        Self::new(Server::new(streams, config), link, config).begin()
    }

    /// A session over the streams of the SPDY connection that follows the upgrade. Until the client has opened all of them, writing is
    /// [`Blocked`](WriteError::Blocked); a client that takes more than 30 s for it is an error (SPE-4).
    #[cfg(feature = "spdy")]
    pub fn server_over_spdy(
        streams: Streams,
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
    ) -> Self {
        let link = Link::over_spdy(Role::Server, streams, subprotocol, config, now);
        Self::new(Server::new(streams, config), link, config)
    }

    fn begin(mut self) -> Self {
        self.link.send(self.side.streams.first_message_channel(), b"");
        self
    }

    /// Sends the front of `data` as output, and tells how many bytes it took. The data is copied; see
    /// [`write_output_bytes`](Self::write_output_bytes).
    ///
    /// # Errors
    /// [`WriteError::Blocked`] when it took nothing; the others when it never will.
    #[inline]
    pub fn write_output(&mut self, output: Output, data: &[u8]) -> Result<usize, WriteError> {
        self.may_write(output)?;
        let len = self.may_send(output.channel(), data.len())?;
        if len > 0 {
            self.link.send(output.channel(), &data[..len]);
        }
        Ok(len)
    }

    /// Sends `data` as output, as the slice it is (base64 forms and messages copy). It is taken whole if there is any room.
    ///
    /// # Errors
    /// As [`write_output`](Self::write_output).
    pub fn write_output_bytes(&mut self, output: Output, data: &Bytes) -> Result<(), WriteError> {
        self.may_write(output)?;
        self.may_send(output.channel(), data.len())?;
        self.link.send_shared(output.channel(), data.clone());
        Ok(())
    }

    /// The command is done: sends its status, in the form of the subprotocol, then closes the connection (EXE-12, SPE-11).
    /// All output must have been written before. An [`Outcome::EndedWithoutStatus`] closes without a status.
    /// A second time does nothing.
    pub fn finish(&mut self, now: Instant, outcome: &Outcome) {
        if !self.may_command() {
            return;
        }
        let status = match outcome {
            Outcome::Exited(code) => Some(Status::exited(*code)),
            Outcome::Failed(status) => Some(Status::clone(status)),
            Outcome::EndedWithoutStatus(_) => None,
        };
        if let Some(text) = status.and_then(|status| write_status(&status, self.subprotocol())) {
            self.link.send(channel::ERROR, text.as_bytes());
        }
        self.link.close(1000, "");
        self.conclude(now);
        // What still comes is read and dropped (EXE-19), and holds nobody up.
        (self.side.stdin, self.side.sizes) = (Input::Closed, Input::Closed);
    }

    fn may_write(&self, output: Output) -> Result<(), WriteError> {
        let asked = match output {
            Output::Stdout => self.side.streams.stdout,
            Output::Stderr => self.side.streams.stderr,
        };
        if asked { Ok(()) } else { Err(WriteError::NotRequested) }
    }
}

/// What goes on channel 3 (EXE-9, EXE-10).
fn write_status(status: &Status, subprotocol: Subprotocol) -> Option<String> {
    match subprotocol.status_form() {
        StatusForm::TextOnFailure if status.is_success() => None,
        StatusForm::TextOnFailure => Some(status.to_string()),
        // Strings and numbers only: this cannot fail, and if it did, no status would be sent, which is never success.
        StatusForm::Json => serde_json::to_string(status).ok(),
    }
}
