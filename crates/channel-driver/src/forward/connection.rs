//! One forwarded connection.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes};
use channel_proto::{
    WriteError,
    forward::{ConnectionId, Forward as Machine, ForwardError},
};

use super::copy::copy;
use crate::{
    halves::{Handle, Reader, Writer},
    runtime::Runtime,
    shared::Shared,
    state::broken,
};

/// A connection to a port of a pod, or, for a server, to a client: a byte stream with a half-close each way, like a `TcpStream`.
///
/// When the pod says that the connection failed, that is the error of reads and writes, in its words. Dropping it sends what was written, and
/// breaks off what is still to be read.
pub struct Connection {
    reader: Reader<Machine>,
    writer: Writer<Machine>,
    // Dropped last: the halves end their streams first.
    place: Place,
    ours: Half,
}

/// Our half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Open,
    Ended,
}

/// The place that a connection has in its forward.
struct Place {
    handle: Handle<Machine>,
    id: ConnectionId,
}

impl Connection {
    pub(super) fn new(shared: &Arc<Shared<Machine>>, id: ConnectionId) -> Self {
        Self {
            reader: Reader::new(shared, id.index()),
            writer: Writer::new(shared, id.index()),
            place: Place { handle: Handle::new(shared), id },
            ours: Half::Open,
        }
    }

    /// Copies what came to `sink`. Nothing is the end of the stream, if there was room.
    ///
    /// # Errors
    /// The connection failed, or the forward broke off.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, sink: &mut impl BufMut) -> Poll<io::Result<usize>> {
        self.reader.poll_read(cx, sink)
    }

    /// The next piece of what came, without a copy; `None` at the end.
    ///
    /// # Errors
    /// As [`poll_read`](Self::poll_read).
    pub async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        self.reader.chunk().await
    }

    /// The next pieces of what came, behind those that are in `chunks` already, as far as they are there and until there are `enough` bytes; none
    /// at the end.
    pub(super) fn poll_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut VecDeque<Bytes>,
        enough: usize,
    ) -> Poll<io::Result<()>> {
        self.place.handle.shared.poll_chunks(cx, self.place.id.index(), chunks, enough)
    }

    /// Sends the front of `data`, and tells how much.
    ///
    /// # Errors
    /// As [`poll_read`](Self::poll_read), and when our half was ended.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.writer.poll_write(cx, data)
    }

    /// Sends all of `data`, without a copy where none is needed.
    pub(super) fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<io::Result<()>> {
        self.writer.poll_write_bytes(cx, data)
    }

    /// Waits until all that was written was given to the socket.
    ///
    /// # Errors
    /// As [`poll_write`](Self::poll_write).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(cx)
    }

    /// Waits until the other end has accepted the connection.
    pub(super) async fn accepted(&self) -> io::Result<()> {
        let (shared, id) = (&self.place.handle.shared, self.place.id);
        poll_fn(|cx| shared.poll_until(cx, id.index(), |machine| machine.await_accept(id))).await
    }

    /// Ends our half, without waiting until that was given to the socket.
    pub(super) fn finish(&self) -> io::Result<()> {
        let id = self.place.id;
        match self.place.handle.shared.defer(|machine| machine.finish(id)) {
            Err(ForwardError::NoHalfClose) => Err(no_half_close()),
            // One that is over needs no end, and says so elsewhere.
            _ => Ok(()),
        }
    }

    /// Breaks the connection off: what was not sent yet is dropped, and the other end is told of a reset. The others go on.
    pub fn reset(self) {
        let id = self.place.id;
        self.place.handle.shared.command(|machine, _| machine.reset(id));
    }

    /// Breaks the connection off behind what was written. The others go on.
    pub(super) fn break_off(&self) {
        let id = self.place.id;
        self.place.handle.shared.command(|machine, _| machine.break_off(id));
    }

    /// Tells the other end that the connection failed, and why.
    pub(super) fn fail(self, why: &str) {
        let id = self.place.id;
        self.place.handle.shared.command(|machine, _| machine.fail_connection(id, why));
    }

    /// Carries bytes between this and a TCP connection, in both directions and until both have ended, each with its half-close.
    ///
    /// A direction whose receiver takes no more ends alone, and the other goes on. An end that breaks off breaks off the other, behind what came
    /// before: no program takes that for the end. Dropping the future breaks off both.
    ///
    /// # Errors
    /// One end broke off, or took not all of what came.
    pub async fn carry<R: Runtime<Timer: Unpin>>(self, stream: R::Stream) -> io::Result<()> {
        copy::<R>(stream, self).await
    }

    /// Ends our half: the other end reads the end of the stream, and may still answer.
    ///
    /// # Errors
    /// As [`poll_write`](Self::poll_write).
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let id = self.place.id;
        if self.ours == Half::Open {
            match self.place.handle.shared.command(|machine, _| machine.finish(id)) {
                Ok(()) => self.ours = Half::Ended,
                Err(ForwardError::NoHalfClose) => return Poll::Ready(Err(no_half_close())),
                // The end of our half did not leave, whatever else did.
                Err(_) => {
                    self.place.handle.shared.check_writable(id.index())?;
                    return Poll::Ready(Err(broken(WriteError::Ended)));
                }
            }
        }
        self.writer.poll_flush(cx)
    }
}

fn no_half_close() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, ForwardError::NoHalfClose)
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handle.shared.forget(self.id.index(), |machine| machine.forget(self.id));
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.place.id).finish_non_exhaustive()
    }
}
