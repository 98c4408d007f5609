//! Every recorded port-forward, replayed at both ends: our client with the bytes of the recorded server, and our server with those of the
//! recorded client and what listened on its ports.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod forward_replay;
mod recording;
mod spdy_support;

use std::collections::{BTreeMap, BTreeSet};

use channel_proto::Role;
use forward_replay::{
    Carrier, Case, Told, all, channels,
    deviations::{Aspect, DEVIATIONS},
    streams,
};
use recording::{Sender, cut::Cut, deviations::matches, frames};

/// The one recording that is longer, an upload of 4 MiB, is fed by 13 bytes in the place of byte by byte.
const LONG: usize = 2 << 20;

fn cuts(bytes: usize) -> [Cut; 3] {
    [Cut::Every(if bytes > LONG { 13 } else { 1 }), Cut::Random(7), Cut::Random(1 << 40)]
}

/// What of a recording differs from what our ends make of it.
fn differences(case: &Case) -> BTreeMap<Aspect, String> {
    let name = &case.name;
    let len = case.messages.iter().map(|message| message.frame.payload.len()).sum();
    let mut differences = BTreeMap::new();
    let mut compare = |aspect, ours: &dyn std::fmt::Debug, theirs: &dyn std::fmt::Debug, same: bool| {
        if !same {
            differences.insert(aspect, format!("ours {ours:?}, theirs {theirs:?}"));
        }
    };
    let (client, server) = if case.carrier == Carrier::Channels {
        let client = channels::play_client(case, Cut::Whole);
        let server = channels::play_server(case, Cut::Whole);
        for cut in cuts(len) {
            assert!(channels::play_client(case, cut) == client, "{name} {cut:?}");
            assert!(channels::play_server(case, cut) == server, "{name} {cut:?}");
        }
        let theirs = channels::sent_by(case, Sender::Client);
        let mut ours = client.1;
        if case.leaves_unanswered(Sender::Client) {
            ours.retain(|frame| frame.0 != frames::CLOSE);
        }
        compare(Aspect::ClientSent, &ours, &theirs, ours == theirs);
        let theirs = channels::sent_by(case, Sender::Server);
        compare(Aspect::ServerSent, &server.1, &theirs, server.1 == theirs);
        let ports: Vec<u16> = server.2.iter().map(|connect| connect.1).collect();
        assert_eq!(ports, channels::ports(case), "{name}");
        let asked = case.ports_asked_for();
        assert!(asked.is_empty() || asked == ports, "{name}");
        (
            (client.0, channels::told_by(case, Sender::Server)),
            (server.0, channels::told_by(case, Sender::Client)),
        )
    } else {
        let client = streams::play_client(case, Cut::Whole);
        let server = streams::play_server(case, Cut::Whole);
        for cut in cuts(len) {
            assert!(streams::play_client(case, cut) == client, "{name} {cut:?}");
            assert!(streams::play_server(case, cut) == server, "{name} {cut:?}");
        }
        for (by, aspect, mut ours) in
            [(Sender::Client, Aspect::ClientSent, client.1), (Sender::Server, Aspect::ServerSent, server.1)]
        {
            if case.leaves_unanswered(by) {
                ours.entry(0).or_default().retain(|words| words != "close 1000");
                ours.retain(|_, words| !words.is_empty());
            }
            let theirs = streams::sent_by(case, by);
            compare(aspect, &ours, &theirs, ours == theirs);
        }
        let connects: Vec<_> = streams::pairs(case).iter().map(|pair| (pair.data, pair.port)).collect();
        assert_eq!(server.2, connects, "{name}");
        (
            (client.0, streams::told_by(case, Sender::Server)),
            (server.0, streams::told_by(case, Sender::Client)),
        )
    };
    compare(Aspect::ClientTold, &client.0, &client.1, client.0 == client.1);
    compare(Aspect::ServerTold, &server.0, &server.1, server.0 == server.1);
    differences
}

// Holds PFW-4, PFW-5, PFW-6, PFW-7, PFW-8, TUN-1, TUN-2.
#[test]
fn every_recorded_forward_goes_as_it_did_at_both_ends() {
    let cases = all();
    let mut counts = [0; 3];
    let mut actual = BTreeMap::new();
    for case in &cases {
        counts[case.carrier as usize] += 1;
        let differences = differences(case).into_iter();
        actual.extend(differences.map(|(aspect, how)| ((case.name.clone(), aspect), how)));
    }
    assert_eq!(counts, [7, 36, 51]);
    let mut reasoned = BTreeSet::new();
    for deviation in DEVIATIONS {
        assert!(!deviation.reason.is_empty());
        for pattern in deviation.cases {
            let names = cases.iter().map(|case| &case.name).filter(|name| matches(pattern, name));
            let names: Vec<_> = names.collect();
            assert!(!names.is_empty(), "{pattern} is no recording");
            for name in names {
                reasoned.extend(deviation.what.iter().map(|aspect| (name.clone(), *aspect)));
            }
        }
    }
    let unreasoned: Vec<_> = actual.iter().filter(|(what, _)| !reasoned.contains(*what)).collect();
    let stale: Vec<_> = reasoned.iter().filter(|what| !actual.contains_key(*what)).collect();
    assert!(unreasoned.is_empty() && stale.is_empty(), "unreasoned {unreasoned:#?}\nstale {stale:#?}");
}

/// Where a stream is cut: everywhere, or at both its ends if it is long.
fn offsets(len: usize) -> impl Iterator<Item = usize> {
    (0..=len).filter(move |at| len < 6_000 || *at < 700 || len - at < 300 || at % 9_973 == 0)
}

/// What was told of less says nothing that was not told of the whole.
fn assert_no_more(name: &str, at: usize, part: &Told, whole: &Told) {
    for (connection, data) in &part.data {
        assert!(whole.data[connection].starts_with(data), "{name} {at}");
    }
    for (connection, ends) in &part.ends {
        let of_whole = whole.ends.get(connection).cloned().unwrap_or_default();
        let full = |end: &String| of_whole.contains(end);
        let cut = |end: &String| {
            end.starts_with("failed: ") && of_whole.iter().any(|whole| whole.starts_with(end.as_str()))
        };
        assert!(ends.iter().all(|end| full(end) || cut(end)), "{name} {at}: {ends:?}");
        if ends.contains(&"end".to_owned()) {
            assert_eq!(
                part.data.get(connection),
                whole.data.get(connection),
                "{name} {at}: a cut taken for an end"
            );
        }
    }
    assert!(part.error.is_some() || part.ended.is_some(), "{name} {at}: neither an error nor an end");
}

// Holds PFW-7, PFW-14.
#[test]
fn a_stream_cut_anywhere_never_seems_to_have_ended_well() {
    let mut cut = 0;
    for case in all() {
        for role in [Role::Client, Role::Server] {
            let bytes = case.stream(if role == Role::Client { Sender::Server } else { Sender::Client });
            let told = |bytes: &[u8]| match (case.carrier, role) {
                (Carrier::Channels, _) => channels::prefix(&case, role, bytes),
                (_, Role::Client) => streams::prefix_to_client(&case, bytes),
                (_, _) => streams::prefix_to_server(&case, bytes),
            };
            let whole = told(&bytes);
            for at in offsets(bytes.len()) {
                assert_no_more(&case.name, at, &told(&bytes[..at]), &whole);
                cut += 1;
            }
        }
    }
    assert!(cut > 25_000, "{cut}");
}
