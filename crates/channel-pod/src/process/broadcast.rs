//! One main process, many attached sessions: its output goes to all of them, and all may write to its input.
//!
//! The output lies in one ring per stream, which the process's output is read into and every session copies
//! out of. So the memory does not depend on the number of sessions, and none of them can slow down the
//! process or another session. The price is that a session that reads too slowly is overtaken: it gets
//! [`FellBehind`] and has to end, for output is never skipped silently.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::{fmt, future, io, mem};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Output, Stdin};

/// An output that has ended or whose process was stopped has no more to say; which of them it was, the exit
/// code tells.
#[derive(Debug)]
struct Ring {
    buffer: Box<[u8]>,
    /// Where the next byte goes.
    head: usize,
    /// How many bytes were written while somebody listened.
    written: u64,
    ended: bool,
    readers: usize,
    waiting: Wakers,
}

/// A ring of `capacity` bytes: the one side that fills it, and the other, from which readers are made.
pub(super) fn ring(capacity: usize) -> (Producer, Source) {
    let ring = Ring {
        // Memory is taken as it is written to: for an output that nobody attaches to, one read.
        buffer: vec![0; capacity.max(1)].into_boxed_slice(),
        head: 0,
        written: 0,
        ended: false,
        readers: 0,
        waiting: Wakers::default(),
    };
    let ring = Arc::new(Mutex::new(ring));
    (Producer(Arc::clone(&ring)), Source(ring))
}

/// Fills a ring. Dropping it ends the output.
#[derive(Debug)]
pub(super) struct Producer(Arc<Mutex<Ring>>);

impl Producer {
    /// Moves an output into the ring until it ends.
    ///
    /// # Errors
    /// The output's.
    pub(super) async fn pump(self, mut output: Output) -> io::Result<()> {
        while future::poll_fn(|cx| self.poll_fill(cx, &mut output)).await? != 0 {}
        Ok(())
    }

    fn poll_fill(&self, cx: &mut Context<'_>, output: &mut Output) -> Poll<io::Result<usize>> {
        let mut ring = lock(&self.0);
        let count = ready!(ring.poll_fill(cx, output))?;
        let waiting = ring.waiting.take();
        drop(ring);
        waiting.wake();
        Poll::Ready(Ok(count))
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let mut ring = lock(&self.0);
        ring.ended = true;
        let waiting = ring.waiting.take();
        drop(ring);
        waiting.wake();
    }
}

impl Ring {
    fn poll_fill(&mut self, cx: &mut Context<'_>, output: &mut Output) -> Poll<io::Result<usize>> {
        let mut free = ReadBuf::new(&mut self.buffer[self.head..]);
        ready!(Pin::new(output).poll_read(cx, &mut free))?;
        let count = free.filled().len();
        // With nobody attached the same memory is written again and again.
        if self.readers > 0 {
            self.head = (self.head + count) % self.buffer.len();
            self.written += count as u64;
        }
        Poll::Ready(Ok(count))
    }

    /// The unread bytes of a reader at `position`, in up to two pieces.
    fn unread(&self, position: u64) -> Result<[&[u8]; 2], FellBehind> {
        let behind = self.written - position;
        match usize::try_from(behind) {
            Ok(behind) if behind <= self.head => Ok([&self.buffer[self.head - behind..self.head], &[]]),
            Ok(behind) if behind <= self.buffer.len() => {
                let start = self.buffer.len() - (behind - self.head);
                Ok([&self.buffer[start..], &self.buffer[..self.head]])
            }
            _ => Err(FellBehind { bytes: behind, limit: self.buffer.len() }),
        }
    }
}

/// Where the readers of a ring come from.
#[derive(Debug)]
pub(super) struct Source(Arc<Mutex<Ring>>);

impl Source {
    /// A reader of everything that comes from now on.
    pub(super) fn reader(&self) -> Reader {
        let mut ring = lock(&self.0);
        ring.readers += 1;
        Reader { id: ring.waiting.new_id(), position: ring.written, ring: Arc::clone(&self.0) }
    }
}

