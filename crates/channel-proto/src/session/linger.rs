//! How long the end of the connection is waited for.

use std::time::{Duration, Instant};

/// The wait for the end, once the status went.
pub(super) struct Linger {
    time: Duration,
    until: Option<Instant>,
    /// What was still to be sent when the wait began, or was last extended, in bytes.
    queued: usize,
}

impl Linger {
    pub(super) fn new(time: Duration) -> Self {
        Self { time, until: None, queued: 0 }
    }

    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// The wait begins, unless it did before.
    pub(super) fn begin(&mut self, now: Instant, queued: usize) {
        if self.until.is_none() {
            (self.until, self.queued) = (now.checked_add(self.time), queued);
        }
    }

    /// Whether it is over: not while a slow peer still takes what is left to send, for cutting it off would lose output (EXE-19).
    pub(super) fn is_over(&mut self, now: Instant, queued: usize) -> bool {
        if self.until.is_none_or(|until| now < until) {
            return false;
        }
        if queued == 0 || queued >= self.queued {
            return true;
        }
        (self.until, self.queued) = (now.checked_add(self.time), queued);
        false
    }
}
