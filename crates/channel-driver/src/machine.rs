//! The machines of [`channel_proto`] as the driver sees them: streams that are read, streams that are written, timers, and an end.

use std::{fmt, io, time::Instant};

use bytes::{Buf, Bytes, BytesMut};
use channel_proto::{
    ClientEvent, ClientSession, CloseReason, Error, Outcome, Output, Reading, ServerEvent, ServerSession,
    TerminalSize, Transmit, WriteError,
};

/// What an event means to the driver.
#[derive(Debug)]
pub enum Sorted<E> {
    /// Data for the reader of this index.
    Data(usize, Bytes),
    /// No more data for that reader.
    DataEnd(usize),
    /// The peer says that this stream failed, and why: for the error of those who read or write it.
    Failed(usize, io::ErrorKind, String),
    /// The writer of this index has room again.
    Writable(usize),
    /// Every writer may have room again.
    Room,
    /// The peer wants a connection, of this index, to a port.
    Connect(usize, u16),
    /// The terminal's new size.
    Size(TerminalSize),
    /// The session is over.
    End(E),
    /// Nothing that needs doing.
    Nothing,
}

/// How a session ended, without what the peer said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndKind {
    /// The command ended with this exit code.
    Exited(i32),
    /// It failed otherwise, with a status.
    Failed,
    /// There was no status, but perhaps a close code.
    WithoutStatus(Option<u16>),
    /// A server's session or a forward, perhaps with a close code.
    Closed(Option<u16>),
}

impl EndKind {
    pub(crate) fn of_outcome(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Exited(code) => Self::Exited(*code),
            Outcome::EndedWithoutStatus(close) => Self::WithoutStatus(close_code(close.as_ref())),
            _ => Self::Failed,
        }
    }

    pub(crate) fn of_close(close: Option<&CloseReason>) -> Self {
        Self::Closed(close_code(close))
    }
}

fn close_code(close: Option<&CloseReason>) -> Option<u16> {
    close.and_then(|close| close.code)
}

impl fmt::Display for EndKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Failed => f.write_str("failed"),
            Self::WithoutStatus(None) => f.write_str("without a status"),
            Self::WithoutStatus(Some(code)) => write!(f, "without a status, close {code}"),
            Self::Closed(None) => f.write_str("closed"),
            Self::Closed(Some(code)) => write!(f, "close {code}"),
        }
    }
}

/// A machine that can be driven.
pub trait Machine: Send + 'static {
    /// What the end of a session says on this side.
    type Ended: Clone + Send + 'static;

    /// Bytes came.
    ///
    /// # Errors
    /// The peer's, which stick.
    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), Error>;

    /// The peer's bytes ended.
    fn handle_eof(&mut self);

    /// A timer went off.
    ///
    /// # Errors
    /// The peer is silent.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error>;

    /// When the next timer goes off.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next event.
    fn poll(&mut self) -> Option<Sorted<Self::Ended>>;

    /// Whether it has nothing to say unless more bytes come or a timer goes off, so that it need not be asked.
    #[inline]
    fn is_idle(&self) -> bool {
        false
    }

    /// The next event, bytes having come: [`handle_input`](Self::handle_input) and then [`poll`](Self::poll).
    ///
    /// # Errors
    /// As [`handle_input`](Self::handle_input).
    #[inline]
    fn next(&mut self, now: Instant, input: &mut BytesMut) -> Result<Option<Sorted<Self::Ended>>, Error> {
        self.handle_input(now, input)?;
        Ok(self.poll())
    }

    /// What is to be written.
    fn transmit(&mut self) -> &mut Transmit;

    /// Whether all that was written to its streams was written to the peer.
    #[inline]
    fn is_drained(&mut self) -> bool {
        self.transmit().is_empty()
    }

    /// Reading stopped, or went on.
    fn set_reading(&mut self, now: Instant, reading: Reading);

    /// Whether our side of the stream is to be ended once everything was written.
    fn ends_stream(&self) -> bool;

    /// Whether the end is being waited for, with nobody to do anything more.
    fn is_closing(&self) -> bool;

    /// Gives the session up.
    fn abort(&mut self, now: Instant);

    /// Writes the front of `data` to the stream of this index, and tells how much.
    ///
    /// # Errors
    /// As the machine's own methods.
    fn write(&mut self, index: usize, data: &[u8]) -> Result<usize, WriteError>;

    /// Writes all of `data`, without a copy where none is needed. What was written is taken off its front: a write that was blocked goes on
    /// from there.
    ///
    /// # Errors
    /// As the machine's own methods.
    fn write_bytes(&mut self, index: usize, data: &mut Bytes) -> Result<(), WriteError>;

    /// Breaks the stream of this index off, if it can end before the others do.
    fn reset(&mut self, _index: usize) {}

    /// The connection of this index is not to be had, and this is why.
    fn refuse(&mut self, _index: usize, _why: &str) {}

    /// Nobody writes that stream any more.
    fn writer_dropped(&mut self, index: usize);

    /// How reading a stream ends when the session ended like this.
    ///
    /// # Errors
    /// Not as a stream does that is whole.
    fn read_end(&self, index: usize, ended: &Self::Ended) -> io::Result<()>;

    /// What may be told to anybody of how it ended.
    fn end_kind(ended: &Self::Ended) -> EndKind;
}

