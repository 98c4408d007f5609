//! A read buffer that grows with what comes.

use std::{
    io,
    task::{Context, Poll},
};

use bytes::BytesMut;

use crate::runtime::Transport;

/// The room of a read until one fills it, so that whoever is quiet stays small.
const SMALL: usize = 4 << 10;

/// Where a stream is read into.
pub(crate) struct ReadBuffer {
    bytes: BytesMut,
    /// The room that the next read is given.
    size: usize,
    large: usize,
}

impl ReadBuffer {
    /// `bytes` were read already. A read is given room for `large` bytes once the one before filled what it had.
    pub(crate) fn new(bytes: BytesMut, large: usize) -> Self {
        Self { bytes, size: SMALL, large }
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
            self.bytes.reserve(self.size);
        }
        let spare = self.spare();
        let read = stream.poll_read(cx, &mut self.bytes);
        match &read {
            Poll::Ready(Ok(count)) => {
                self.size = if *count >= spare.min(SMALL) { self.large } else { SMALL };
            }
            Poll::Pending if self.bytes.capacity() > SMALL => self.release(),
            _ => {}
        }
        read
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
