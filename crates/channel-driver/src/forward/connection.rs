//! One forwarded connection.

use std::{
    fmt, io,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes};
use channel_proto::forward::{ConnectionId, Forward as Machine, ForwardError};

use crate::{
    halves::{Handle, Reader, Writer},
    shared::Shared,
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

    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        self.place.handle.shared.poll_chunk(cx, self.place.id.index())
    }

    /// Sends the front of `data`, and tells how much.
    ///
    /// # Errors
    /// As [`poll_read`](Self::poll_read), and when our half was ended.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.writer.poll_write(cx, data)
    }

    /// Waits until all that was written was given to the socket.
    ///
    /// # Errors
    /// As [`poll_write`](Self::poll_write).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(cx)
    }

    /// Breaks the connection off: what was not sent yet is dropped, and the other end is told of a reset. The others go on.
    pub fn reset(self) {
        let id = self.place.id;
        self.place.handle.shared.command(|machine, _| machine.reset(id));
    }

    /// Ends our half: the other end reads the end of the stream, and may still answer.
    ///
    /// # Errors
    /// As [`poll_write`](Self::poll_write).
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let id = self.place.id;
        match self.place.handle.shared.command(|machine, _| machine.finish(id)) {
            Err(error @ ForwardError::NoHalfClose) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::Unsupported, error)))
            }
            // What is over is told by flushing, or needs no end.
            _ => self.writer.poll_flush(cx),
        }
    }
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