/// What the two ends of exec and attach have in common.
macro_rules! session {
    ($sorted:ident) => {
        #[inline]
        fn poll(&mut self) -> Option<Sorted<Self::Ended>> {
            self.poll_event().map($sorted)
        }

        #[inline]
        fn is_idle(&self) -> bool {
            self.is_idle()
        }

        #[inline]
        fn next(&mut self, now: Instant, input: &mut BytesMut) -> Result<Option<Sorted<Self::Ended>>, Error> {
            Ok(self.next_event(now, input)?.map($sorted))
        }

        fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), Error> {
            self.handle_input(now, input)
        }

        fn handle_eof(&mut self) {
            self.handle_eof();
        }

        fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
            self.handle_timeout(now)
        }

        fn poll_timeout(&self) -> Option<Instant> {
            self.poll_timeout()
        }

        #[inline]
        fn transmit(&mut self) -> &mut Transmit {
            self.transmit().expect("the driver only makes sessions over bytes, which have one")
        }

        fn set_reading(&mut self, now: Instant, reading: Reading) {
            self.set_reading(now, reading);
        }

        fn abort(&mut self, now: Instant) {
            self.abort(now);
        }
    };
}

impl Machine for ClientSession {
    type Ended = Outcome;

    session!(sort_client);

    /// A client leaves it to the server to end the stream.
    fn ends_stream(&self) -> bool {
        false
    }

    fn is_closing(&self) -> bool {
        self.is_closing()
    }

    #[inline]
    fn write(&mut self, _index: usize, data: &[u8]) -> Result<usize, WriteError> {
        self.write_stdin(data)
    }

    fn write_bytes(&mut self, _index: usize, data: &mut Bytes) -> Result<(), WriteError> {
        // A client masks, and so copies, whatever it is given.
        while !data.is_empty() {
            let taken = self.write_stdin(data)?;
            data.advance(taken);
        }
        Ok(())
    }

    fn writer_dropped(&mut self, _index: usize) {
        // Over WebSocket before v5 there is nothing to be done about it, and nobody is left to be told.
        let _ = self.close_stdin();
    }

    /// A reader of stdout must not take a cut for an end (EXE-15). Only the v1 forms end without a status when all went well (EXE-16).
    fn read_end(&self, _index: usize, outcome: &Outcome) -> io::Result<()> {
        match outcome {
            Outcome::EndedWithoutStatus(Some(CloseReason { code: Some(1000), .. }))
                if !self.subprotocol().has_exit_code() => {}
            Outcome::EndedWithoutStatus(_) => {
                let what = "the session ended without a status";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
            }
            _ => {}
        }
        Ok(())
    }

    fn end_kind(outcome: &Outcome) -> EndKind {
        EndKind::of_outcome(outcome)
    }
}

impl Machine for ServerSession {
    type Ended = Option<CloseReason>;

    session!(sort_server);

    /// A server ends the stream behind its close frame or GOAWAY.
    fn ends_stream(&self) -> bool {
        self.is_closing()
    }

    /// From the status on: over SPDY the GOAWAY comes only when all output is on its way.
    fn is_closing(&self) -> bool {
        self.is_concluded()
    }

    #[inline]
    fn write(&mut self, index: usize, data: &[u8]) -> Result<usize, WriteError> {
        self.write_output(output(index), data)
    }

    fn write_bytes(&mut self, index: usize, data: &mut Bytes) -> Result<(), WriteError> {
        self.write_output_bytes(output(index), data)
    }

    fn writer_dropped(&mut self, _index: usize) {}

    /// For a command's stdin, the end of the connection is the end of input.
    fn read_end(&self, _index: usize, _close: &Option<CloseReason>) -> io::Result<()> {
        Ok(())
    }

    fn end_kind(close: &Option<CloseReason>) -> EndKind {
        EndKind::of_close(close.as_ref())
    }
}

#[inline]
fn sort_client(event: ClientEvent) -> Sorted<Outcome> {
    match event {
        ClientEvent::Output(output, data) => Sorted::Data(index(output), data),
        ClientEvent::OutputClosed(output) => Sorted::DataEnd(index(output)),
        ClientEvent::Writable => Sorted::Room,
        ClientEvent::Ended(outcome) => Sorted::End(outcome),
        _ => Sorted::Nothing,
    }
}

#[inline]
fn sort_server(event: ServerEvent) -> Sorted<Option<CloseReason>> {
    match event {
        ServerEvent::Stdin(data) => Sorted::Data(0, data),
        ServerEvent::StdinClosed => Sorted::DataEnd(0),
        ServerEvent::Resize(size) => Sorted::Size(size),
        ServerEvent::Writable => Sorted::Room,
        ServerEvent::Ended(close) => Sorted::End(close),
        _ => Sorted::Nothing,
    }
}

/// The index of an output among the readers of a client and the writers of a server.
pub(crate) fn index(output: Output) -> usize {
    match output {
        Output::Stdout => 0,
        Output::Stderr => 1,
    }
}

fn output(index: usize) -> Output {
    if index == 0 { Output::Stdout } else { Output::Stderr }
}
