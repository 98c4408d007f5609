//! What a peer sends for free, at either end and over everything that carries streams or channels: it is counted and refused or does no
//! harm, and what is held meanwhile is bounded. Alone in its program, since it counts what the whole program holds.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod ends;
mod frames;
#[path = "../spdy_support/mod.rs"]
mod spdy_support;

use std::{
    alloc::System,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use channel_proto::{Error, ErrorKind};
use ends::{End, Reader, Victim};
use frames::{Flood, Peer, Worth};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// More frames than are taken for free in a second, and than there is room for streams.
const FRAMES: u32 = 12_000;

/// What an end may hold: 128 KiB of answers that nobody reads, and as much again while they are laid out, or a header block of 64 KiB
/// as it came, inflated and read; and 47 KiB to inflate with.
const MOST: usize = 320 << 10;

/// One test at a time.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// The most that was held above what was held at the beginning.
struct Peak {
    base: usize,
    most: usize,
}

impl Peak {
    fn new() -> Self {
        Self { base: held(), most: 0 }
    }

    /// Does something; whatever it allocates on its way counts as if it had been held all at once.
    fn during<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let (held, before) = (held(), ALLOCATOR.stats().bytes_allocated);
        let done = act();
        let most = held + (ALLOCATOR.stats().bytes_allocated - before);
        self.most = self.most.max(most.saturating_sub(self.base));
        done
    }
}

fn is_flood(error: &Error) -> bool {
    *error.kind() == ErrorKind::Limit { what: "frames a second that carry nothing", limit: 10_000 }
}

/// How a flood went: after so many frames, with this error, and so much held.
struct Went {
    count: u32,
    error: Option<Error>,
    most: usize,
}

fn run(flood: &Flood, victim: Victim, reader: Reader) -> Went {
    let mut peer = Peer::of(victim);
    let opening = peer.opening();
    let first = (flood.first)(&mut peer);
    let mut peak = Peak::new();
    let mut end = peak.during(|| End::new(victim));
    end.take(&opening).unwrap();
    end.write();
    end.take(&first).unwrap();
    let mut error = None;
    let mut count = 0;
    while count < FRAMES && error.is_none() {
        let frame = (flood.frame)(&mut peer, count);
        error = peak.during(|| end.take(&frame)).err();
        count += 1;
        if reader == Reader::Reads {
            peak.during(|| end.write());
        } else if end.is_stopped() {
            break;
        }
        if count == 5_000 && reader == Reader::Reads && !flood.inside {
            assert!(end.hears(&peer.something()), "{}: {victim:?} goes on", flood.name);
        }
    }
    Went { count, error, most: peak.most }
}

// Holds SPD-20.
#[test]
fn what_is_free_is_counted_at_both_ends_and_takes_no_memory() {
    let _turn = turn();
    for (flood, victim) in frames::all() {
        let went = run(&flood, victim, Reader::Reads);
        let what = format!("{} to {victim:?}: {} frames, {:?}", flood.name, went.count, went.error);
        match flood.worth {
            Worth::Nothing => {
                assert!(went.error.as_ref().is_some_and(is_flood), "{what}");
                let kept = if flood.opens && victim.keeps_what_is_opened() { 1_000 } else { 0 };
                assert!((9_990..=10_001).contains(&went.count.saturating_sub(kept)), "{what}");
            }
            Worth::Bytes => assert_eq!((went.count, went.error), (FRAMES, None), "{what}"),
        }

        assert!(went.most <= MOST, "{what}: {}", went.most);
    }
}

// Holds SPD-20.
#[test]
fn a_peer_that_reads_no_answers_is_stopped_or_refused() {
    let _turn = turn();
    for (flood, victim) in frames::all() {
        let went = run(&flood, victim, Reader::ReadsNothing);
        let what = format!("{} to {victim:?}: {} frames, {:?}", flood.name, went.count, went.error);
        assert!(went.error.as_ref().is_none_or(is_flood), "{what}");

        assert!(went.most <= MOST, "{what}: {}", went.most);
    }
}

// Holds SPD-8.
#[test]
fn headers_beyond_a_limit_are_refused_in_every_frame_and_take_no_memory() {
    let _turn = turn();
    for victim in Victim::OVER_SPDY {
        for (name, limit, block) in frames::too_much() {
            for frame in frames::with_headers(victim, &block) {
                let mut peer = Peer::of(victim);
                let opening = peer.opening();
                let mut peak = Peak::new();
                let mut end = peak.during(|| End::new(victim));
                // The frame begins the zlib stream, so that it comes first.
                let error = peak.during(|| end.take(&frame)).expect_err("refused");
                let is_limit = matches!(error.kind(), ErrorKind::Limit { what, .. } if *what == limit);
                assert!(is_limit, "{name} to {victim:?}: {error}");
                assert_eq!(peak.during(|| end.take(&opening)).err(), Some(error), "it sticks");
                assert!(peak.most <= MOST, "{name} to {victim:?}: {}", peak.most);
            }
        }
    }
}

// Holds SPD-16, PFW-8.
#[test]
fn lone_streams_hold_what_there_is_room_for_and_let_go_of_it() {
    let _turn = turn();
    for victim in [Victim::RAW_SERVER, Victim::TUNNEL_SERVER] {
        let mut peer = Peer::of(victim);
        let mut peak = Peak::new();
        let mut end = peak.during(|| End::new(victim));
        let long = "r".repeat((8 << 10) - 8);
        for at in 0..700 {
            let request = format!("{long}{at:08}");
            let frame = peer.opens(at, &[("streamtype", "data"), ("port", "80"), ("requestid", &request)]);
            drop(request);
            peak.during(|| end.take(&frame)).unwrap();
            peak.during(|| end.write());
        }
        let requests = 500 * (8 << 10);
        assert!((requests..requests + MOST).contains(&peak.most), "{victim:?}: {}", peak.most);
        end.wait(Duration::from_secs(30));
        end.write();
        let left = held() - peak.base;
        assert!(left <= 128 << 10, "{victim:?}: {left}");
    }
}
