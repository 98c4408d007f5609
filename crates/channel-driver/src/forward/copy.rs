//! Bytes between a local connection and a forwarded one.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};

use super::Connection;
use crate::runtime::Transport;

/// Room for one read of a local connection.
const READ: usize = 64 << 10;

/// One direction: what was taken and not yet given on, and how far it came.
enum Way<B> {
    Open(B),
    /// Its end is being passed on.
    Ending,
    Done,
}

/// Carries both directions to their ends, each with its half-close. Ends early with the first error.
pub(super) async fn copy(local: &mut impl Transport, remote: &mut Connection) -> io::Result<()> {
    let (mut up, mut down) = (Way::Open(BytesMut::new()), Way::Open(Bytes::new()));
    poll_fn(|cx| {
        let up_done = poll_up(cx, &mut up, local, remote)?;
        let down_done = poll_down(cx, &mut down, local, remote)?;
        if up_done.is_ready() && down_done.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

fn poll_up(
    cx: &mut Context<'_>,
    way: &mut Way<BytesMut>,
    local: &mut impl Transport,
    remote: &mut Connection,
) -> io::Result<Poll<()>> {
    loop {
        match way {
            Way::Open(buffer) if buffer.is_empty() => {
                buffer.reserve(READ);
                match local.poll_read(cx, buffer)? {
                    Poll::Ready(0) => *way = Way::Ending,
                    Poll::Ready(_) => {}
                    Poll::Pending => return Ok(Poll::Pending),
                }
            }
            Way::Open(buffer) => match remote.poll_write(cx, buffer)? {
                Poll::Ready(count) => buffer.advance(count),
                Poll::Pending => return Ok(Poll::Pending),
            },
            Way::Ending => match remote.poll_close(cx)? {
                Poll::Ready(()) => *way = Way::Done,
                Poll::Pending => return Ok(Poll::Pending),
            },
            Way::Done => return Ok(Poll::Ready(())),
        }
    }
}

fn poll_down(
    cx: &mut Context<'_>,
    way: &mut Way<Bytes>,
    local: &mut impl Transport,
    remote: &mut Connection,
) -> io::Result<Poll<()>> {
    loop {
        match way {
            Way::Open(chunk) if chunk.is_empty() => match remote.poll_chunk(cx)? {
                Poll::Ready(next) if next.is_empty() => *way = Way::Ending,
                Poll::Ready(next) => *chunk = next,
                Poll::Pending => return Ok(Poll::Pending),
            },
            Way::Open(chunk) => match local.poll_write(cx, &[IoSlice::new(chunk)])? {
                Poll::Ready(count) => chunk.advance(count),
                Poll::Pending => return Ok(Poll::Pending),
            },
            Way::Ending => match local.poll_shutdown(cx)? {
                Poll::Ready(()) => *way = Way::Done,
                Poll::Pending => return Ok(Poll::Pending),
            },
            Way::Done => return Ok(Poll::Ready(())),
        }
    }
}
