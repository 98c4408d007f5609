//! How a stream is cut into reads.

/// The sizes of the reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    Whole,
    /// Of this many bytes each.
    Every(usize),
    /// Drawn, from this seed, mostly small.
    Random(u64),
}

impl Cut {
    /// `stream` in pieces.
    pub(crate) fn pieces(self, mut stream: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut cut = self;
        std::iter::from_fn(move || {
            let len = cut.next_len().min(stream.len());
            let (piece, rest) = stream.split_at(len);
            stream = rest;
            (len > 0).then_some(piece)
        })
    }

    fn next_len(&mut self) -> usize {
        match self {
            Self::Whole => usize::MAX,
            Self::Every(len) => *len,
            Self::Random(state) => {
                // xorshift64
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                let most = [4, 40, 400, 40_000][usize::try_from(*state >> 62).unwrap()];
                1 + usize::try_from(*state >> 20).unwrap() % most
            }
        }
    }
}
