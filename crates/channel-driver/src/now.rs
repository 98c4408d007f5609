//! The time, asked for at most once in a poll, and not in those that need it not.

use std::{cell::Cell, time::Instant};

/// When a poll happens.
pub(crate) struct Now {
    clock: fn() -> Instant,
    read: Cell<Option<Instant>>,
}

impl Now {
    pub(crate) fn by(clock: fn() -> Instant) -> Self {
        Self { clock, read: Cell::new(None) }
    }

    #[inline]
    pub(crate) fn get(&self) -> Instant {
        self.read.get().unwrap_or_else(|| {
            let now = (self.clock)();
            self.read.set(Some(now));
            now
        })
    }
}
