//! Takes one frame at a time out of what was read.

use bytes::{Bytes, BytesMut};

/// Cuts a stream of bytes where SPDY frames end, so that what comes behind an event stays with whoever read it.
#[derive(Default)]
pub(super) struct Cutter {
    /// The header of the frame in progress, of which this many bytes came.
    header: [u8; 8],
    came: usize,
    /// Bytes of it that are still to come behind the header.
    remaining: usize,
}

impl Cutter {
    /// The front of `input` up to the end of the frame in progress, or all there is of it.
    pub(super) fn cut(&mut self, input: &mut BytesMut) -> Bytes {
        let missing = self.header.len() - self.came;
        let (front, behind) = input.split_at(missing.min(input.len()));
        self.header[self.came..self.came + front.len()].copy_from_slice(front);
        self.came += front.len();
        if self.came < self.header.len() {
            return input.split().freeze();
        }
        if missing > 0 {
            let [.., high, middle, low] = self.header;
            self.remaining = u32::from_be_bytes([0, high, middle, low]) as usize;
        }
        let body = self.remaining.min(behind.len());
        self.remaining -= body;
        if self.remaining == 0 {
            self.came = 0;
        }
        input.split_to(missing + body).freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_at_their_ends_however_they_come() {
        let frames: [&[u8]; 4] =
            [&[0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9], &[0; 8], &[0x80, 3, 0, 6, 0, 0, 0, 1, 5], &[1; 7]];
        let stream = frames.concat();
        for size in 1..=stream.len() {
            let (mut cutter, mut ends, mut taken) = (Cutter::default(), vec![0], 0);
            for read in stream.chunks(size) {
                let mut input = BytesMut::from(read);
                while !input.is_empty() {
                    let piece = cutter.cut(&mut input);
                    assert!(!piece.is_empty());
                    taken += piece.len();
                    ends.push(taken);
                }
            }
            assert!([11, 19, 28, 35].iter().all(|end| ends.contains(end)), "{size}: {ends:?}");
            assert!(size < stream.len() || ends == [0, 11, 19, 28, 35]);
        }
    }
}
