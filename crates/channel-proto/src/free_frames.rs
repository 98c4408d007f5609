//! What a peer can do for free is counted.

use std::time::Instant;

use crate::{error::ErrorKind, limits::Limits};

/// Counts, second by second, the frames that carry nothing.
pub(crate) struct FreeFrames {
    limit: u32,
    count: u32,
    since: Option<Instant>,
}

impl FreeFrames {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limit: limits.free_frames, count: 0, since: None }
    }

    pub(crate) fn count(&mut self, now: Instant) -> Result<(), ErrorKind> {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since).as_secs() > 0 {
            (self.count, self.since) = (0, Some(now));
        }
        self.count += 1;
        if self.count > self.limit {
            let limit = u64::from(self.limit);
            return Err(ErrorKind::Limit { what: "frames a second that carry nothing", limit });
        }
        Ok(())
    }
}
