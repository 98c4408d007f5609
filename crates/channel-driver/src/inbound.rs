//! What came for one reader and was not taken yet.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The unread data of one stream. The first slice is kept as it came; what comes behind it is copied together, so that many small
/// slices cannot hold many large read buffers.
#[derive(Default)]
pub(crate) struct Inbound {
    front: Bytes,
    rest: BytesMut,
    end: InboundEnd,
}

/// Whether more will come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum InboundEnd {
    #[default]
    Open,
    /// The peer ended this stream.
    Ended,
    /// Nobody will read it: what comes is dropped.
    Discarded,
}

impl Inbound {
    pub(crate) fn push(&mut self, data: Bytes) {
        match self.end {
            InboundEnd::Discarded => {}
            _ if self.front.is_empty() && self.rest.is_empty() => self.front = data,
            _ => self.rest.extend_from_slice(&data),
        }
    }

    /// Unread bytes.
    pub(crate) fn len(&self) -> usize {
        self.front.len() + self.rest.len()
    }

    pub(crate) fn end(&mut self) {
        if self.end == InboundEnd::Open {
            self.end = InboundEnd::Ended;
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.end != InboundEnd::Open
    }

    pub(crate) fn discard(&mut self) {
        *self = Self { end: InboundEnd::Discarded, ..Self::default() };
    }

    /// Takes the first unread slice; empty if there is none.
    pub(crate) fn take(&mut self) -> Bytes {
        if self.front.is_empty() { self.rest.split().freeze() } else { std::mem::take(&mut self.front) }
    }

    /// Copies what fits.
    pub(crate) fn copy_to(&mut self, sink: &mut impl BufMut) -> usize {
        let mut copied = 0;
        while sink.has_remaining_mut() && self.len() > 0 {
            if self.front.is_empty() {
                self.front = self.rest.split().freeze();
            }
            let len = self.front.len().min(sink.remaining_mut());
            sink.put_slice(&self.front[..len]);
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
