//! Operations that are tried on a pair of ends, one after the other.

use std::{fmt, time::Duration};

use arbitrary::{Arbitrary, Unstructured};

use crate::heartbeat::HeartbeatConfig;

/// A pair of ends, and what is known of them.
pub(super) trait Pair: Sized {
    /// What the applications, the link and the clock do next.
    type Op: for<'a> Arbitrary<'a> + fmt::Debug;

    /// Both ends, at the start.
    fn new(u: &mut Unstructured<'_>) -> arbitrary::Result<Self>;

    fn step(&mut self, op: Self::Op);

    /// All that was begun comes to its end.
    fn end(&mut self);
}

/// Plays what `data` stands for: a pair, then operations. An input that ends early is played as far as it goes, and not to the end.
pub(super) fn play<P: Pair>(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(mut pair) = P::new(&mut u) else { return };
    while !u.is_empty() {
        let Ok(op) = P::Op::arbitrary(&mut u) else { return };
        #[cfg(test)]
        tests::show(&op);
        pair.step(op);
    }
    pair.end();
}

pub(super) fn heartbeat(u: &mut Unstructured<'_>) -> arbitrary::Result<HeartbeatConfig> {
    let short = HeartbeatConfig {
        ping_every: Some(Duration::from_secs(1)),
        dead_after: Some(Duration::from_secs(3)),
    };
    Ok(*u.choose(&[HeartbeatConfig::default(), HeartbeatConfig::OFF, short])?)
}

/// Repeats what moves bytes until nothing moves, in a bounded number of rounds.
pub(super) fn until_rest(mut moves: impl FnMut() -> bool) {
    assert!((0..100_000).any(|_| !moves()), "it never comes to rest");
}

#[cfg(test)]
mod tests {
    /// For the output of a replay that failed.
    pub(super) fn show(op: &impl std::fmt::Debug) {
        println!("{op:?}");
    }
}
