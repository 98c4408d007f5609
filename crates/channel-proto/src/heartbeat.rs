//! Pings, and the silence after which a peer counts as dead.

use std::time::{Duration, Instant};

/// How often to ping, and when to give up. The default is kubectl's: a ping every 5 s, dead after 61 s (WSF-17, WSF-18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatConfig {
    /// The time between pings; `None` sends none. Load balancers cut connections that are idle for minutes.
    pub ping_every: Option<Duration>,
    /// The silence after which the peer counts as dead; `None` waits for ever.
    pub dead_after: Option<Duration>,
}

impl HeartbeatConfig {
    /// No pings, and no end to patience.
    pub const OFF: Self = Self { ping_every: None, dead_after: None };
}

impl Default for HeartbeatConfig {
    fn default() -> Self {
        Self { ping_every: Some(Duration::from_secs(5)), dead_after: Some(Duration::from_secs(61)) }
    }
}

/// Whether the driver reads from the peer. While it does not, silence means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// What arrives is read.
    Active,
    /// The driver stopped reading, because somebody does not take what already came.
    Paused,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Nothing,
    Ping,
    /// The peer was silent for this long.
    Dead(Duration),
}

#[derive(Debug)]
pub(crate) struct Heartbeat {
    config: HeartbeatConfig,
    heard: Instant,
    pinged: Instant,
    reading: Reading,
}

impl Heartbeat {
    pub(crate) fn new(config: HeartbeatConfig, now: Instant) -> Self {
        Self { config, heard: now, pinged: now, reading: Reading::Active }
    }

    /// Something came from the peer.
    #[inline]
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Reading stopped or went on. What the silence before was worth nobody knows, so it counts from now.
    pub(crate) fn set_reading(&mut self, now: Instant, reading: Reading) {
        if self.reading == Reading::Paused {
            self.heard = now;
        }
        self.reading = reading;
    }

    /// When to call [`beat`](Self::beat) next.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.ping_at().into_iter().chain(self.dead_at()).min()
    }

    /// The same where reading may have gone on while nobody told the time: then at once, so that the silence counts from then.
    pub(crate) fn timeout_if(&self, reading: Reading) -> Option<Instant> {
        let goes_on = (self.reading, reading) == (Reading::Paused, Reading::Active);
        if goes_on { Some(self.heard) } else { self.timeout() }
    }

    /// A time beyond all time never comes.
    fn ping_at(&self) -> Option<Instant> {
        self.pinged.checked_add(self.config.ping_every?)
    }

    fn dead_at(&self) -> Option<Instant> {
        let after = self.config.dead_after.filter(|_| self.reading == Reading::Active);
        self.heard.checked_add(after?)
    }

    pub(crate) fn beat(&mut self, now: Instant) -> Beat {
        if let Some(after) = self.config.dead_after
            && self.dead_at().is_some_and(|at| now >= at)
        {
            return Beat::Dead(after);
        }
        if self.ping_at().is_some_and(|at| now >= at) {
            self.pinged = now;
            return Beat::Ping;
        }
        Beat::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Runs the clock until `end` seconds, and tells what came when.
    fn run(heartbeat: &mut Heartbeat, start: Instant, end: u64) -> Vec<(u64, Beat)> {
        let mut beats = Vec::new();
        while let Some(at) = heartbeat.timeout().filter(|at| *at <= start + seconds(end)) {
            let beat = heartbeat.beat(at);
            let dead = matches!(beat, Beat::Dead(_));
            beats.push(((at - start).as_secs(), beat));
            if dead {
                break;
            }
        }
        beats
    }

    // Holds WSF-17, WSF-18.
    #[test]
    fn a_silent_peer_is_pinged_every_5_s_and_dead_after_61_s() {
        let start = Instant::now();
        let beats = run(&mut Heartbeat::new(HeartbeatConfig::default(), start), start, 100);
        let expected: Vec<_> =
            (1..=12).map(|nth| (nth * 5, Beat::Ping)).chain([(61, Beat::Dead(seconds(61)))]).collect();
        assert_eq!(beats, expected);
    }

    // Holds WSF-19.
    #[test]
    fn a_paused_reader_pings_but_never_calls_the_peer_dead() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(HeartbeatConfig::default(), start);
        heartbeat.set_reading(start + seconds(1), Reading::Paused);
        assert!(run(&mut heartbeat, start, 1000).iter().all(|(_, beat)| *beat == Beat::Ping));
        heartbeat.set_reading(start + seconds(1000), Reading::Active);
        assert_eq!(run(&mut heartbeat, start, 2000).last(), Some(&(1061, Beat::Dead(seconds(61)))));
    }

    // Holds WSF-20.
    #[test]
    fn off_is_off_and_so_is_a_time_beyond_all_time() {
        let never = HeartbeatConfig { ping_every: Some(Duration::MAX), dead_after: Some(Duration::MAX) };
        for config in [HeartbeatConfig::OFF, never] {
            let mut heartbeat = Heartbeat::new(config, Instant::now());
            assert_eq!(heartbeat.timeout(), None);
            assert_eq!(heartbeat.beat(Instant::now() + seconds(1000)), Beat::Nothing);
        }
    }
}
