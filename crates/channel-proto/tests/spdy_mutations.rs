//! Recordings with bytes changed, dropped and doubled: never a panic, and the same in every cut.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod spdy_support;

use std::time::Instant;

use channel_proto::{
    Error, Limits, Role,
    spdy::{Connection, Event, Priority, ResetStatus},
};
use spdy_support::{Cut, feed, headers, random, recorded, written};

const MUTATIONS: u64 = 40;

fn mutate(bytes: &[u8], seed: &mut u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random(seed) % 4 {
        let mut draw = |below: usize| usize::try_from(random(seed)).unwrap() % below.max(1);
        let at = draw(bytes.len());
        let end = (at + draw(20)).min(bytes.len());
        match draw(4) {
            0 if at < bytes.len() => bytes[at] ^= 1 << draw(8),
            1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][draw(5)],
            2 => drop(bytes.drain(at..end)),
            _ => {
                let copy = bytes[at..end].to_vec();
                let to = draw(bytes.len());
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}

/// Plays `bytes` to an end that answers what it can.
fn play(role: Role, bytes: &[u8], cut: Cut) -> (Vec<Event>, Option<Error>, Vec<u8>) {
    let mut limits = Limits::default();
    limits.spdy_streams = 3;
    let mut connection = Connection::new(role, &limits);
    for _ in 0..4 {
        let stream = connection.open(headers([("a", "b")]), Priority::HIGHEST).unwrap();
        connection.send(stream, b"data").unwrap();
    }
    let (events, error) = feed(&mut connection, Instant::now(), cut.chunks(bytes));
    for event in &events {
        if let Event::Opened { id, .. } = event {
            connection.reply(*id).ok();
            connection.send(*id, b"data").ok();
            connection.finish(*id).ok();
            connection.reset(*id, ResetStatus::CANCEL);
        }
    }
    (events, error, written(&mut connection))
}

// Holds SPD-1.
#[test]
fn changed_recordings_are_judged_the_same_in_every_cut() {
    let (mut seed, mut failed) = (0x5eed, 0);
    for recording in recorded::all() {
        for (direction, role) in [(&recording.to_server, Role::Server), (&recording.to_client, Role::Client)]
        {
            if direction.bytes.len() > 4_000 {
                continue;
            }
            for nth in 0..MUTATIONS {
                let bytes = mutate(&direction.bytes, &mut seed);
                let whole = play(role, &bytes, Cut::Whole);
                failed += usize::from(whole.1.is_some());
                for cut in [Cut::Bytewise, Cut::Random(nth + 1)] {
                    assert_eq!(
                        play(role, &bytes, cut),
                        whole,
                        "{} {nth} {cut:?}: {bytes:02x?}",
                        recording.name
                    );
                }
            }
        }
    }
    assert!(failed > 500, "{failed}");
}
