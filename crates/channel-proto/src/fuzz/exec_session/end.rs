//! One end of a session, and the wire that leads from it to the other end.

use std::{collections::VecDeque, io::IoSlice, time::Instant};

use bytes::{Buf, BytesMut};

use crate::{
    error::{Error, ErrorKind},
    heartbeat::Reading,
    message::Message,
    outcome::CloseReason,
    session::{Session, SessionConfig, Side},
};

/// A session and what a driver holds for it.
pub(super) struct End<S: Side> {
    pub(super) session: Session<S>,
    config: SessionConfig,
    /// What arrived and was not taken.
    input: Traffic,
    /// The way to the other end.
    pub(super) wire: Wire,
    pub(super) reading: Reading,
    /// The last time at which a whole frame was certainly heard, and the last at which one may have been.
    heard: (Instant, Instant),
    eof: Eof,
    /// Which of the two ways to hand over input is taken next; they take turns.
    handing: Handing,
    pub(super) error: Option<Error>,
    /// The longest payload handed over as a slice: such a one is taken whole if there is any room.
    pub(super) longest_shared: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eof {
    Untold,
    Told,
}

/// `next_event`, or `handle_input` and `poll_event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handing {
    Together,
    Apart,
}

/// What travels: bytes or messages, as the session goes.
#[derive(Default)]
pub(super) struct Traffic {
    bytes: BytesMut,
    messages: VecDeque<Message>,
}

#[derive(Default)]
pub(super) struct Wire {
    traffic: Traffic,
    pub(super) state: WireState,
    /// Whether anything that was sent is lost.
    pub(super) lost: Lost,
    /// Whether the newest frame went in whole.
    whole: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum WireState {
    #[default]
    Open,
    /// A close message went in: a WebSocket library lets nothing pass behind it.
    Closing,
    /// Nothing gets in any more; the stream ends behind what is in it.
    Ended,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Lost {
    #[default]
    Nothing,
    Some,
}

impl Traffic {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.messages.is_empty()
    }

    /// Moves up to `count` bytes and messages to `other`, and tells whether there were any.
    fn drain_to(&mut self, other: &mut Self, count: usize) -> bool {
        let bytes = self.bytes.split_to(count.min(self.bytes.len()));
        let messages = self.messages.drain(..count.min(self.messages.len()));
        let some = !bytes.is_empty() || messages.len() > 0;
        other.bytes.unsplit(bytes);
        other.messages.extend(messages);
        some
    }
}

impl Wire {
    fn push_bytes(&mut self, bytes: &[u8]) {
        match self.state {
            WireState::Open => self.traffic.bytes.extend_from_slice(bytes),
            WireState::Closing | WireState::Ended => self.lost = Lost::Some,
        }
    }

    fn push_message(&mut self, message: Message) {
        if self.state != WireState::Open {
            self.lost = Lost::Some;
            return;
        }
        if matches!(message, Message::Close(_)) {
            self.state = WireState::Closing;
        }
        self.traffic.messages.push_back(message);
    }

    /// Ends the stream behind the first `keep` bytes or messages on their way.
    pub(super) fn cut(&mut self, keep: usize) {
        let mut rest = Traffic::default();
        std::mem::swap(&mut self.traffic, &mut rest);
        rest.drain_to(&mut self.traffic, keep);
        if !rest.is_empty() {
            (self.lost, self.whole) = (Lost::Some, false);
        }
        self.state = WireState::Ended;
    }
}

impl<S: Side> End<S> {
    pub(super) fn new(session: Session<S>, config: SessionConfig, now: Instant) -> Self {
        Self {
            session,
            config,
            input: Traffic::default(),
            wire: Wire::default(),
            reading: Reading::Active,
            heard: (now, now),
            eof: Eof::Untold,
            handing: Handing::Together,
            error: None,
            longest_shared: 0,
        }
    }

    /// Whether its last event came, or an error in its place.
    pub(super) fn is_over(&self) -> bool {
        self.session.is_ended() || self.error.is_some()
    }

    pub(super) fn is_healthy(&self) -> bool {
        !self.is_over() && !self.session.is_closing() && self.wire.state == WireState::Open
    }

    /// Writes up to `count` bytes or messages to the wire, and tells whether there were any. Who is over then hangs up.
    pub(super) fn transmit(&mut self, count: usize) -> bool {
        if count == 0 {
            return false;
        }
        let mut moved = 0;
        while moved < count
            && let Some(message) = self.session.poll_message()
        {
            self.wire.push_message(message);
            moved += 1;
        }
        let mut rest = 0;
        if let Some(transmit) = self.session.transmit() {
            assert!(transmit.remaining() <= longest_transmit(&self.config, self.longest_shared));
            let mut slices = [IoSlice::new(&[]); 3];
            let used = transmit.chunks_vectored(&mut slices);
            assert_eq!(used == 0, !transmit.has_remaining());
            assert_eq!(&*slices[0], transmit.chunk());
            for slice in &slices[..used] {
                let len = slice.len().min(count - moved);
                self.wire.push_bytes(&slice[..len]);
                moved += len;
            }
            transmit.advance(moved);
            rest = transmit.remaining();
        }
        self.wire.whole = rest == 0;
        if self.is_over() && moved == 0 && rest == 0 && self.wire.state != WireState::Ended {
            self.wire.state = WireState::Ended;
            return true;
        }
        moved > 0
    }