/// One session's place in a ring.
#[derive(Debug)]
pub(crate) struct Reader {
    id: u64,
    position: u64,
    ring: Arc<Mutex<Ring>>,
}

impl Reader {
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut ring = lock(&self.ring);
        if self.position == ring.written && !ring.ended {
            ring.waiting.add(self.id, cx.waker());
            return Poll::Pending;
        }
        for piece in ring.unread(self.position).map_err(io::Error::other)? {
            let (piece, _) = piece.split_at(piece.len().min(buffer.remaining()));
            buffer.put_slice(piece);
            self.position += piece.len() as u64;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut ring = lock(&self.ring);
        ring.readers -= 1;
        ring.waiting.remove(self.id);
    }
}

/// A session did not read an output as fast as the process wrote it, and the rest was overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FellBehind {
    /// How many bytes were unread.
    pub(crate) bytes: u64,
    /// How many may be.
    pub(crate) limit: usize,
}

impl fmt::Display for FellBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, limit } = self;
        write!(
            f,
            "fell {bytes} bytes behind the output of the container, more than the {limit} that are kept"
        )
    }
}

impl std::error::Error for FellBehind {}

/// A share in a main process's standard input. What several sessions write at a time is mixed in pieces as
/// they come.
#[derive(Debug)]
pub(crate) struct SharedStdin {
    id: u64,
    writer: Arc<SharedWriter>,
}

#[derive(Debug)]
struct SharedWriter {
    stdin: Mutex<Stdin>,
    waiting: Arc<WakeAll>,
}

impl SharedStdin {
    pub(super) fn new(stdin: Stdin) -> Self {
        let writer = SharedWriter { stdin: Mutex::new(stdin), waiting: Arc::default() };
        Self { id: 0, writer: Arc::new(writer) }
    }

    /// One more share.
    pub(super) fn share(&self) -> Self {
        Self { id: self.waiting().new_id(), writer: Arc::clone(&self.writer) }
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut stdin = lock(&self.writer.stdin);
        // A pipe remembers one waker, so it gets one that stands for all sessions. Ours is added first: the
        // pipe may become writable at any time after it was asked.
        self.waiting().add(self.id, cx.waker());
        let everyone = Waker::from(Arc::clone(&self.writer.waiting));
        let written = ready!(Pin::new(&mut *stdin).poll_write(&mut Context::from_waker(&everyone), data));
        self.waiting().remove(self.id);
        Poll::Ready(written)
    }

    fn waiting(&self) -> MutexGuard<'_, Wakers> {
        lock(&self.writer.waiting.0)
    }
}

impl Drop for SharedStdin {
    fn drop(&mut self) {
        self.waiting().remove(self.id);
    }
}

#[derive(Debug, Default)]
struct WakeAll(Mutex<Wakers>);

impl Wake for WakeAll {
    fn wake(self: Arc<Self>) {
        let waiting = lock(&self.0).take();
        waiting.wake();
    }
}

/// The tasks that wait for one thing, at most one for each id.
#[derive(Debug, Default)]
struct Wakers {
    last_id: u64,
    waiting: Vec<(u64, Waker)>,
}

impl Wakers {
    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn add(&mut self, id: u64, waker: &Waker) {
        match self.waiting.iter_mut().find(|(known, _)| *known == id) {
            Some((_, known)) => known.clone_from(waker),
            None => self.waiting.push((id, waker.clone())),
        }
    }

    fn remove(&mut self, id: u64) {
        self.waiting.retain(|(known, _)| *known != id);
    }

    /// Those to wake, which is to be done without holding a lock: it may run code of theirs.
    fn take(&mut self) -> Woken {
        Woken(mem::take(&mut self.waiting))
    }
}

#[must_use]
struct Woken(Vec<(u64, Waker)>);

impl Woken {
    fn wake(self) {
        self.0.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

/// A lock that goes on after a panic elsewhere: what it protects is changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
