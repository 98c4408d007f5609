//! The two ends of a session as the driver sees them: streams that are read, streams that are written, and an end.

use bytes::Bytes;
use channel_proto::{
    ClientEvent, CloseReason, Outcome, Output, ServerEvent, TerminalSize, WriteError,
    session::{self, Client, Server, Session},
};

/// What an event means to the driver.
#[derive(Debug)]
pub enum Sorted<E> {
    /// Data for the reader of this index.
    Data(usize, Bytes),
    /// No more data for that reader.
    DataEnd(usize),
    /// The terminal's new size.
    Size(TerminalSize),
    /// The session is over.
    End(E),
    /// Nothing that needs doing.
    Nothing,
}

/// One end of a session: [`Client`] or [`Server`].
pub trait Side: session::Side + Send + Sized + 'static {
    /// What the end of a session says on this side.
    type Ended: Clone + Send + 'static;

    /// Takes the next event.
    fn poll(session: &mut Session<Self>) -> Option<Sorted<Self::Ended>>;

    /// Writes to the stream of this index: stdin for a client; stdout, stderr for a server.
    ///
    /// # Errors
    /// As the session's own methods.
    fn write(session: &mut Session<Self>, index: usize, data: &[u8]) -> Result<usize, WriteError>;

    /// Like [`write`](Self::write), whole and without a copy where none is needed.
    ///
    /// # Errors
    /// As the session's own methods.
    fn write_bytes(session: &mut Session<Self>, index: usize, data: &Bytes) -> Result<(), WriteError>;

    /// Nobody writes any more.
    fn writer_dropped(session: &mut Session<Self>);

    /// Whether an end like this one came before all data did.
    fn is_cut(session: &Session<Self>, ended: &Self::Ended) -> bool;
}

impl Side for Client {
    type Ended = Outcome;

    #[inline]
    fn poll(session: &mut Session<Self>) -> Option<Sorted<Outcome>> {
        Some(match session.poll_event()? {
            ClientEvent::Output(output, data) => Sorted::Data(index(output), data),
            ClientEvent::OutputClosed(output) => Sorted::DataEnd(index(output)),
            ClientEvent::Ended(outcome) => Sorted::End(outcome),
            _ => Sorted::Nothing,
        })
    }

    #[inline]
    fn write(session: &mut Session<Self>, _index: usize, data: &[u8]) -> Result<usize, WriteError> {
        session.write_stdin(data)
    }

    fn write_bytes(session: &mut Session<Self>, _index: usize, data: &Bytes) -> Result<(), WriteError> {
        // A client masks, and so copies, whatever it is given.
        let mut rest = &data[..];
        while !rest.is_empty() {
            let taken = session.write_stdin(rest)?;
            rest = &rest[taken..];
        }
        Ok(())
    }

    fn writer_dropped(session: &mut Session<Self>) {
        // Before v5 there is nothing to be done about it, and nobody is left to be told.
        let _ = session.close_stdin();
    }

    /// A reader of stdout must not take a cut for an end (EXE-15). Only the v1 forms end without a status when all went well (EXE-16).
    fn is_cut(session: &Session<Self>, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::EndedWithoutStatus(Some(close)) => {
                session.subprotocol().has_exit_code() || close.code != Some(1000)
            }
            Outcome::EndedWithoutStatus(None) => true,
            _ => false,
        }
    }
}

impl Side for Server {
    type Ended = Option<CloseReason>;

    #[inline]
    fn poll(session: &mut Session<Self>) -> Option<Sorted<Option<CloseReason>>> {
        Some(match session.poll_event()? {
            ServerEvent::Stdin(data) => Sorted::Data(0, data),
            ServerEvent::StdinClosed => Sorted::DataEnd(0),
            ServerEvent::Resize(size) => Sorted::Size(size),
            ServerEvent::Ended(close) => Sorted::End(close),
            _ => Sorted::Nothing,
        })
    }

    #[inline]
    fn write(session: &mut Session<Self>, index: usize, data: &[u8]) -> Result<usize, WriteError> {
        session.write_output(output(index), data)
    }

    fn write_bytes(session: &mut Session<Self>, index: usize, data: &Bytes) -> Result<(), WriteError> {
        session.write_output_bytes(output(index), data)
    }

    fn writer_dropped(_session: &mut Session<Self>) {}

    /// For a command's stdin, the end of the connection is the end of input.
    fn is_cut(_session: &Session<Self>, _close: &Option<CloseReason>) -> bool {
        false
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
