//! A read buffer that grows with what comes.
//!
//! Where within a page the kernel copies from nobody else knows, but that place moves on with the stream. So the place that is read to moves on in step: then
//! it is never a [slow one](crate::pages), or, for one stream of 65, always.

use std::{
    io,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};

use crate::{
    pages::{PAGE, distance},
    runtime::Transport,
};

/// The room of a read until one fills it, so that whoever is quiet stays small.
const SMALL: usize = 4 << 10;

/// Where a stream is read into.
pub(crate) struct ReadBuffer {
    bytes: BytesMut,
    /// The room that the next read is given.
    size: usize,
    large: usize,
    /// Bytes that were read so far, within a page.
    position: usize,
}

impl ReadBuffer {
    /// `bytes` were read already. A read is given room for `large` bytes once the one before filled what it had.
    pub(crate) fn new(bytes: BytesMut, large: usize) -> Self {
        Self { bytes, size: SMALL, large, position: 0 }
    }

    /// What was read and not taken.
    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut impl Transport,
    ) -> Poll<io::Result<usize>> {
        if self.spare() < self.size / 2 {
            self.make_room();
        }
        let spare = self.spare();
        let read = stream.poll_read(cx, &mut self.bytes);
        match &read {
            Poll::Ready(Ok(count)) => {
                self.position = self.position.wrapping_add(*count) % PAGE;
                self.size = if *count >= spare.min(SMALL) { self.large } else { SMALL };
            }
            Poll::Pending if self.bytes.capacity() > SMALL => self.release(),
            _ => {}
        }
        read
    }

    fn make_room(&mut self) {
        if self.size <= SMALL {
            return self.bytes.reserve(self.size);
        }
        self.bytes.reserve(PAGE + self.size);
        if !self.bytes.is_empty() {
            // A frame's beginning is left, and it is seldom that.
            return;
        }
        let skipped = distance(self.bytes.as_ptr(), self.position);
        self.bytes.resize(skipped, 0);
        self.bytes.advance(skipped);
    }

    /// Gives the memory back, if nothing is in it.
    pub(crate) fn release(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }

    fn spare(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use std::{io::IoSlice, task::Waker};

    use super::*;

    /// Brings so much in each read, and tells where it was read to.
    struct Told {
        brings: Vec<usize>,
        places: Vec<usize>,
    }

    impl Transport for Told {
        fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
            self.places.push(buf.as_ptr().addr() + buf.len());
            let count = self.brings.pop().unwrap().min(buf.capacity() - buf.len());
            buf.resize(buf.len() + count, 7);
            Poll::Ready(Ok(count))
        }

        fn poll_write(&mut self, _: &mut Context<'_>, _: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[test]
    fn much_is_read_to_the_place_within_a_page_at_which_the_stream_is() {
        let brings = (1..100).map(|nth| nth * 997).collect();
        let mut stream = Told { brings, places: Vec::new() };
        let mut buffer = ReadBuffer::new(BytesMut::new(), 64 << 10);
        let (mut position, mut held) = (0, Vec::new());
        for nth in 0..90 {
            let Poll::Ready(Ok(count)) =
                buffer.poll_read(&mut Context::from_waker(Waker::noop()), &mut stream)
            else {
                panic!()
            };
            assert!(nth == 0 || stream.places[nth] % PAGE == position % PAGE, "the read {nth}");
            position += count;
            // Some of what was read is kept for a while, as slow readers do.
            held.push(buffer.bytes().split().freeze());
            held.truncate(nth % 3);
        }
        assert!(position > 2 << 20, "{position}");
    }
}
