//! The tunnel of a forward: how strict it is, how it is left, and that nobody cares where its messages end.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod forward_support;
mod spdy_support;

use std::time::Instant;

use channel_proto::{
    ErrorKind, FrameViolation, Role, SpdyViolation, Strictness,
    forward::{Forward, ForwardEvent},
};
use forward_support::{CUTS, End, Pair, WIRES, Wire, config};
use spdy_support::{FIN, Writer, control, data, numbers, ping, random, rst};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// A short frame to this role, masked by zeros if a client sends it.
fn frame_to(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = if role == Role::Server { 0x80 } else { 0 };
    let len = match u16::try_from(payload.len()).unwrap() {
        len @ ..126 => vec![mask | len.to_be_bytes()[1]],
        len => [&[mask | 126][..], &len.to_be_bytes()].concat(),
    };
    let key: &[u8] = if role == Role::Server { &[0; 4] } else { &[] };
    [&[first], &len[..], key, payload].concat()
}

/// The frames that this role sent: the first byte of each, and its payload.
fn frames_of(role: Role, mut sent: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = sent {
        assert_eq!(*second >= 0x80, role == Role::Client, "only a client masks");
        let (len, rest) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes(rest[..2].try_into().unwrap())), &rest[2..]),
            127 => panic!("a frame of 64 KiB or more"),
            len => (usize::from(len), rest),
        };
        let (key, rest) = if role == Role::Client { rest.split_at(4) } else { (&[0; 4][..], rest) };
        let (payload, rest) = rest.split_at(len);
        frames.push((*first, payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()));
        sent = rest;
    }
    assert!(sent.is_empty(), "half a frame");
    frames
}

/// A tunnel with something to say that was not laid out yet.
fn tunnel(role: Role, strictness: Strictness) -> End {
    let mut config = config();
    config.strictness = strictness;
    let mut end = End::of(Forward::over_tunnel(role, &config, Instant::now()));
    if role == Role::Client {
        let id = end.forward.connect(80).unwrap();
        end.forward.write(id, b"never sent").unwrap();
    }
    end
}

/// The code in the payload of a close frame.
fn code(payload: &[u8]) -> u16 {
    u16::from_be_bytes(payload[..2].try_into().unwrap())
}

// Holds TUN-3, TUN-4.
#[test]
fn a_tunnel_is_strict_whatever_its_settings_say_and_closes_at_once_and_with_nothing_else() {
    let now = Instant::now();
    for role in ROLES {
        let frame = |first, payload: &[u8]| frame_to(role, first, payload);
        let other = if role == Role::Client { Role::Server } else { Role::Client };
        let wrong_mask = if role == Role::Client { FrameViolation::Masked } else { FrameViolation::Unmasked };
        let long =
            [&frame(0x82, b"x")[..1], &[frame(0x82, b"x")[1] & 0x80 | 126, 0, 1, 0, 0, 0, 0, b'x']].concat();
        for (bytes, violation, at, expected) in [
            (frame(0x81, b"x"), FrameViolation::Text, 0, 1003),
            (frame(0x01, b""), FrameViolation::Text, 0, 1003),
            (frame_to(other, 0x82, b"x"), wrong_mask, 0, 1002),
            (frame(0xc2, b"x"), FrameViolation::ReservedBits, 0, 1002),
            (frame(0x83, b"x"), FrameViolation::ReservedOpcode, 0, 1002),
            (frame(0x8b, b"x"), FrameViolation::ReservedOpcode, 0, 1002),
            (long, FrameViolation::LengthNotMinimal, 0, 1002),
            (frame(0x89, &[b'p'; 126]), FrameViolation::ControlLength, 0, 1002),
            (frame(0x09, b"p"), FrameViolation::ControlFragmented, 0, 1002),
            (frame(0x80, b"x"), FrameViolation::StrayContinuation, 0, 1002),
            (
                [frame(0x02, b""), frame(0x82, b"x")].concat(),
                FrameViolation::Interrupted,
                frame(0, b"").len(),
                1002,
            ),
            (frame(0x88, &[3]), FrameViolation::CloseLength, 0, 1002),
            (frame(0x88, &[3, 236]), FrameViolation::CloseCode, 0, 1002),
        ] {
            for strictness in [Strictness::Strict, Strictness::Lax] {
                for cut in CUTS {
                    let mut end = tunnel(role, strictness);
                    end.take(now, &bytes, cut);
                    let error = end.error.clone().expect("refused");
                    assert_eq!(
                        (error.kind(), error.offset()),
                        (&ErrorKind::Frame(violation), Some(at as u64))
                    );
                    let sent = frames_of(role, &end.sends());
                    let [(0x88, payload)] = &sent[..] else { panic!("{role:?} {violation:?}: {sent:02x?}") };
                    assert_eq!(code(payload), expected, "{role:?} {violation:?}");
                }
            }
        }
    }
}

