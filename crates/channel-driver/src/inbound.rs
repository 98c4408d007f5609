//! What came for one reader and was not taken yet.

use std::{io, sync::Arc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use channel_proto::Limits;

use crate::pages::copy;

/// The unread data of one stream. The first slice is kept as it came; what comes behind it is copied together, so that many small
/// slices cannot hold many large read buffers.
#[derive(Default)]
pub(crate) struct Inbound {
    front: Bytes,
    rest: BytesMut,
    end: InboundEnd,
}

/// Whether more will come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum InboundEnd {
    #[default]
    Open,
    /// The peer ended this stream.
    Ended,
    /// The peer says that this stream failed.
    Failed(io::ErrorKind, Arc<str>),
    /// Nobody will read it: what comes is dropped.
    Discarded,
}

impl Inbound {
    fn push(&mut self, data: Bytes) {
        match self.end {
            InboundEnd::Discarded => {}
            _ if self.front.is_empty() && self.rest.is_empty() => self.front = data,
            _ => self.rest.extend_from_slice(&data),
        }
    }

    /// Unread bytes.
    fn len(&self) -> usize {
        self.front.len() + self.rest.len()
    }

    fn end(&mut self) {
        if self.end == InboundEnd::Open {
            self.end = InboundEnd::Ended;
        }
    }

    fn discard(&mut self) {
        *self = Self { end: InboundEnd::Discarded, ..Self::default() };
    }

    /// Takes the first unread slice; empty if there is none.
    pub(crate) fn take(&mut self) -> Bytes {
        if self.front.is_empty() {
            std::mem::take(&mut self.rest).freeze()
        } else {
            std::mem::take(&mut self.front)
        }
    }

    /// Copies what fits.
    pub(crate) fn copy_to(&mut self, sink: &mut impl BufMut) -> usize {
        let mut copied = 0;
        while sink.has_remaining_mut() && self.len() > 0 {
            if self.front.is_empty() {
                self.front = std::mem::take(&mut self.rest).freeze();
            }
            let len = copy(&self.front, sink);
            self.front.advance(len);
            copied += len;
        }
        if self.front.is_empty() {
            // Let go of the read buffer that it was a slice of.
            self.front = Bytes::new();
        }
        copied
    }
}

/// The unread data of every stream of a session, by index.
pub(crate) struct Inbounds {
    streams: Vec<Inbound>,
    /// Unread bytes of one stream that stop everything behind them.
    limit: usize,
    /// How many streams reached it.
    full: usize,
    /// Unread bytes of all streams, and how many stop everything.
    total: usize,
    total_limit: usize,
}

impl Inbounds {
    pub(crate) fn new(limits: &Limits) -> Self {
        let (limit, total_limit) = (limits.unread.max(1), limits.unread_in_all.max(1));
        Self { streams: Vec::new(), limit, full: 0, total: 0, total_limit }
    }

    /// Whether a reader, other than this one, left so much that nothing more may come; or all of them together.
    pub(crate) fn is_full(&self, except: Option<usize>) -> bool {
        let excepted = except.is_some_and(|index| self.len(index) >= self.limit);
        self.full > usize::from(excepted) || self.total >= self.total_limit
    }

    /// Unread bytes of a stream.
    pub(crate) fn len(&self, index: usize) -> usize {
        self.streams.get(index).map_or(0, Inbound::len)
    }

    pub(crate) fn with<T>(&mut self, index: usize, act: impl FnOnce(&mut Inbound) -> T) -> T {
        if self.streams.len() <= index {
            self.streams.resize_with(index + 1, Inbound::default);
        }
        let stream = &mut self.streams[index];
        self.full -= usize::from(stream.len() >= self.limit);
        self.total -= stream.len();
        let result = act(stream);
        self.full += usize::from(stream.len() >= self.limit);
        self.total += stream.len();
        result
    }

    pub(crate) fn push(&mut self, index: usize, data: Bytes) {
        self.with(index, |stream| stream.push(data));
    }

    pub(crate) fn end(&mut self, index: usize) {
        self.with(index, Inbound::end);
    }

    pub(crate) fn fail(&mut self, index: usize, kind: io::ErrorKind, why: String) {
        self.with(index, |stream| {
            // What ended well stays so: only writing fails after that, which the machine itself says.
            if stream.end == InboundEnd::Open {
                stream.end = InboundEnd::Failed(kind, why.into());
            }
        });
    }

    pub(crate) fn discard(&mut self, index: usize) {
        self.with(index, Inbound::discard);
    }

    /// Those that hold up the others: the streams whose unread data reached the limit, or where it is all of them, the one with the most.
    pub(crate) fn full(&self) -> Vec<usize> {
        let streams = 0..self.streams.len();
        if self.full == 0 {
            return streams.max_by_key(|&index| self.len(index)).into_iter().collect();
        }
        streams.filter(|&index| self.len(index) >= self.limit).collect()
    }

    /// A stream fails, and what came for it is dropped.
    pub(crate) fn give_up(&mut self, index: usize, kind: io::ErrorKind, why: &str) {
        let end = InboundEnd::Failed(kind, why.into());
        self.with(index, |stream| *stream = Inbound { end, ..Inbound::default() });
    }

    /// Makes room for another stream of the same index.
    pub(crate) fn forget(&mut self, index: usize) {
        self.with(index, |stream| *stream = Inbound::default());
    }

    /// How a stream ends, if it has ended by itself.
    pub(crate) fn end_of(&self, index: usize) -> Option<io::Result<()>> {
        match &self.streams.get(index)?.end {
            InboundEnd::Open => None,
            InboundEnd::Ended | InboundEnd::Discarded => Some(Ok(())),
            InboundEnd::Failed(kind, why) => Some(Err(io::Error::new(*kind, &**why))),
        }
    }

    /// That the peer said a stream failed.
    pub(crate) fn failure_of(&self, index: usize) -> io::Result<()> {
        match self.streams.get(index).map(|stream| &stream.end) {
            Some(InboundEnd::Failed(kind, why)) => Err(io::Error::new(*kind, &**why)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbounds() -> Inbounds {
        let mut limits = Limits::default();
        (limits.unread, limits.unread_in_all) = (100, 250);
        Inbounds::new(&limits)
    }

    #[test]
    fn one_stream_that_is_full_stops_all_but_its_own_reader() {
        let mut inbounds = inbounds();
        inbounds.push(3, Bytes::from_static(&[7; 100]));
        assert!(inbounds.is_full(None) && inbounds.is_full(Some(0)) && !inbounds.is_full(Some(3)));
        assert_eq!(inbounds.full(), [3]);
        inbounds.with(3, |stream| stream.copy_to(&mut Vec::new()));
        assert!(!inbounds.is_full(None));
    }

    #[test]
    fn streams_that_are_not_full_stop_all_when_they_are_many() {
        let mut inbounds = inbounds();
        for (index, len) in [(0, 80), (1, 90), (2, 70)] {
            assert!(!inbounds.is_full(None));
            inbounds.push(index, Bytes::from(vec![7; len]));
        }
        inbounds.push(2, Bytes::from_static(&[7; 9]));
        assert!(!inbounds.is_full(None));
        inbounds.push(2, Bytes::from_static(&[7; 1]));
        assert!(inbounds.is_full(None) && inbounds.is_full(Some(5)));
        assert_eq!(inbounds.full(), [1], "the one with the most");
        inbounds.give_up(1, io::ErrorKind::ConnectionReset, "slow");
        assert!(!inbounds.is_full(None));
        inbounds.forget(0);
        inbounds.discard(2);
        assert_eq!(inbounds.total, 0);
    }
}
