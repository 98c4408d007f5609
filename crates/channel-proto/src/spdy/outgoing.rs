//! What waits to be sent, and whose turn it is.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use super::{
    ControlFrame, GoAwayStatus, Headers, ResetStatus, StreamId, frame::put_data_header,
    header_block::HeaderEncoder,
};
use crate::{
    limits::Limits,
    transmit::{SHARE_FROM, Transmit},
};

/// Frames are laid out until this many bytes wait to be written. More would only delay what is more urgent.
const FILL: usize = 64 << 10;

/// Bytes of payload in one DATA frame while other streams wait.
const TURN: usize = 16 << 10;

/// The least that a stream may queue, however much waits on the others.
const SHARE: usize = 1 << 10;

/// The room that an empty queue may keep: for a small payload, and for a few parts.
const KEEP: usize = 1 << 10;
const PARTS: usize = 16;

/// The queues of a connection.
///
/// Control frames go first, in their order. Then the streams take turns, a DATA frame each. What is queued on one stream keeps its order: its
/// SYN_STREAM or SYN_REPLY, its data, its FIN, its reset (SPD-17).
pub(super) struct Outgoing {
    encoder: HeaderEncoder,
    control: Vec<u8>,
    queues: BTreeMap<StreamId, Queue>,
    /// The streams with a queue; the next turn is the front's.
    turns: VecDeque<StreamId>,
    /// A queue whose turn was its last, kept for the next that is needed: small payloads cost no allocation.
    spare: Queue,
    /// Bytes of payload in all queues.
    queued: usize,
    /// The GOAWAY that goes when nothing else waits.
    farewell: Option<ControlFrame>,
    transmit: Transmit,
    limit: usize,
    stream_limit: usize,
}

/// What waits on one stream.
#[derive(Default)]
struct Queue {
    parts: VecDeque<Bytes>,
    /// Payload that was copied, behind all parts.
    tail: BytesMut,
    len: usize,
    /// Whether a FIN follows the payload.
    fin: bool,
    /// The reset that comes last.
    reset: Option<ResetStatus>,
}

