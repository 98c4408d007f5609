//! Bytes between a local connection and a forwarded one.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};

use super::Connection;
use crate::{runtime::Transport, state::SLICES};

/// Room for one read of a local connection: little until a read fills it, so that a quiet connection stays small. Then all that a socket of
/// Linux holds as it comes, which is 93 KiB; and less than the 128 KiB from which on glibc asks the system for each buffer anew.
const SMALL_READ: usize = 4 << 10;
const LARGE_READ: usize = 96 << 10;

/// What one write to a local connection is given, if it is there.
const WRITE: usize = 96 << 10;

/// One direction: what was taken and not yet given on, and how far it came.
enum Way<B> {
    Open(B),
    /// Its end is being passed on.
    Ending,
    Done,
}

/// From the local connection.
struct Up {
    buffer: BytesMut,
    size: usize,
    /// What was read into the buffer.
    data: Bytes,
}

/// To the local connection.
type Down = VecDeque<Bytes>;

/// Carries both directions to their ends, each with its half-close. Ends early with the first error.
pub(super) async fn copy(local: &mut impl Transport, remote: &mut Connection) -> io::Result<()> {
    let up = Up { buffer: BytesMut::new(), size: SMALL_READ, data: Bytes::new() };
    let (mut up, mut down) = (Way::Open(up), Way::Open(Down::new()));
    poll_fn(|cx| {
        let up_done = poll_up(cx, &mut up, local, remote)?;
        let down_done = poll_down(cx, &mut down, local, remote)?;
        if up_done.is_ready() && down_done.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

fn poll_up(
    cx: &mut Context<'_>,
    way: &mut Way<Up>,
    local: &mut impl Transport,
    remote: &mut Connection,
) -> io::Result<Poll<()>> {
    loop {
        match way {
            Way::Open(up) if up.data.is_empty() => match up.poll_read(cx, local)? {
                Poll::Ready(0) => *way = Way::Ending,
                Poll::Ready(_) => {}
                Poll::Pending => return Ok(Poll::Pending),
            },
            // Not copied: what goes out is masked, and that is a copy already.
            Way::Open(up) => match remote.poll_write_bytes(cx, &mut up.data)? {
                Poll::Ready(()) => up.data = Bytes::new(),
                Poll::Pending => return Ok(Poll::Pending),
            },
            Way::Ending => {
                remote.finish()?;
                *way = Way::Done;
            }
            Way::Done => return Ok(Poll::Ready(())),
        }
    }
}

impl Up {
    fn poll_read(&mut self, cx: &mut Context<'_>, local: &mut impl Transport) -> io::Result<Poll<usize>> {
        // In the same place as before, once all that was read there is written.
        self.buffer.reserve(self.size);
        let read = local.poll_read(cx, &mut self.buffer)?;
        match read {
            Poll::Ready(count) => {
                self.size = if count >= SMALL_READ { LARGE_READ } else { SMALL_READ };
                self.data = self.buffer.split().freeze();
            }
            // Whoever has nothing to say needs no room.
            Poll::Pending => self.buffer = BytesMut::new(),
        }
        Ok(read)
    }
}

fn poll_down(
    cx: &mut Context<'_>,
    way: &mut Way<Down>,
    local: &mut impl Transport,
    remote: &mut Connection,
) -> io::Result<Poll<()>> {
    loop {
        match way {
            Way::Open(chunks) if chunks.is_empty() => match remote.poll_chunks(cx, chunks, WRITE)? {
                Poll::Ready(()) if chunks.is_empty() => *way = Way::Ending,
                Poll::Ready(()) => {}
                Poll::Pending => return Ok(Poll::Pending),
            },
            Way::Open(chunks) => {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let used = slices
                    .iter_mut()
                    .zip(&*chunks)
                    .map(|(slice, chunk)| *slice = IoSlice::new(chunk))
                    .count();
                match local.poll_write(cx, &slices[..used])? {
                    Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(count) => advance(chunks, count),
                    Poll::Pending => return Ok(Poll::Pending),
                }
            }
            Way::Ending => match local.poll_shutdown(cx)? {
                Poll::Ready(()) => *way = Way::Done,
                Poll::Pending => return Ok(Poll::Pending),
            },
            Way::Done => return Ok(Poll::Ready(())),
        }
    }
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
