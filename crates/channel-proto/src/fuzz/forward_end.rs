//! One end of a forward over anything, and the wire that leads from it to the other end.

use std::{io::IoSlice, sync::LazyLock, time::Instant};

use bytes::{Buf, BytesMut};

use crate::{
    error::{Error, ErrorKind},
    forward::{Forward, ForwardEvent},
    heartbeat::Reading,
    session::SessionConfig,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Client,
    Server,
}

/// A forward and what a driver holds for it.
pub(super) struct End {
    pub(super) forward: Forward,
    config: SessionConfig,
    /// What arrived and was not taken.
    input: BytesMut,
    /// The way to the other end.
    pub(super) wire: Wire,
    pub(super) reading: Reading,
    /// The last time at which a whole frame was certainly heard, and the last at which one may have been.
    heard: (Instant, Instant),
    eof: Eof,
    /// Whether its last event came.
    pub(super) told: bool,
    pub(super) error: Option<Error>,
    /// What came may wait for somebody to connect, and then nothing is read.
    held_up: bool,
    /// The longest payload handed over as a slice: such a one is taken whole if there is any room.
    pub(super) longest_shared: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eof {
    Untold,
    Told,
}

#[derive(Default)]
pub(super) struct Wire {
    bytes: BytesMut,
    pub(super) state: WireState,
    /// Whether all that was written so far ends with a frame.
    whole: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum WireState {
    #[default]
    Open,
    /// Nothing gets in any more; the stream ends behind what is in it.
    Ended,
}

impl Wire {
    fn push(&mut self, bytes: &[u8]) {
        if self.state == WireState::Open {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Ends the stream behind the first `keep` bytes on their way.
    pub(super) fn cut(&mut self, keep: usize) {
        self.bytes.truncate(keep);
        self.whole = false;
        self.state = WireState::Ended;
    }
}

impl End {
    pub(super) fn new(forward: Forward, config: SessionConfig, now: Instant) -> Self {
        Self {
            forward,
            config,
            input: BytesMut::new(),
            wire: Wire::default(),
            reading: Reading::Active,
            heard: (now, now),
            eof: Eof::Untold,
            told: false,
            error: None,
            held_up: false,
            longest_shared: 0,
        }
    }

    /// Whether its last event came, or an error in its place.
    pub(super) fn is_over(&self) -> bool {
        self.told || self.error.is_some()
    }

    pub(super) fn is_healthy(&self) -> bool {
        !self.is_over() && !self.forward.is_closing() && self.wire.state == WireState::Open
    }

    /// Writes up to `count` bytes to the wire, and tells whether there were any. Who is over then hangs up.
    pub(super) fn transmit(&mut self, count: usize) -> bool {
        if count == 0 {
            return false;
        }
        let transmit = self.forward.transmit();
        let longest = 4 * (self.config.limits.transmit + self.longest_shared + (64 << 10));
        assert!(transmit.remaining() <= longest, "{} bytes", transmit.remaining());
        let mut slices = [IoSlice::new(&[]); 3];
        let used = transmit.chunks_vectored(&mut slices);
        assert_eq!(used == 0, !transmit.has_remaining());
        assert_eq!(&*slices[0], transmit.chunk());
        let mut moved = 0;
        for slice in &slices[..used] {
            let len = slice.len().min(count - moved);
            self.wire.push(&slice[..len]);
            moved += len;
        }
        transmit.advance(moved);
        self.wire.whole = self.forward.transmit().is_empty();
        if self.is_over() && moved == 0 && self.wire.state == WireState::Open {
            self.wire.state = WireState::Ended;
            return true;
        }
        moved > 0
    }

    /// Takes up to `count` bytes off the other end's wire, and tells whether anything came of it.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        from: &mut Wire,
        count: usize,
        mut hear: impl FnMut(ForwardEvent),
    ) -> bool {
        let arrived = from.bytes.split_to(count.min(from.bytes.len()));
        let came = !arrived.is_empty();
        self.input.unsplit(arrived);
        let some = self.take(now, &mut hear) || came;
        let all = from.bytes.is_empty();
        if all && came && from.whole && self.input.is_empty() {
            self.heard.0 = now;
        }
        // What is left is the beginning of a frame, unless something has to be written first.
        let dry = all && !some && self.reading == Reading::Active && self.forward.transmit().is_empty();
        let waits = self.held_up && !self.input.is_empty();
        if dry && !waits && from.state == WireState::Ended && self.eof == Eof::Untold {
            self.eof = Eof::Told;
            self.forward.handle_eof();
            self.take(now, &mut hear);
            return true;
        }
        some
    }

    /// Hands over what arrived and takes events, one by one; a paused reader takes none. Tells whether there were any.
    fn take(&mut self, now: Instant, mut hear: impl FnMut(ForwardEvent)) -> bool {
        let mut some = false;
        loop {
            self.hand_over(now);
            if self.reading == Reading::Paused {
                return some;
            }
            let Some(event) = self.forward.poll_event() else { return some };
            assert!(!self.told, "{event:?} behind the end");
            self.told = matches!(event, ForwardEvent::Ended(_));
            assert!(!self.told || self.error.is_none(), "either an end or an error");
            hear(event);
            some = true;
        }
    }

    fn hand_over(&mut self, now: Instant) {
        if self.is_over() {
            return self.input.clear();
        }
        // With no new bytes, too: what answers some may have had to be written before more is told.
        let before = self.input.len();
        let result = self.forward.handle_input(now, &mut self.input);
        if self.input.len() < before {
            self.heard.1 = now;
        }
        self.keep(result);
    }

    pub(super) fn set_reading(&mut self, now: Instant, reading: Reading) {
        if self.reading == Reading::Paused {
            self.heard = (now, now);
        }
        self.reading = reading;
        self.forward.set_reading(now, reading);
    }

    /// What came waits for somebody to connect, or does so no more.
    pub(super) fn set_held_up(&mut self, now: Instant, held_up: bool) {
        let goes_on = std::mem::replace(&mut self.held_up, held_up) && !held_up;
        if goes_on {
            self.heard.1 = now;
            // A driver asks at once what is due.
            self.tick(now);
        }
    }

    /// It is `now`: does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        self.assert_watches();
        if self.forward.poll_timeout().is_some_and(|at| at <= now) {
            let result = self.forward.handle_timeout(now);
            if let Err(error) = &result {
                let ErrorKind::Silent { after } = *error.kind() else { panic!("{error} from a timer") };
                assert_eq!(Some(after), self.config.heartbeat.dead_after);
                assert_eq!(self.reading, Reading::Active, "silence while nobody listened");
                assert!(now >= self.heard.0 + after, "dead too early");
            }
            self.keep(result);
            assert!(self.forward.poll_timeout().is_none_or(|at| at > now), "the same timeout again");
        }
    }

    /// A peer that dies while we read is always noticed.
    fn assert_watches(&self) {
        if let Some(after) = self.config.heartbeat.dead_after
            && self.reading == Reading::Active
            && !self.held_up
            && !self.is_over()
            && !self.forward.is_closing()
        {
            assert!(self.forward.poll_timeout().is_some_and(|at| at <= self.heard.1 + after));
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

/// A stream of bytes that anybody can compute: no two places of it look alike for long, nor two streams.
#[derive(Default)]
pub(super) struct Stream {
    pub(super) sent: usize,
    pub(super) received: usize,
}

/// A prime, longer than any piece of data.
const PERIOD: usize = (1 << 17) - 1;

/// Two periods of bytes, so that every piece is somewhere in one piece.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let byte = |at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    let period: Vec<u8> = (0..PERIOD as u64).map(byte).collect();
    period.repeat(2)
});

/// What stands at a place of a stream; `salt` is its number.
pub(super) fn bytes(salt: usize, at: usize, len: usize) -> &'static [u8] {
    let start = (salt * 7_919 + at) % PERIOD;
    &BYTES[start..start + len]
}