// Holds TUN-4.
#[test]
fn behind_bad_spdy_a_tunnel_is_left_with_goaway_1_and_then_a_close() {
    let now = Instant::now();
    for role in ROLES {
        let settings = numbers(4, 0, &[&[65][..], &[0; 130]].concat());
        let limit = ErrorKind::Limit { what: "entries of one SPDY SETTINGS frame", limit: 64 };
        for (bad, kind, expected) in [
            (ping(0), ErrorKind::Spdy(SpdyViolation::PingZero), 1002),
            (data(0, 0, b"x"), ErrorKind::Spdy(SpdyViolation::StreamZero), 1002),
            (control(6, 0, b"too long"), ErrorKind::Spdy(SpdyViolation::FrameLength), 1002),
            (settings, limit, 1009),
        ] {
            for cut in CUTS {
                let mut end = tunnel(role, Strictness::Strict);
                // The peer's parity: it is answered, and comes before the GOAWAY.
                let theirs = ping(if role == Role::Client { 2 } else { 1 });
                let before = frame_to(role, 0x82, &theirs);
                end.take(now, &[&before[..], &frame_to(role, 0x82, &bad)].concat(), cut);
                let error = end.error.clone().expect("refused");
                assert_eq!((error.kind(), error.offset()), (&kind, Some(before.len() as u64)));
                let mut sent = frames_of(role, &end.sends());
                let (opcode, payload) = sent.pop().unwrap();
                assert_eq!((opcode, code(&payload)), (0x88, expected), "{role:?} {kind:?}");
                assert_eq!(&payload[2..], kind.to_string().as_bytes());
                assert!(sent.iter().all(|frame| frame.0 == 0x82));
                let spdy: Vec<u8> = sent.into_iter().flat_map(|frame| frame.1).collect();
                let goaway = numbers(7, 0, &[0, 1]);
                assert!(spdy.ends_with(&[theirs, goaway].concat()), "{role:?}: {spdy:02x?}");
            }
        }
    }
}

// Holds TUN-4.
#[test]
fn whoever_leaves_a_tunnel_does_so_with_goaway_0_and_then_close_1000() {
    for role in ROLES {
        let mut end = End::of(Forward::over_tunnel(role, &config(), Instant::now()));
        end.forward.abort();
        let goaway = (0x82, numbers(7, 0, &[0, 0]));
        assert_eq!(frames_of(role, &end.sends()), [goaway, (0x88, vec![3, 232])]);
    }
}

// Holds TUN-4.
#[test]
fn what_was_written_before_an_abort_goes_out_before_the_close() {
    for wire in WIRES {
        let mut pair = Pair::new(wire, usize::MAX);
        let clients: Vec<_> = (80..90).map(|port| pair.connect(port)).collect();
        let servers: Vec<_> = (80..90).map(|port| pair.accepted(port)).collect();
        // More in all than a tunnel lays out at once.
        let data = vec![7; 60 << 10];
        let sent: Vec<_> =
            servers.iter().map(|id| pair.server.forward.write(*id, &data).unwrap_or(0)).collect();
        assert!(sent.iter().sum::<usize>() > 130 << 10, "{sent:?}");
        pair.server.forward.abort();
        pair.settle();
        let came: Vec<_> = clients.iter().map(|id| pair.client.data(*id).len()).collect();
        assert_eq!(came, sent, "{wire:?}");
        if wire == Wire::Tunnel {
            let last = pair.client.events.last();
            assert!(
                matches!(last, Some(ForwardEvent::Ended(Some(close))) if close.code == Some(1000)),
                "{last:?}"
            );
        }
    }
}

// Holds TUN-6.
#[test]
fn our_messages_are_binary_whole_and_of_32_kib_at_most() {
    let mut pair = Pair::new(Wire::Tunnel, usize::MAX);
    let client = pair.connect(80);
    let server = pair.accepted(80);
    let payload: Vec<u8> = (0..300_000u32).map(|at| at.to_le_bytes()[0]).collect();
    for role in ROLES {
        let (end, id) = match role {
            Role::Client => (&mut pair.client, client),
            _ => (&mut pair.server, server),
        };
        let (mut rest, mut longest, mut carried) = (&payload[..], 0, Vec::new());
        while !rest.is_empty() {
            rest = &rest[end.forward.write(id, rest).unwrap()..];
            for (first, payload) in frames_of(role, &end.sends()) {
                assert_eq!(first, 0x82);
                longest = longest.max(payload.len());
                carried.extend(payload);
            }
        }
        assert_eq!(longest, 32 << 10, "{role:?}");
        assert!(carried.len() > payload.len() && carried.len() < payload.len() + 200, "{}", carried.len());
    }
}

