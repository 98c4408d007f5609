//! What a peer can make us keep or do is bounded.

#![cfg(feature = "spdy")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod spdy_support;

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use channel_proto::{
    ErrorKind, Fault, Limits, Role,
    spdy::{Connection, Event, Priority, ResetStatus, StreamError, StreamId},
};
use spdy_support::{
    Cut, FIN, UNIDIRECTIONAL, Writer, control, data, feed, headers, id, judge, numbers, ping, rst,
    with_stream, written,
};

fn assert_limit(error: Option<channel_proto::Error>, what: &str) {
    let error = error.expect("an error");
    assert!(matches!(error.kind(), ErrorKind::Limit { what: told, .. } if *told == what), "{error}");
    assert_eq!(error.fault(), Fault::Limit);
}

// Holds SPD-8.
#[test]
fn a_control_frame_that_is_too_long_is_refused_by_its_header() {
    let limits = Limits::default();
    for kind in [1, 2, 8] {
        let mut header = control(kind, 0, &[0; 10]);
        header[5..8].copy_from_slice(&[0xff; 3]);
        let (_, error, _) = judge(Role::Server, &limits, |_| {}, &header[..8]);
        assert_limit(error, "bytes of one SPDY control frame");
    }
}

// Holds SPD-8.
#[test]
fn settings_are_counted_before_they_are_kept() {
    let limits = Limits::default();
    let settings = |count: u32| {
        let entries = usize::try_from(count).unwrap() * 2;
        numbers(4, 0, &[&[count][..], &vec![0; entries]].concat())
    };
    assert_eq!(judge(Role::Server, &limits, |_| {}, &settings(64)).1, None);
    let (_, error, _) = judge(Role::Server, &limits, |_| {}, &settings(65)[..8]);
    assert_limit(error, "entries of one SPDY SETTINGS frame");
}

// Holds SPD-16.
#[test]
fn one_stream_too_many_is_refused_and_those_there_are_go_on() {
    let mut limits = Limits::default();
    limits.spdy_streams = 3;
    let mut writer = Writer::new();
    let mut bytes: Vec<u8> = [1, 3, 5, 7].iter().flat_map(|id| writer.syn_stream(*id, 0, &[])).collect();
    bytes.extend(data(7, 0, b"dropped"));
    bytes.extend(data(5, 0, b"kept"));
    let (events, error, answer) = judge(Role::Server, &limits, |_| {}, &bytes);
    assert_eq!(error, None);
    assert_eq!(events.len(), 4);
    assert_eq!(events[3], Event::Data { id: id(5), payload: Bytes::from_static(b"kept"), fin: false });
    assert_eq!(answer, rst(7, ResetStatus::REFUSED_STREAM.code()));

    // When one ends there is room for another.
    let mut server = Connection::new(Role::Server, &limits);
    feed(&mut server, Instant::now(), Cut::Whole.chunks(&bytes));
    server.reset(id(3), ResetStatus::CANCEL);
    let more = writer.syn_stream(9, 0, &[]);
    let (events, _) = feed(&mut server, Instant::now(), Cut::Whole.chunks(&more));
    assert!(matches!(events[..], [Event::Opened { .. }]));
}

// Holds SPD-20.
#[test]
fn frames_that_carry_nothing_are_counted_by_the_second() {
    let free: [fn(&mut Writer) -> Vec<u8>; 10] = [
        |_| data(1, 0, b""),
        |_| data(99, 0, b"for nobody"),
        |_| ping(1),
        |_| ping(2),
        |_| numbers(4, 0, &[0]),
        |_| numbers(9, 0, &[1, 1]),
        |_| numbers(7, 0, &[0, 0]),
        |_| control(77, 0, b"unknown"),
        |_| rst(55, 5),
        |writer| writer.headers(1, 0, &[]),
    ];
    for (nth, frame) in free.into_iter().enumerate() {
        let mut writer = Writer::new();
        let opened = writer.syn_stream(1, 0, &[]);
        let mut server = Connection::new(Role::Server, &Limits::default());
        let mut now = Instant::now();
        feed(&mut server, now, Cut::Whole.chunks(&opened));
        // As many as are allowed, second by second: no harm.
        for _ in 0..2 {
            for _ in 0..9_990 {
                assert_eq!(feed(&mut server, now, [Bytes::from(frame(&mut writer))]).1, None);
                written(&mut server);
            }
            now += Duration::from_secs(1);
        }
        let error = (0..10_100).find_map(|_| {
            written(&mut server);
            feed(&mut server, now, [Bytes::from(frame(&mut writer))]).1
        });
        assert!(error.is_some(), "frame {nth}");
        assert_limit(error, "frames a second that carry nothing");
    }
}

// Holds SPD-20.
#[test]
fn opening_and_ending_streams_without_end_is_counted_too() {
    // By a reset, at once, by a fault, by a header that is not sound.
    let ways: [fn(&mut Writer, u32) -> Vec<u8>; 4] = [
        |writer, id| [writer.syn_stream(id, 0, &[]), rst(id, 5)].concat(),
        |writer, id| writer.syn_stream(id, FIN | UNIDIRECTIONAL, &[]),
        |writer, id| [writer.syn_stream(id, FIN, &[]), data(id, 0, b"x")].concat(),
        |writer, id| writer.syn_stream(id, 0, &[("UPPER", "")]),
    ];
    for way in ways {
        let mut server = Connection::new(Role::Server, &Limits::default());
        let mut writer = Writer::new();
        let now = Instant::now();
        let error = (0..20_000).find_map(|nth| {
            let error = feed(&mut server, now, [Bytes::from(way(&mut writer, 2 * nth + 1))]).1;
            written(&mut server);
            error
        });
        assert_limit(error, "frames a second that carry nothing");
    }
}

