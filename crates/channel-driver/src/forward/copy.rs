//! Bytes between a TCP connection of ours and a forwarded one.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};

use super::Connection;
use crate::{
    read_buffer::ReadBuffer,
    runtime::{Runtime, Timer, Transport},
    socket::SLICES,
    state::READS_AT_ONCE,
};

/// Room for one read of a local connection, when much comes: all that a socket of Linux holds as it comes, which is 93 KiB; and less than the
/// 128 KiB from which on glibc asks the system for each buffer anew.
const LARGE_READ: usize = 96 << 10;

/// What one write to a local connection is given, if it is there.
const WRITE: usize = 96 << 10;

/// How long a local program may go on sending what nobody takes any more, once it has been sent everything. A socket that is closed with
/// something unread in it is reset, and the program may lose what it has yet to read.
const LINGER: Duration = Duration::from_secs(5);

/// How long a local program has to read what was sent before the connection is reset, which drops what it has not read. No more: it does
/// not hear of the failure before.
const READ_TIME: Duration = Duration::from_secs(1);

/// How long nothing may come behind the local program's end where it cannot be passed on. Perhaps the program waits for an answer; more
/// likely it is gone.
const QUIET: Duration = Duration::from_secs(5);

/// Carries both directions to their ends, each with its half-close.
///
/// A direction whose receiver takes no more ends alone: what was sent the other way still arrives (a server that refuses an upload answers
/// before it closes). A connection that is broken off at one end is broken off at the other, behind what came before: nobody must take that
/// for an end.
pub(super) async fn copy<R: Runtime<Timer: Unpin>>(local: R::Stream, remote: Connection) -> io::Result<()> {
    let mut copying = Copying::<R> {
        local,
        remote,
        up: Way::Open(Up { buffer: ReadBuffer::new(BytesMut::new(), LARGE_READ), data: Bytes::new() }),
        down: Way::Open(Down::new()),
        wrote: false,
        refused: None,
        until: None,
        timer: R::timer(),
        ends: Ends::Cut,
    };
    match poll_fn(|cx| copying.poll(cx)).await {
        Ok(()) => {
            copying.ends = Ends::Told;
            copying.refused.take().map_or(Ok(()), Err)
        }
        Err(Broken::Local(error)) => Err(error),
        Err(Broken::Remote(error)) => {
            if copying.wrote {
                copying.let_local_read().await;
            }
            Err(error)
        }
    }
}

struct Copying<R: Runtime> {
    local: R::Stream,
    remote: Connection,
    up: Way<Up>,
    down: Way<Down>,
    /// Whether the local program was sent anything.
    wrote: bool,
    /// Why a direction ended before all of it was taken.
    refused: Option<io::Error>,
    /// When it ends, if nothing else ends it.
    until: Option<Instant>,
    timer: R::Timer,
    ends: Ends,
}

/// What both ends were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Told,
    /// Nothing yet: if it stops here, they are broken off.
    Cut,
}

impl<R: Runtime> Drop for Copying<R> {
    fn drop(&mut self) {
        if self.ends == Ends::Cut {
            R::break_off(&self.local);
            self.remote.break_off();
        }
    }
}

/// One direction, and how far it came.
enum Way<B> {
    /// What was taken and not yet given on.
    Open(B),
    /// Its end is being passed on.
    Ending,
    Done,
    /// Its receiver takes no more: what comes is dropped, so that its sender is not held up.
    Refused,
    /// It ended, and its receiver cannot be told.
    Untold,
}

/// From the local connection.
struct Up {
    buffer: ReadBuffer,
    /// What was read, and not yet written.
    data: Bytes,
}

/// To the local connection.
type Down = VecDeque<Bytes>;

/// Which end broke off.
enum Broken {
    Local(io::Error),
    Remote(io::Error),
}

