//! Every recording of SPDY: its frames decode to what was recorded, and a connection makes of them what the two ends meant.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod spdy_support;

use std::time::Instant;

use bytes::Bytes;
use channel_proto::{
    Limits, Role,
    spdy::{Connection, Decoder, Event, Item, Priority, ResetStatus},
};
use spdy_support::{
    CUTS, Cut, data, feed, headers, id,
    recorded::{self, Direction, Recording, told},
    rst, written,
};

/// The recordings with SPDY frames, on a connection of their own or tunnelled.
const COUNT: usize = 63;

/// What `chunks` decode to, each DATA frame once, and whether they end inside a frame.
fn decode(chunks: Vec<Bytes>) -> (Vec<String>, bool) {
    let mut decoder = Decoder::new(&Limits::default());
    let (mut frames, mut payload) = (Vec::new(), 0);
    for mut chunk in chunks {
        while let Some(item) = decoder.decode(&mut chunk).unwrap() {
            let mut fin = false;
            if let Item::Data(piece) = &item {
                payload += piece.payload.len();
                fin = piece.fin;
                if !piece.end {
                    continue;
                }
            }
            frames.push(told(&item, std::mem::take(&mut payload), fin));
        }
        assert!(chunk.is_empty());
    }
    (frames, decoder.is_inside_frame())
}

fn directions(recording: &Recording) -> [&Direction; 2] {
    [&recording.to_server, &recording.to_client]
}

// Holds SPD-1, SPD-6.
#[test]
fn every_recorded_frame_decodes_in_any_cut_and_with_bytes_behind_it() {
    let recordings = recorded::all();
    assert_eq!(recordings.len(), COUNT);
    let mut frames = 0;
    for recording in &recordings {
        for direction in directions(recording) {
            let whole = decode(Cut::Whole.chunks(&direction.bytes));
            if !direction.frames.is_empty() {
                assert_eq!(whole, (direction.frames.clone(), false), "{}", recording.name);
                frames += whole.0.len();
            }
            for cut in CUTS {
                assert_eq!(decode(cut.chunks(&direction.bytes)), whole, "{} {cut:?}", recording.name);
            }
            let trailing = [&direction.bytes[..], &data(9, 0, b"x")[..8]].concat();
            assert_eq!(decode(Cut::Whole.chunks(&trailing)), (whole.0, true), "{}", recording.name);
        }
    }
    assert!(frames > 700, "{frames}");
}

/// Plays what a recorded client sent to a connection in the role of the server.
fn play_to_server(recording: &Recording, cut: Cut) -> Vec<Event> {
    let mut server = Connection::new(Role::Server, &Limits::default());
    let chunks = cut.chunks(&recording.to_server.bytes);
    let (events, error) = feed(&mut server, Instant::now(), chunks);
    assert_eq!(error, None, "{}", recording.name);
    events
}

/// Plays what a recorded server sent to a client that opened the same streams.
fn play_to_client(recording: &Recording, cut: Cut) -> (Connection, Vec<Event>) {
    let mut client = Connection::new(Role::Client, &Limits::default());
    for event in play_to_server(recording, Cut::Whole) {
        if let Event::Opened { headers, priority, .. } = event {
            client.open(headers, priority).unwrap();
        }
    }
    if recording.to_client.frames.iter().any(|frame| frame.starts_with("PING")) {
        for _ in 0..3 {
            client.ping();
        }
    }
    let (events, error) = feed(&mut client, Instant::now(), cut.chunks(&recording.to_client.bytes));
    assert_eq!(error, None, "{}", recording.name);
    (client, events)
}

/// Those that sent what this crate refuses or cannot follow: an even id; data for a stream that never was; bytes that are no
/// SPDY; WebSocket messages the server did not take.
const ODD: [&str; 3] = [
    "portforward-tunnel-even-stream-id",
    "portforward-tunnel-data-unknown-stream",
    "portforward-tunnel-ws-fragmented",
];

// Holds SPD-1, SPD-5, SPD-12, SPD-13.
#[test]
fn either_end_makes_of_a_recording_one_event_for_each_frame() {
    for recording in recorded::all() {
        if ODD.contains(&recording.name.as_str()) {
            continue;
        }
        for cut in CUTS {
            let at_server = play_to_server(&recording, cut);
            let (_, at_client) = play_to_client(&recording, cut);
            for (direction, events) in [(&recording.to_server, at_server), (&recording.to_client, at_client)]
            {
                let mut told: Vec<String> = events.iter().map(tell).collect();
                let mut frames = joined(&direction.frames);
                if direction.frames.is_empty() {
                    continue;
                }
                // A server answers a client's pings; nobody need hear of it.
                frames.retain(|frame| {
                    events.iter().any(|event| matches!(event, Event::Pong { .. }))
                        || !frame.starts_with("PING")
                });
                told.retain(|event| event != "nothing");
                assert_eq!(told, frames, "{} {cut:?}", recording.name);
            }
        }
    }
}

