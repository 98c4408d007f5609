//! One direction of a connection: it keeps the order, and nothing else is promised.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use channel_proto::Message;

/// A source of decisions (splitmix64): the same seed, the same test.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 33) as usize % end
    }

    /// The size of a piece: often tiny, so that headers are cut.
    pub(crate) fn piece(&mut self) -> usize {
        match self.below(4) {
            0 => 1 + self.below(16),
            _ => 1 + self.below(8 << 10),
        }
    }
}

/// What a wire carries at once.
pub(crate) enum Parcel {
    Bytes(Bytes),
    Message(Message),
    Eof,
}

/// One direction of a connection.
pub(crate) struct Wire {
    flying: VecDeque<(Instant, Parcel)>,
    /// Bytes that may fly at once: the socket buffers of both ends.
    pub(crate) capacity: usize,
    len: usize,
    ended: bool,
    /// Loses all that is sent from now on, and does not say so.
    pub(crate) swallows: bool,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self { flying: VecDeque::new(), capacity: 64 << 10, len: 0, ended: false, swallows: false }
    }

    /// How many bytes it takes now.
    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.len)
    }

    /// Takes a parcel, to arrive behind all others after up to 20 ms. What comes behind the end is lost.
    pub(crate) fn send(&mut self, now: Instant, parcel: Parcel, rng: &mut Rng) {
        if self.ended {
            return;
        }
        self.ended = matches!(parcel, Parcel::Eof);
        if self.swallows {
            return;
        }
        self.len += parcel.len();
        let due = now + Duration::from_millis(rng.below(20) as u64);
        let due = self.flying.back().map_or(due, |(last, _)| due.max(*last));
        self.flying.push_back((due, parcel));
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Ends it here and now: what flies is lost, as when a connection is reset.
    pub(crate) fn cut(&mut self, now: Instant) {
        (self.flying, self.len, self.ended) = (VecDeque::from([(now, Parcel::Eof)]), 0, true);
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.flying.front().map(|(due, _)| *due)
    }

    pub(crate) fn arrive(&mut self, now: Instant) -> Option<Parcel> {
        self.next_due().filter(|due| *due <= now)?;
        let (_, parcel) = self.flying.pop_front()?;
        self.len -= parcel.len();
        Some(parcel)
    }
}

impl Parcel {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(data) => data.len(),
            Self::Message(Message::Binary(data) | Message::Text(data)) => data.len(),
            Self::Message(_) | Self::Eof => 0,
        }
    }
}