    /// Takes up to `count` bytes or messages off the other end's wire, and tells whether anything came of it.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        from: &mut Wire,
        count: usize,
        mut hear: impl FnMut(S::Event),
    ) -> bool {
        let arrived = from.traffic.drain_to(&mut self.input, count);
        let mut some = self.take(now, &mut hear) || arrived;
        if arrived && from.whole && from.traffic.is_empty() && self.input.is_empty() {
            self.heard.0 = now;
        }
        let all_taken = from.traffic.is_empty() && self.reading == Reading::Active;
        if all_taken && from.state == WireState::Ended && self.eof == Eof::Untold {
            self.eof = Eof::Told;
            self.session.handle_eof();
            self.take(now, &mut hear);
            some = true;
        }
        some
    }

    /// Hands over what arrived and takes events, one by one; a paused reader takes none. Tells whether there were any.
    pub(super) fn take(&mut self, now: Instant, mut hear: impl FnMut(S::Event)) -> bool {
        let mut some = false;
        loop {
            let mut event = self.hand_over(now);
            if self.reading == Reading::Active {
                event = event.or_else(|| self.session.poll_event());
            }
            let Some(event) = event else { return some };
            assert!(self.error.is_none() || !self.session.is_ended(), "either an end or an error");
            hear(event);
            some = true;
        }
    }

    fn hand_over(&mut self, now: Instant) -> Option<S::Event> {
        if self.is_over() {
            self.input = Traffic::default();
            return None;
        }
        let mut event = None;
        let before = self.input.bytes.len();
        if before > 0 {
            let wanted = self.session.wants_input();
            let input = &mut self.input.bytes;
            let result = match (self.handing, self.reading) {
                (Handing::Together, Reading::Active) => {
                    self.handing = Handing::Apart;
                    self.session.next_event(now, input).map(|heard| event = heard)
                }
                _ => {
                    self.handing = Handing::Together;
                    self.session.handle_input(now, input)
                }
            };
            let taken = before - self.input.bytes.len();
            assert!(
                wanted || taken == 0 || event.is_some() || self.session.is_closing(),
                "not wanted, and taken"
            );
            if taken > 0 {
                self.heard.1 = now;
            }
            self.keep(result);
        }
        while let Some(message) = self.input.messages.pop_front() {
            let answer = match &message {
                Message::Ping(payload) => Some(Message::Pong(payload.clone())),
                Message::Close(_) if self.wire.state == WireState::Open => {
                    Some(Message::Close(CloseReason { code: Some(1000), reason: "".into() }))
                }
                _ => None,
            };
            match self.session.handle_message(now, message) {
                Ok(Some(given_back)) => {
                    assert!(!self.session.wants_input());
                    self.input.messages.push_front(given_back);
                    return event;
                }
                result => {
                    self.heard = (now, now);
                    self.keep(result.map(drop));
                    // What a WebSocket library does by itself.
                    answer.into_iter().for_each(|answer| self.wire.push_message(answer));
                }
            }
        }
        event
    }

    pub(super) fn set_reading(&mut self, now: Instant, reading: Reading) {
        if self.reading == Reading::Paused {
            self.heard = (now, now);
        }
        self.reading = reading;
        self.session.set_reading(now, reading);
    }

    /// It is `now`: does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        self.assert_watches();
        if self.session.poll_timeout().is_some_and(|at| at <= now) {
            let result = self.session.handle_timeout(now);
            if let Err(error) = &result {
                let ErrorKind::Silent { after } = *error.kind() else { panic!("{error} from a timer") };
                assert_eq!(Some(after), self.config.heartbeat.dead_after);
                assert_eq!(self.reading, Reading::Active, "silence while nobody listened");
                assert!(now >= self.heard.0 + after, "dead too early");
            }
            self.keep(result);
            assert!(self.session.poll_timeout().is_none_or(|at| at > now), "the same timeout again");
        }
    }

    /// A peer that dies while we read is always noticed.
    fn assert_watches(&self) {
        if let Some(after) = self.config.heartbeat.dead_after
            && self.reading == Reading::Active
            && !self.is_over()
            && !self.session.is_closing()
        {
            assert!(self.session.poll_timeout().is_some_and(|at| at <= self.heard.1 + after));
        }
    }

    fn keep(&mut self, result: Result<(), Error>) {
        let Err(error) = result else { return };
        // Both ends keep to the protocol, so that only silence can go wrong.
        assert!(matches!(error.kind(), ErrorKind::Silent { .. }), "{error}");
        assert!(self.error.as_ref().is_none_or(|before| *before == error), "errors stick");
        self.error = Some(error);
    }
}

/// What may wait to be written: payload up to the limit, one slice and a status beyond it, all of it in base64 with headers, and
/// pings.
fn longest_transmit(config: &SessionConfig, longest_shared: usize) -> usize {
    let payload = config.limits.transmit + longest_shared + (4 << 10);
    2 * payload + 16 * (payload / config.limits.outgoing_message + 1)
}
