//! Bytes on their way out.

use std::{collections::VecDeque, fmt, io::IoSlice};

use bytes::{Buf, Bytes};

/// What waits to be written to the peer: a [`Buf`] whose [`chunks_vectored`](Buf::chunks_vectored) gives
/// everything that one write can take. Write some of it, then [`advance`](Buf::advance) by what was written.
///
/// Headers, control frames and masked payloads are laid out one behind the other in one buffer that is used again and again; a payload that needs
/// no masking stays the slice it came as.
#[derive(Default)]
pub struct Transmit {
    /// Bytes laid out here, of which those before `start` are gone.
    laid: Vec<u8>,
    start: usize,
    shared: VecDeque<Shared>,
    len: usize,
}

/// A payload that stays the slice it came as.
struct Shared {
    payload: Bytes,
    /// Where in `laid` it is to be put in.
    at: usize,
}

/// Payloads shorter than this are copied: a slice of its own costs more than the copy.
pub(crate) const SHARE_FROM: usize = 512;

/// The spare capacity that an idle buffer may keep.
const KEEP: usize = 1 << 10;

impl Transmit {
    /// How many bytes wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives the buffer back to the allocator if nothing waits in it. For drivers, when a session goes idle.
    pub fn release(&mut self) {
        if self.is_empty() {
            self.laid.shrink_to(KEEP);
            self.shared.shrink_to_fit();
        }
    }

    /// Lays bytes out behind what waits already: `lay` appends them.
    #[inline]
    pub(crate) fn lay(&mut self, lay: impl FnOnce(&mut Vec<u8>)) {
        if self.start > KEEP {
            self.drop_written();
        }
        let before = self.laid.len();
        lay(&mut self.laid);
        self.len += self.laid.len() - before;
    }

    /// What was written is only dropped once it is the larger half, so that moving the rest costs a constant per byte.
    fn drop_written(&mut self) {
        if self.start > self.laid.len() / 2 {
            self.laid.drain(..self.start);
            self.shared.iter_mut().for_each(|shared| shared.at -= self.start);
            self.start = 0;
        }
    }

    /// Appends a payload as it is.
    pub(crate) fn share(&mut self, payload: Bytes) {
        if payload.len() < SHARE_FROM {
            self.lay(|out| out.extend_from_slice(&payload));
        } else {
            self.len += payload.len();
            self.shared.push_back(Shared { payload, at: self.laid.len() });
        }
    }
}

impl Buf for Transmit {
    #[inline]
    fn remaining(&self) -> usize {
        self.len
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        match self.shared.front() {
            None => &self.laid[self.start..],
            Some(shared) if self.start < shared.at => &self.laid[self.start..shared.at],
            Some(shared) => &shared.payload,
        }
    }

    #[inline]
    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        let mut put = |chunk: &'a [u8]| {
            if let (false, Some(slice)) = (chunk.is_empty(), slices.get_mut(used)) {
                *slice = IoSlice::new(chunk);
                used += 1;
            }
            used < slices.len()
        };
        let mut start = self.start;
        for shared in &self.shared {
            if !put(&self.laid[start..shared.at]) || !put(&shared.payload) {
                return used;
            }
            start = shared.at;
        }
        put(&self.laid[start..]);
        used
    }

    #[inline]
    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "advanced by more than waits");
        self.len -= count;
        while let Some(Shared { payload, at }) = self.shared.front_mut() {
            let laid = count.min(*at - self.start);
            self.start += laid;
            count -= laid;
            if count < payload.len() {
                return payload.advance(count);
            }
            count -= payload.len();
            self.shared.pop_front();
        }
        self.start += count;
        if self.is_empty() {
            self.laid.clear();
            self.start = 0;
        }
    }
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit").field("len", &self.len).finish_non_exhaustive()
    }
}
