//! Streams of the world of futures-io.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use ::futures_io::{AsyncRead, AsyncWrite};
use bytes::BytesMut;

use crate::{
    pages::{PAGE, distance},
    runtime::Transport,
};

/// Any stream that speaks futures-io, for sessions on a connection that somebody else opened or upgraded. Our side of the stream is ended by its
/// `poll_close`.
#[derive(Debug)]
pub struct Io<T>(pub T);

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for Io<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        read_by_copy(buf, |scratch| Pin::new(&mut self.0).poll_read(cx, scratch))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        write_slices(&mut self.0, cx, slices)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// The most that one read brings.
const MOST: usize = 64 << 10;

thread_local! {
    /// Where this thread reads to. Zeroed once, and shared by all its streams, so that an idle one holds nothing.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads for a `buf` whose spare capacity cannot be handed out, since `read` wants memory that is initialised.
///
/// Zeroing the capacity for each read would be the alternative without a copy, but the driver offers 64 KiB when a few hundred bytes come. A copy costs what
/// came, and no more.
pub(crate) fn read_by_copy(
    buf: &mut BytesMut,
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    // Taken out meanwhile: a `read` that itself comes here gets another.
    let mut scratch = BUFFER.take();
    if scratch.is_empty() {
        scratch = vec![0; MOST + PAGE];
    }
    let room = (buf.capacity() - buf.len()).min(MOST);
    // In step with the place that was chosen for the kernel, and far from it within the page.
    let skipped = distance(scratch.as_ptr(), buf.as_ptr().addr() + buf.len() + PAGE / 2);
    let scratch_room = &mut scratch[skipped..skipped + room];
    let read = read(scratch_room);
    if let Poll::Ready(Ok(count)) = read {
        buf.extend_from_slice(&scratch_room[..count]);
    }
    BUFFER.set(scratch);
    read
}

pub(crate) fn write_slices(
    stream: &mut (impl AsyncWrite + Unpin),
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    match slices {
        // Cheaper than a vectored write of one.
        [slice] => Pin::new(stream).poll_write(cx, slice),
        slices => Pin::new(stream).poll_write_vectored(cx, slices),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_to_keeps_step_and_is_far_from_where_it_is_copied_to() {
        for held in (0..PAGE).step_by(509) {
            let mut buf = BytesMut::with_capacity(MOST + 2 * PAGE);
            buf.resize(held, 1);
            let copied_to = buf.as_ptr().addr() + held;
            let read = read_by_copy(&mut buf, |scratch| {
                assert_eq!(scratch.len(), MOST);
                assert_eq!(distance(scratch.as_ptr(), copied_to), PAGE / 2);
                scratch.fill(2);
                Poll::Ready(Ok(scratch.len()))
            });
            assert!(matches!(read, Poll::Ready(Ok(MOST))));
            assert!(buf[..held].iter().all(|byte| *byte == 1) && buf[held..].iter().all(|byte| *byte == 2));
        }
    }
}