impl<R: Runtime<Timer: Unpin>> Copying<R> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.poll_up(cx)?;
        self.poll_down(cx)?;
        match (&self.up, &self.down) {
            (Way::Done, Way::Done) | (Way::Done | Way::Untold, Way::Refused) => return Poll::Ready(Ok(())),
            (Way::Untold, Way::Done) => {
                // The pod ended by itself: it did not have to be told.
                self.refused = None;
                return Poll::Ready(Ok(()));
            }
            (Way::Refused, Way::Done) => {
                self.until.get_or_insert_with(|| R::now() + LINGER);
            }
            (Way::Refused, Way::Refused) => {
                let error = self.refused.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
                return Poll::Ready(Err(Broken::Local(error)));
            }
            _ => {}
        }
        match self.until {
            Some(until) => self.timer.poll_until(cx, until).map(Ok),
            None => Poll::Pending,
        }
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        loop {
            match &mut self.up {
                Way::Open(up) if up.data.is_empty() => match up.poll_read(cx, &mut self.local) {
                    Poll::Ready(Ok(0)) => match self.take_reset() {
                        Some(error) => return Err(Broken::Local(error)),
                        None => self.up = Way::Ending,
                    },
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => return Err(Broken::Local(error)),
                    Poll::Pending => return Ok(()),
                },
                // Not copied: what goes out is masked, and that is a copy already.
                Way::Open(up) => match self.remote.poll_write_bytes(cx, &mut up.data) {
                    Poll::Ready(Ok(())) => up.data = Bytes::new(),
                    Poll::Ready(Err(error)) => {
                        self.refused = Some(error);
                        self.up = Way::Refused;
                    }
                    Poll::Pending => return Ok(()),
                },
                Way::Ending => match self.remote.finish() {
                    Ok(()) => self.up = Way::Done,
                    Err(error) => {
                        self.refused = Some(error);
                        self.until = Some(R::now() + QUIET);
                        self.up = Way::Untold;
                    }
                },
                Way::Refused => match drop_all(cx, &mut self.local) {
                    Poll::Ready(Ok(())) => self.up = Way::Done,
                    Poll::Ready(Err(error)) => return Err(Broken::Local(error)),
                    Poll::Pending => return Ok(()),
                },
                Way::Done | Way::Untold => return Ok(()),
            }
        }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        loop {
            match &mut self.down {
                Way::Open(chunks) if chunks.is_empty() => match self.remote.poll_chunks(cx, chunks, WRITE) {
                    Poll::Ready(Ok(())) if chunks.is_empty() => self.down = Way::Ending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Err(Broken::Remote(error)),
                    Poll::Pending => return Ok(()),
                },
                Way::Open(chunks) => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let used = slices
                        .iter_mut()
                        .zip(&*chunks)
                        .map(|(slice, chunk)| *slice = IoSlice::new(chunk))
                        .count();
                    match self.local.poll_write(cx, &slices[..used]) {
                        Poll::Ready(Ok(count)) if count > 0 => {
                            advance(chunks, count);
                            self.wrote = true;
                            if matches!(self.up, Way::Untold) {
                                self.until = Some(R::now() + QUIET);
                            }
                        }
                        Poll::Ready(written) => {
                            self.refused =
                                Some(written.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
                            self.down = Way::Refused;
                        }
                        Poll::Pending => return Ok(()),
                    }
                }
                Way::Ending => match self.local.poll_shutdown(cx) {
                    Poll::Ready(_) => self.down = Way::Done,
                    Poll::Pending => return Ok(()),
                },
                Way::Refused => {
                    let mut dropped = Down::new();
                    match self.remote.poll_chunks(cx, &mut dropped, WRITE) {
                        Poll::Ready(Ok(())) if dropped.is_empty() => self.down = Way::Done,
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Err(Broken::Remote(error)),
                        Poll::Pending => return Ok(()),
                    }
                }
                Way::Done | Way::Untold => return Ok(()),
            }
        }
    }

    /// That the local connection was reset, if a write was told so: then no read is told again, and what was sent before ends as if well.
    fn take_reset(&mut self) -> Option<io::Error> {
        let reset = |error: &mut io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        if matches!(self.down, Way::Refused) { self.refused.take_if(reset) } else { None }
    }

    /// Gives the local program time to read what it was sent, unless it leaves before.
    async fn let_local_read(&mut self) {
        let until = R::now() + READ_TIME;
        poll_fn(|cx| match drop_all(cx, &mut self.local) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.timer.poll_until(cx, until),
        })
        .await;
    }
}

impl Up {
    fn poll_read(&mut self, cx: &mut Context<'_>, local: &mut impl Transport) -> Poll<io::Result<usize>> {
        let read = self.buffer.poll_read(cx, local);
        match read {
            Poll::Ready(_) => self.data = self.buffer.bytes().split().freeze(),
            // Whoever has nothing to say needs no room.
            Poll::Pending => self.buffer.release(),
        }
        read
    }
}

/// Reads to the end, for nobody.
fn drop_all(cx: &mut Context<'_>, local: &mut impl Transport) -> Poll<io::Result<()>> {
    let mut buffer = BytesMut::with_capacity(LARGE_READ);
    for _ in 0..READS_AT_ONCE {
        buffer.clear();
        if std::task::ready!(local.poll_read(cx, &mut buffer))? == 0 {
            return Poll::Ready(Ok(()));
        }
    }
    // One that sends without end must not keep this task from its neighbours.
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Takes what was written off the front.
fn advance(chunks: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(front) = chunks.front_mut() {
        if count < front.len() {
            return front.advance(count);
        }
        count -= front.len();
        chunks.pop_front();
    }
}