impl Outgoing {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            encoder: HeaderEncoder::new(),
            control: Vec::new(),
            queues: BTreeMap::new(),
            turns: VecDeque::new(),
            spare: Queue::default(),
            queued: 0,
            farewell: None,
            transmit: Transmit::default(),
            limit: limits.transmit,
            stream_limit: limits.spdy_stream_transmit,
        }
    }

    /// Bytes that wait to be written, all together.
    pub(super) fn waiting(&self) -> usize {
        self.control.len() + self.queued + self.transmit.len()
    }

    /// Whether nothing waits, not even an empty frame.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting() == 0 && self.queues.is_empty() && self.farewell.is_none()
    }

    /// Bytes of payload that wait on a stream and are not laid out yet.
    pub(super) fn queued_on(&self, id: StreamId) -> usize {
        self.queues.get(&id).map_or(0, |queue| queue.len)
    }

    /// Whether anything waits on a stream: payload, a FIN, a reset.
    pub(super) fn holds(&self, id: StreamId) -> bool {
        self.queues.contains_key(&id)
    }

    /// Whether something waits on a stream that a reset does not follow, so that it should arrive.
    pub(super) fn cares_for(&self, id: StreamId) -> bool {
        self.queues.get(&id).is_some_and(|queue| queue.reset.is_none())
    }

    /// Bytes that may be queued on a stream, one of `streams`. Each has an equal share of the limit for itself, so that those who
    /// fill the rest shut nobody out; all together queue less than twice the limit, or [`SHARE`] for each stream.
    pub(super) fn room(&self, id: StreamId, streams: usize) -> usize {
        let queued = self.queued_on(id);
        let share = SHARE.max(self.limit / streams.max(1));
        let of_all = self.limit.saturating_sub(self.waiting());
        let of_stream = self.stream_limit.saturating_sub(queued);
        of_stream.min(of_all.max(share.saturating_sub(queued)))
    }

    /// Whether so many control frames wait that nothing should be read that leads to more (SPD-20).
    pub(super) fn is_clogged(&self) -> bool {
        self.control.len() >= self.limit
    }

    /// Queues a control frame.
    pub(super) fn control(&mut self, frame: &ControlFrame) {
        frame.encode(&mut self.encoder, &mut self.control);
    }

    /// Queues a SYN_REPLY.
    pub(super) fn reply(&mut self, id: StreamId) {
        self.control(&ControlFrame::SynReply { id, fin: false, headers: Headers::new() });
    }

    pub(super) fn copy(&mut self, id: StreamId, payload: &[u8]) {
        self.queued += payload.len();
        self.queue(id).copy(payload);
    }

    pub(super) fn share(&mut self, id: StreamId, payload: Bytes) {
        self.queued += payload.len();
        self.queue(id).share(payload);
    }

    pub(super) fn finish(&mut self, id: StreamId) {
        self.queue(id).fin = true;
    }

    /// Queues a reset behind what waits on the stream.
    pub(super) fn reset(&mut self, id: StreamId, status: ResetStatus) {
        match self.queues.get_mut(&id) {
            Some(queue) => queue.reset = Some(status),
            None => self.control(&ControlFrame::RstStream { id, status }),
        }
    }

    /// Drops what waits on a stream.
    pub(super) fn discard(&mut self, id: StreamId) {
        if let Some(queue) = self.queues.remove(&id) {
            self.queued -= queue.len;
            self.turns.retain(|waiting| *waiting != id);
        }
    }

    /// Queues a GOAWAY behind all that waits (SPD-19).
    pub(super) fn say_farewell(&mut self, last: u32, status: GoAwayStatus) {
        self.farewell = Some(ControlFrame::GoAway { last, status });
    }

    /// Drops all payload that is not laid out yet, and ends with a GOAWAY.
    pub(super) fn fail(&mut self, last: u32, status: GoAwayStatus) {
        self.queues.clear();
        self.turns.clear();
        self.queued = 0;
        self.say_farewell(last, status);
    }

    fn queue(&mut self, id: StreamId) -> &mut Queue {
        self.queues.entry(id).or_insert_with(|| {
            self.turns.push_back(id);
            std::mem::take(&mut self.spare)
        })
    }

    /// Lays out what may go now.
    pub(super) fn fill(&mut self) -> &mut Transmit {
        if self.transmit.len() < FILL && !self.control.is_empty() {
            self.lay_control();
        }
        while self.transmit.len() < FILL
            && let Some(id) = self.turns.pop_front()
        {
            self.take_turn(id);
        }
        if self.turns.is_empty()
            && self.control.is_empty()
            && let Some(farewell) = self.farewell.take()
        {
            self.control(&farewell);
            self.lay_control();
        }
        &mut self.transmit
    }

    fn lay_control(&mut self) {
        self.transmit.lay(|out| out.append(&mut self.control));
        self.control.shrink_to(KEEP);
    }

    /// One DATA frame of a stream; with the last one, its FIN; after that, its reset.
    fn take_turn(&mut self, id: StreamId) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let len = queue.len.min(if self.turns.is_empty() { FILL } else { TURN });
        let is_last = len == queue.len;
        let fin = is_last && queue.fin;
        if len > 0 || fin {
            self.queued -= len;
            self.transmit.lay(|out| put_data_header(out, id, fin, len));
            queue.take(len, &mut self.transmit);
        }
        if !is_last {
            return self.turns.push_back(id);
        }
        if let Some(status) = queue.reset {
            let frame = ControlFrame::RstStream { id, status };
            self.transmit.lay(|out| frame.encode(&mut self.encoder, out));
        }
        if let Some(queue) = self.queues.remove(&id) {
            self.spare = queue.emptied();
        }
    }
}

impl Queue {
    fn copy(&mut self, payload: &[u8]) {
        self.len += payload.len();
        self.tail.extend_from_slice(payload);
    }

    fn share(&mut self, payload: Bytes) {
        if payload.len() < SHARE_FROM {
            return self.copy(&payload);
        }
        self.len += payload.len();
        self.end_tail();
        self.parts.push_back(payload);
    }

    /// Lays the first `len` bytes out, which are there.
    fn take(&mut self, len: usize, transmit: &mut Transmit) {
        self.len -= len;
        if self.parts.is_empty() && len == self.tail.len() && len < SHARE_FROM {
            transmit.lay(|out| out.extend_from_slice(&self.tail));
            return self.tail.clear();
        }
        let mut missing = len;
        while missing > 0 {
            if self.parts.is_empty() {
                self.end_tail();
            }
            let Some(front) = self.parts.front_mut() else { break };
            let part = front.split_to(front.len().min(missing));
            if front.is_empty() {
                self.parts.pop_front();
            }
            missing -= part.len();
            transmit.share(part);
        }
    }

    /// Nothing is left in it but some room.
    fn emptied(self) -> Self {
        if self.tail.capacity() > KEEP || self.parts.capacity() > PARTS {
            return Self::default();
        }
        Self { parts: self.parts, tail: self.tail, ..Self::default() }
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            // Whole: what is left of its room would keep all of it in memory.
            self.parts.push_back(std::mem::take(&mut self.tail).freeze());
        }
    }
}