/// What a peer of this role may say to a connection or three, in SPDY.
fn conversation(role: Role) -> Vec<u8> {
    let mut writer = Writer::new();
    let mut all = Vec::new();
    let payload: Vec<u8> = (0..40_000u32).map(|at| (at / 3).to_le_bytes()[0]).collect();
    for at in 0..3 {
        let (error, stream) = (4 * at + 1, 4 * at + 3);
        for (id, kind) in [(error, "error"), (stream, "data")] {
            let request = at.to_string();
            let fields = [("streamtype", kind), ("port", "80"), ("requestid", request.as_str())];
            all.extend(match role {
                Role::Client => writer.syn_stream(id, 0, &fields),
                _ => writer.syn_reply(id, 0, &[]),
            });
        }
        let len = payload.len() / (3 * usize::try_from(at).unwrap() + 1);
        all.extend(data(stream, 0, &payload[..len]));
        all.extend(ping(if role == Role::Client { 2 * at + 1 } else { 2 * at + 2 }));
        all.extend(data(stream, 0, b""));
        all.extend(data(stream, 0, &payload[..7]));
    }
    let text = if role == Role::Server { &b"no route to host"[..] } else { b"" };
    all.extend(
        [data(1, FIN, text), data(3, FIN, b"the end"), rst(7, 5), data(9, FIN, b""), data(11, FIN, b"")]
            .concat(),
    );
    all
}

/// What the other end of that makes of it: its events, data of one connection joined, and what it answers in SPDY.
#[derive(Debug, PartialEq)]
struct Heard {
    events: Vec<ForwardEvent>,
    answers: Vec<u8>,
}

fn listener(role: Role, wire: Wire) -> End {
    let now = Instant::now();
    let mut end = End::of(match wire {
        Wire::Raw => Forward::over_spdy(role, &config(), now),
        Wire::Tunnel => Forward::over_tunnel(role, &config(), now),
    });
    if role == Role::Client {
        (0..3).for_each(|_| _ = end.forward.connect(80).unwrap());
    }
    end
}

fn joined(events: Vec<ForwardEvent>) -> Vec<ForwardEvent> {
    let mut all: Vec<ForwardEvent> = Vec::new();
    for event in events {
        match (all.last_mut(), event) {
            (Some(ForwardEvent::Data(last, before)), ForwardEvent::Data(id, more)) if *last == id => {
                *before = [&before[..], &more].concat().into();
            }
            (_, event) => all.push(event),
        }
    }
    all
}

/// The same bytes in messages, fragments and empty continuations, with pings and pongs in between, as the seed has it.
fn recut(role: Role, mut spdy: &[u8], seed: &mut u64) -> Vec<u8> {
    let mut all = Vec::new();
    let mut inside = false;
    while !spdy.is_empty() || inside {
        let mut draw = |below: u64| usize::try_from(random(seed) % below).unwrap();
        match draw(10) {
            0 => all.extend(frame_to(role, 0x89, b"ping")),
            1 => all.extend(frame_to(role, 0x8a, b"")),
            _ => {
                let most = [1, 8, 200, 20_000][draw(4)];
                let len = if draw(4) == 0 { 0 } else { 1 + draw(most) }.min(spdy.len());
                let (payload, rest) = spdy.split_at(len);
                let fin = draw(3) == 0 || rest.is_empty() && draw(2) == 0;
                let first = u8::from(fin) << 7 | u8::from(!inside) << 1;
                all.extend(frame_to(role, first, payload));
                (spdy, inside) = (rest, !fin);
            }
        }
    }
    all
}

// Holds TUN-1, SPD-1.
#[test]
fn where_messages_and_fragments_end_changes_nothing() {
    let now = Instant::now();
    for role in ROLES {
        let peer = if role == Role::Client { Role::Server } else { Role::Client };
        let spdy = conversation(peer);
        let mut raw = listener(role, Wire::Raw);
        raw.take(now, &spdy, usize::MAX);
        assert_eq!(raw.error, None);
        let whole = Heard { events: joined(std::mem::take(&mut raw.events)), answers: raw.sends() };
        assert!(whole.events.len() >= 5, "{:?}", whole.events.len());
        let mut pongs = 0;
        for seed in 1..=60u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut end = listener(role, Wire::Tunnel);
            end.take(now, &recut(role, &spdy, &mut state), CUTS[usize::try_from(seed).unwrap() % CUTS.len()]);
            assert_eq!(end.error, None, "seed {seed}");
            let mut heard = Heard { events: joined(std::mem::take(&mut end.events)), answers: Vec::new() };
            for (first, payload) in frames_of(role, &end.sends()) {
                match first {
                    0x8a => pongs += 1,
                    _ => heard.answers.extend(payload),
                }
            }
            assert!(heard == whole, "{role:?}, seed {seed}: {:?}", heard.events.len());
        }
        assert!(pongs > 60, "{pongs}");
    }
}
