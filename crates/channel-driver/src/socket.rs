//! The byte stream under a session, and how far each of its directions came.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, BytesMut};

use crate::{interest::Interest, machine::Machine, read_buffer::ReadBuffer, runtime::Transport};

/// The room of one read, when much comes.
const LARGE_READ: usize = 64 << 10;

/// How much is read ahead of a machine that takes nothing.
const MOST_INPUT: usize = 2 * LARGE_READ;

/// How many slices one write is given.
pub(crate) const SLICES: usize = 16;

/// A socket, and what was read of it and not yet taken.
pub(crate) struct Socket {
    /// `None` once the connection is over and the last byte was written.
    transport: Option<Box<dyn Transport>>,
    interest: Arc<Interest>,
    readable: Waker,
    writable: Waker,
    input: ReadBuffer,
    input_end: InputEnd,
    output_end: OutputEnd,
}

/// How far the peer's byte stream came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InputEnd {
    Open,
    /// It ended, and the session has yet to be told, after what came before.
    Reached,
    Told,
}

/// How far our byte stream came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputEnd {
    Open,
    /// The peer takes no more. What it sent before may still be read.
    Broken,
    /// We ended it.
    Shut,
}

impl Socket {
    /// `input` was read already.
    pub(crate) fn new(transport: Box<dyn Transport>, input: BytesMut, interest: &Arc<Interest>) -> Self {
        let (readable, writable) = interest.io_wakers();
        Self {
            transport: Some(transport),
            interest: interest.clone(),
            readable,
            writable,
            input: ReadBuffer::new(input, LARGE_READ),
            input_end: InputEnd::Open,
            output_end: OutputEnd::Open,
        }
    }

    /// What was read and not taken.
    pub(crate) fn input(&mut self) -> &mut BytesMut {
        self.input.bytes()
    }

    /// Whether there is something to tell the session: bytes, or their end.
    pub(crate) fn has_news(&self) -> bool {
        !self.input.is_empty() || self.input_end == InputEnd::Reached
    }

    /// Whether the peer's byte stream ended and the session was not told; it is now.
    pub(crate) fn take_end(&mut self) -> bool {
        let reached = self.input_end == InputEnd::Reached;
        if reached {
            self.input_end = InputEnd::Told;
        }
        reached
    }

    /// Reads once. Pending also when there is no point in reading: somebody must take what came first, or nothing comes any more.
    pub(crate) fn fill(&mut self) -> Poll<io::Result<()>> {
        if self.input_end != InputEnd::Open || self.interest.is_socket_watched() {
            return Poll::Pending;
        }
        // A machine that takes nothing until its answers were written leaves all of this here. No frame has to be there whole that is longer.
        if self.input.len() >= MOST_INPUT {
            return Poll::Pending;
        }
        let Some(transport) = &mut self.transport else { return Poll::Pending };
        self.interest.watch_socket();
        let read = self.input.poll_read(&mut Context::from_waker(&self.readable), transport);
        if read.is_ready() {
            self.interest.unwatch_socket();
        }
        match read {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => self.input_end = InputEnd::Reached,
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) if is_cut(&error) => self.input_end = InputEnd::Reached,
            Poll::Ready(Err(error)) => {
                self.input_end = InputEnd::Told;
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what the machine has to say, and has the stream send it on.
    pub(crate) fn flush(&mut self, machine: &mut impl Machine) -> Poll<()> {
        let Some(transport) = &mut self.transport else { return Poll::Ready(()) };
        let mut cx = Context::from_waker(&self.writable);
        let mut wrote = false;
        loop {
            let transmit = machine.transmit();
            if self.output_end != OutputEnd::Open {
                transmit.advance(transmit.len());
            }
            if transmit.is_empty() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = transmit.chunks_vectored(&mut slices);
            match transport.poll_write(&mut cx, &slices[..used]) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(count)) if count > 0 => {
                    transmit.advance(count);
                    wrote = true;
                }
                // The peer may have sent its status before it stopped reading: only our side is over.
                Poll::Ready(_) => self.output_end = OutputEnd::Broken,
            }
        }
        if wrote {
            self.interest.wake_writers();
        }
        match transport.poll_flush(&mut cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => self.output_end = OutputEnd::Broken,
        }
        Poll::Ready(())
    }

    /// Ends our side of the stream.
    pub(crate) fn shut(&mut self) -> Poll<()> {
        let Some(transport) = &mut self.transport else { return Poll::Ready(()) };
        if self.output_end == OutputEnd::Open {
            match transport.poll_shutdown(&mut Context::from_waker(&self.writable)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(_) => self.output_end = OutputEnd::Shut,
            }
        }
        Poll::Ready(())
    }

    /// Drops the connection as it is, with what nobody took.
    pub(crate) fn close(&mut self) {
        self.transport = None;
        *self.input.bytes() = BytesMut::new();
        self.interest.wake_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.transport.is_none()
    }

    /// Whether the peer takes nothing any more, and not because we ended our side.
    pub(crate) fn is_broken(&self) -> bool {
        self.output_end == OutputEnd::Broken
    }

    /// Gives back the buffers that an idle session does not need.
    pub(crate) fn release(&mut self) {
        self.input.release();
        if let Some(transport) = &mut self.transport {
            transport.release();
        }
    }
}

/// Whether an error only says that the peer is gone: then the session ends as after an end of the stream, and says that no status came.
fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