// Holds SPD-14.
#[test]
fn of_the_streams_that_the_peer_reset_only_the_last_are_remembered() {
    let mut client = Connection::new(Role::Client, &Limits::default());
    let ids: Vec<StreamId> =
        (0..1_000).map(|_| client.open(headers([]), Priority::HIGHEST).unwrap()).collect();
    written(&mut client);
    let resets: Vec<u8> = ids.iter().flat_map(|id| rst(id.get(), 5)).collect();
    let (events, _) = feed(&mut client, Instant::now(), [Bytes::from(resets)]);
    assert_eq!((events.len(), client.open_streams()), (1_000, 0));
    let late: Vec<u8> = ids.iter().flat_map(|id| data(id.get(), FIN, b"late")).collect();
    let (events, error) = feed(&mut client, Instant::now(), [Bytes::from(late.clone())]);
    let delivered: Vec<StreamId> = events
        .iter()
        .map(|event| match event {
            Event::Data { id, fin: true, .. } => *id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((&delivered[..], error), (&ids[936..], None));
    // Their FIN ended them.
    assert_eq!(feed(&mut client, Instant::now(), [Bytes::from(late)]), (vec![], None));
    assert_eq!(written(&mut client), b"");
}

// Holds SPD-18, SPD-20.
#[test]
fn pings_of_a_peer_that_reads_nothing_stop_being_read() {
    let mut limits = Limits::default();
    limits.free_frames = u32::MAX;
    let mut server = Connection::new(Role::Server, &limits);
    let now = Instant::now();
    let mut input = Bytes::from(ping(1).repeat(100_000));
    assert_eq!(server.next(now, &mut input), Ok(None));
    assert!(!server.wants_input());
    assert!(input.len() > 1_000_000, "the rest stays");
    assert!(server.queued() <= limits.transmit + 12, "{}", server.queued());
    // Once it reads, everything is answered.
    let mut answered = 0;
    while !input.is_empty() {
        answered += written(&mut server).len() / 12;
        assert_eq!(server.next(now, &mut input), Ok(None));
    }
    answered += written(&mut server).len() / 12;
    assert_eq!(answered, 100_000);
}

#[test]
fn pings_of_ours_are_not_kept_for_ever() {
    let mut client = Connection::new(Role::Client, &Limits::default());
    let sent: Vec<u32> = (0..1_000).map(|_| client.ping()).collect();
    assert_eq!(sent[..3], [1, 3, 5]);
    assert_eq!(written(&mut client), sent.iter().flat_map(|id| ping(*id)).collect::<Vec<_>>());
    let (events, _) = feed(
        &mut client,
        Instant::now(),
        [Bytes::from(sent.iter().flat_map(|id| ping(*id)).collect::<Vec<_>>())],
    );
    assert_eq!(events, sent[984..].iter().map(|id| Event::Pong { id: *id }).collect::<Vec<_>>());
}

#[test]
fn a_stream_and_all_together_can_queue_so_much() {
    let limits = Limits::default();
    let mut client = Connection::new(Role::Client, &limits);
    let ids: Vec<StreamId> = (0..100).map(|_| client.open(headers([]), Priority::HIGHEST).unwrap()).collect();
    let much = vec![7; 1 << 20];
    assert_eq!(client.room(ids[0]), limits.spdy_stream_transmit);
    assert_eq!(client.send(ids[0], &much), Ok(limits.spdy_stream_transmit));
    assert_eq!(client.send(ids[0], &much), Err(StreamError::Blocked));
    assert_eq!(client.queued_on(ids[0]), limits.spdy_stream_transmit);
    for id in &ids[1..] {
        // Every stream has room for something.
        let sent = client.send(*id, &much).unwrap();
        assert!(sent >= limits.transmit / 100);
        assert_eq!(client.send(*id, &much), Err(StreamError::Blocked));
    }
    assert!(client.queued() <= 2 * limits.transmit, "{}", client.queued());
    // Bytes are taken whole if there is any room.
    client.reset(ids[0], ResetStatus::CANCEL);
    written(&mut client);
    assert_eq!(client.queued(), 0);
    assert_eq!(client.send_bytes(ids[1], &much.clone().into()), Ok(()));
    assert_eq!(client.send_bytes(ids[1], &Bytes::from_static(b"x")), Err(StreamError::Blocked));
    assert_eq!(client.send(ids[2], b""), Ok(0));
}

#[test]
fn what_is_laid_out_at_a_time_is_bounded() {
    let mut server = Connection::new(Role::Server, &Limits::default());
    with_stream(Role::Server)(&mut server);
    written(&mut server);
    server.send_bytes(id(1), &vec![1; 5 << 20].into()).unwrap();
    let first = server.transmit().remaining();
    assert!(first <= (64 << 10) + 8, "{first}");
    assert_eq!(server.transmit().remaining(), first, "asking again adds nothing");
}

#[test]
fn large_payloads_are_neither_copied_in_nor_out() {
    let mut server = Connection::new(Role::Server, &Limits::default());
    with_stream(Role::Server)(&mut server);
    written(&mut server);
    let payload = Bytes::from(vec![3; 10_000]);
    let mut input = Bytes::from(data(1, FIN, &payload));
    let range = input.as_ptr_range();
    match server.next(Instant::now(), &mut input) {
        Ok(Some(Event::Data { payload, .. })) => assert!(range.contains(&payload.as_ptr())),
        other => panic!("{other:?}"),
    }
    server.send_bytes(id(1), &payload).unwrap();
    let mut slices = [std::io::IoSlice::new(&[]); 4];
    let transmit = server.transmit();
    assert_eq!(transmit.chunks_vectored(&mut slices), 2);
    assert_eq!(slices[1].as_ptr(), payload.as_ptr());
}
