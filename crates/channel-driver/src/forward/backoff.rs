//! Pauses before something is tried again.

use std::time::Duration;

use crate::handshake;

/// The first pause, and the longest.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses that double up to the longest, each shortened at random by up to a half, so that many clients of one server do not come back at once.
pub(in crate::forward) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(in crate::forward) fn new() -> Self {
        Self { next: SHORTEST }
    }

    pub(in crate::forward) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        // Without entropy they come back together, and that is all.
        let random = handshake::entropy::<1>().map_or(0, |[byte]| byte);
        shortened(pause, random)
    }

    /// What was tried worked for so long. What was lost at once is no reason to be back at once.
    pub(in crate::forward) fn held(&mut self, lasted: Duration) {
        if lasted >= self.next {
            *self = Self::new();
        }
    }
}

fn shortened(pause: Duration, random: u8) -> Duration {
    pause - pause * u32::from(random) / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let mut backoff = Backoff::new();
        for millis in [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000] {
            let whole = Duration::from_millis(millis);
            let pause = backoff.next();
            assert!(pause > whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
        }
    }

    #[test]
    fn a_pause_is_shortened_by_up_to_a_half() {
        let whole = Duration::from_secs(1);
        assert_eq!(shortened(whole, 0), whole);
        assert_eq!(shortened(whole, 128), whole * 3 / 4);
        let shortest = shortened(whole, u8::MAX);
        assert!(shortest > whole / 2 && shortest < whole * 51 / 100, "{shortest:?}");
    }

    #[test]
    fn pauses_are_not_all_the_same() {
        let first = Backoff::new().next();
        assert!((0..100).any(|_| Backoff::new().next() != first));
    }

    #[test]
    fn only_what_held_for_as_long_as_the_next_pause_begins_anew() {
        let mut backoff = Backoff::new();
        backoff.next();
        backoff.next();
        backoff.held(Duration::from_millis(799));
        assert_eq!(backoff.next, Duration::from_millis(800));
        backoff.held(Duration::from_millis(800));
        assert_eq!(backoff.next, Duration::from_millis(200));
    }
}
