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
    queue: VecDeque<Part>,
    len: usize,
}

enum Part {
    /// This many bytes of `laid`, from where the last such part ended.
    Laid(usize),
    Shared(Bytes),
}

/// Payloads shorter than this are copied: a slice of its own costs more than the copy.
const SHARE_FROM: usize = 512;

/// The spare capacity that an idle buffer may keep.
const KEEP: usize = 1 << 10;

impl Transmit {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives the buffer back to the allocator if nothing waits in it. For drivers, when a session goes idle.
    pub fn release(&mut self) {
        if self.is_empty() && self.laid.capacity() > KEEP {
            self.laid = Vec::new();
        }
    }

    /// Lays bytes out behind what waits already: `lay` appends them.
    #[inline]
    pub(super) fn lay(&mut self, lay: impl FnOnce(&mut Vec<u8>)) {
        // What was written is only dropped once it is the larger half, so that moving the rest costs a constant per byte.
        if self.start > KEEP && self.start > self.laid.len() / 2 {
            self.laid.drain(..self.start);
            self.start = 0;
        }
        let before = self.laid.len();
        lay(&mut self.laid);
        let added = self.laid.len() - before;
        self.len += added;
        match self.queue.back_mut() {
            Some(Part::Laid(last)) => *last += added,
            _ => self.queue.push_back(Part::Laid(added)),
        }
    }

    /// Appends a payload as it is.
    pub(super) fn share(&mut self, payload: Bytes) {
        if payload.len() < SHARE_FROM {
            self.lay(|out| out.extend_from_slice(&payload));
        } else {
            self.len += payload.len();
            self.queue.push_back(Part::Shared(payload));
        }
    }
}

impl Buf for Transmit {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        match self.queue.front() {
            Some(Part::Laid(len)) => &self.laid[self.start..self.start + len],
            Some(Part::Shared(payload)) => payload,
            None => &[],
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut at = self.start;
        let mut used = 0;
        for (slice, part) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(match part {
                Part::Laid(len) => {
                    at += len;
                    &self.laid[at - len..at]
                }
                Part::Shared(payload) => payload,
            });
            used += 1;
        }
        used
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "advanced by more than waits");
        self.len -= count;
        while let Some(front) = self.queue.front_mut() {
            let len = match front {
                Part::Laid(len) => *len,
                Part::Shared(payload) => payload.len(),
            };
            let taken = count.min(len);
            match front {
                Part::Laid(len) => {
                    *len -= taken;
                    self.start += taken;
                }
                Part::Shared(payload) => payload.advance(taken),
            }
            count -= taken;
            if taken < len {
                break;
            }
            self.queue.pop_front();
        }
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
