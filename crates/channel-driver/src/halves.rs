//! The streams of a session, as the application holds them.

use std::{
    fmt, io,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes};
use channel_proto::{ClientSession, session::CloseStdinError};

use crate::{machine::Machine, shared::Shared};

/// Keeps a session alive: it is aborted when the last handle to it is dropped.
pub(crate) struct Handle<M: Machine> {
    pub(crate) shared: Arc<Shared<M>>,
}

impl<M: Machine> Handle<M> {
    pub(crate) fn new(shared: &Arc<Shared<M>>) -> Self {
        shared.lock().handles += 1;
        Self { shared: shared.clone() }
    }
}

impl<M: Machine> Drop for Handle<M> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.handles -= 1;
        if state.handles == 0 {
            state.interest.wake_background();
        }
    }
}

/// A stream that is read: stdout and stderr for a client, stdin for a server. What its runtime's `AsyncRead` calls is
/// [`poll_read`](Self::poll_read).
///
/// It ends with the stream. If the session is cut off before a status came, reading gives what arrived and then
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof): a cut is never taken for the end. For a server's stdin it is one: before v5 a client has no other. Dropping it drops what still comes.
pub struct Reader<M: Machine> {
    handle: Handle<M>,
    index: usize,
}

impl<M: Machine> Reader<M> {
    pub(crate) fn new(shared: &Arc<Shared<M>>, index: usize) -> Self {
        Self { handle: Handle::new(shared), index }
    }

    /// Copies what came to `sink`. Nothing is the end of the stream, if there was room.
    ///
    /// # Errors
    /// The session broke off; see [`Reader`].
    pub fn poll_read(&mut self, cx: &mut Context<'_>, sink: &mut impl BufMut) -> Poll<io::Result<usize>> {
        if !sink.has_remaining_mut() {
            return Poll::Ready(Ok(0));
        }
        self.handle.shared.poll_read(cx, self.index, sink)
    }

    /// The next piece of the stream, as it came and without a copy; `None` at its end.
    ///
    /// # Errors
    /// The session broke off; see [`Reader`].
    pub async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        let chunk = std::future::poll_fn(|cx| self.handle.shared.poll_chunk(cx, self.index)).await?;
        Ok(if chunk.is_empty() { None } else { Some(chunk) })
    }
}

impl<M: Machine> Drop for Reader<M> {
    fn drop(&mut self) {
        self.handle.shared.discard(self.index);
    }
}

impl<M: Machine> fmt::Debug for Reader<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("index", &self.index).finish_non_exhaustive()
    }
}

/// A stream that is written: stdin for a client; stdout and stderr for a server.
pub struct Writer<M: Machine> {
    handle: Handle<M>,
    index: usize,
}

impl<M: Machine> Writer<M> {
    pub(crate) fn new(shared: &Arc<Shared<M>>, index: usize) -> Self {
        Self { handle: Handle::new(shared), index }
    }

    /// Sends the front of `data`, and tells how much.
    ///
    /// # Errors
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the session is over or the stream was ended.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let index = self.index;
        self.handle.shared.poll_write(cx, index, |machine| machine.write(index, data))
    }

    /// Waits until all that was written was given to the socket.
    ///
    /// # Errors
    /// As [`poll_write`](Self::poll_write).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.handle.shared.poll_flush(cx, self.index)
    }

    /// Sends all of `data`; a server does so without a copy.
    ///
    /// # Errors
    /// As [`poll_write`](Self::poll_write).
    pub async fn write_bytes(&mut self, mut data: Bytes) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_write_bytes(cx, &mut data)).await
    }

    /// Sends all of `data`. What was sent is taken off its front.
    pub(crate) fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<io::Result<()>> {
        let index = self.index;
        self.handle.shared.poll_write(cx, index, |machine| machine.write_bytes(index, data))
    }
}

/// What to do when stdin is to end and the subprotocol cannot end it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndOfStdin {
    /// An error that says so.
    #[default]
    HalfCloseOnly,
    /// Close the whole connection: stdin ends, and so does everything else. The output that comes later is lost, and no status comes.
    LossyDisconnect,
}

impl Writer<ClientSession> {
    /// Ends stdin. The output goes on.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported), with a [`CloseStdinError`] inside, before v5; see [`EndOfStdin`].
    pub fn poll_close(&mut self, cx: &mut Context<'_>, how: EndOfStdin) -> Poll<io::Result<()>> {
        let closed = self.handle.shared.command(|session, now| match (session.close_stdin(), how) {
            (Err(CloseStdinError::Unsupported(_)), EndOfStdin::LossyDisconnect) => {
                session.disconnect(now);
                Ok(())
            }
            (closed, _) => closed,
        });
        match closed {
            Ok(()) => match self.poll_flush(cx) {
                // A command that ended before its stdin did is no failure to end it.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Poll::Ready(Ok(())),
                flushed => flushed,
            },
            Err(error) => Poll::Ready(Err(io::Error::new(io::ErrorKind::Unsupported, error))),
        }
    }
}

impl<M: Machine> Drop for Writer<M> {
    /// As with a pipe, dropping the writer ends the stream, where the subprotocol can.
    fn drop(&mut self) {
        self.handle.shared.writer_dropped(self.index);
    }
}

impl<M: Machine> fmt::Debug for Writer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("index", &self.index).finish_non_exhaustive()
    }
}