/// An event in the words of a recording.
fn tell(event: &Event) -> String {
    let listed = |headers: &channel_proto::spdy::Headers| {
        headers.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    };
    match event {
        Event::Opened { id, headers, priority, fin } => {
            format!("SYN_STREAM {id} {} 0 {} [{}]", u8::from(*fin), priority.get(), listed(headers))
        }
        Event::Replied { id, headers, fin } => {
            format!("SYN_REPLY {id} {} [{}]", u8::from(*fin), listed(headers))
        }
        Event::Data { id, payload, fin } => format!("DATA {id} {} {}", u8::from(*fin), payload.len()),
        Event::Reset { id, status } => format!("RST_STREAM {id} {}", status.code()),
        Event::GoAway { last, status } => format!("GOAWAY {last} {}", status.code()),
        Event::Pong { id } => format!("PING {id}"),
        other => panic!("{other:?}"),
    }
}

/// The same frames with DATA on one stream joined, as `feed` joins it, and without empty DATA.
fn joined(frames: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for frame in frames {
        let parts = |frame: &str| -> Option<(u32, u8, usize)> {
            let mut words = frame.strip_prefix("DATA ")?.split(' ');
            let (id, fin, len) = (words.next()?, words.next()?, words.next()?);
            Some((id.parse().ok()?, fin.parse().ok()?, len.parse().ok()?))
        };
        match (joined.last().and_then(|last| parts(last)), parts(frame)) {
            (Some((id, 0, len)), Some((next, fin, more))) if id == next => {
                *joined.last_mut().unwrap() = format!("DATA {id} {fin} {}", len + more);
            }
            _ => joined.push(frame.clone()),
        }
    }
    joined
}

// Holds SPD-14.
#[test]
fn the_status_behind_the_servers_own_reset_is_delivered() {
    let recording = recorded::named("spdy-exec-channel-not-found");
    let (client, events) = play_to_client(&recording, Cut::Whole);
    let reset =
        events.iter().position(|event| matches!(event, Event::Reset { id, .. } if id.get() == 1)).unwrap();
    let status = events.iter().position(|event| matches!(event, Event::Data { id, payload, .. } if id.get() == 1 && payload.starts_with(b"Internal error occurred"))).unwrap();
    assert!(reset < status);
    assert_eq!(client.open_streams(), 0);
}

// Holds SPD-10.
#[test]
fn an_even_id_of_a_client_is_refused_without_ending_the_connection() {
    let mut server = Connection::new(Role::Server, &Limits::default());
    let recording = recorded::named("portforward-tunnel-even-stream-id");
    let (events, error) = feed(&mut server, Instant::now(), Cut::Whole.chunks(&recording.to_server.bytes));
    assert_eq!((events, error), (vec![], None));
    assert_eq!(written(&mut server), rst(2, ResetStatus::PROTOCOL_ERROR.code()));
}

// Holds SPD-15.
#[test]
fn data_for_a_stream_that_never_was_is_answered_with_invalid_stream() {
    let mut server = Connection::new(Role::Server, &Limits::default());
    let recording = recorded::named("portforward-tunnel-data-unknown-stream");
    let (events, error) = feed(&mut server, Instant::now(), Cut::Whole.chunks(&recording.to_server.bytes));
    assert_eq!((events, error), (vec![], None));
    assert_eq!(written(&mut server), rst(99, ResetStatus::INVALID_STREAM.code()));
}

// Holds SPD-10.
#[test]
fn a_connection_opens_streams_as_kubectl_does_but_for_the_compression() {
    let mut client = Connection::new(Role::Client, &Limits::default());
    let error = [("streamtype", "error"), ("port", "8081"), ("requestid", "0")];
    let first = client.open(headers(error), Priority::HIGHEST).unwrap();
    client.finish(first).unwrap();
    let second = client
        .open(headers([("streamtype", "data"), ("port", "8081"), ("requestid", "0")]), Priority::HIGHEST);
    assert_eq!(second, Ok(id(3)));
    let (mut frames, inside) = decode(vec![written(&mut client).into()]);
    // Both SYN_STREAMs go before the empty DATA, which is payload.
    frames.sort();
    let mut recorded = recorded::named("portforward-tunnel-spdy-rst").to_server.frames[..3].to_vec();
    recorded.sort();
    assert_eq!((frames, inside), (recorded, false));
}
