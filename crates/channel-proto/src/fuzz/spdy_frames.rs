//! A peer's SPDY: cut anywhere it comes to the same, and what answers it is SPDY, and not much.

use std::{collections::BTreeMap, time::Instant};

use arbitrary::Unstructured;
use bytes::{Buf, Bytes};

use super::{Cut, small_limits};
use crate::{
    error::Error,
    limits::Limits,
    spdy::{Connection, Decoder, Event, GoAwayStatus, Headers, Item, Priority, ResetStatus, StreamId},
    websocket::Role,
};

/// `[role, limits, streams that we open, cut (2 bytes)]`, then the peer's bytes.
pub fn spdy_frames(data: &[u8]) {
    // An input that ends early is no input.
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let role = *u.choose(&[Role::Client, Role::Server])?;
    let limits = u.choose(&[Limits::default(), small_limits()])?.clone();
    let ours = u.int_in_range(0..=7)?;
    let cuts = Cut::others(u)?;
    let bytes = u.bytes(u.len())?;

    let decoded = decode(&limits, bytes, Cut::Whole);
    let now = Instant::now();
    let talk = converse(role, &limits, ours, now, bytes, Cut::Whole);
    for cut in cuts {
        assert_eq!(decode(&limits, bytes, cut), decoded, "{cut:?}");
        assert_eq!(converse(role, &limits, ours, now, bytes, cut), talk, "{cut:?}");
    }
    assert_lives_add_up(role, ours, &talk.events);
    assert_is_spdy(&talk.answer);
    assert!(talk.answer.len() <= 4 * bytes.len() + 256 * (1 + ours), "{} bytes", talk.answer.len());
    Ok(())
}

/// What a [`Decoder`] found, with the pieces of a DATA frame joined.
#[derive(Debug, PartialEq)]
struct Found {
    items: Vec<Joined>,
    taken: u64,
    inside: bool,
    error: Option<Error>,
}

#[derive(Debug, PartialEq)]
enum Joined {
    Data { id: StreamId, payload: Vec<u8>, end: bool, fin: bool },
    Whole(Item),
}

fn decode(limits: &Limits, bytes: &[u8], cut: Cut) -> Found {
    let mut decoder = Decoder::new(limits);
    let (mut items, mut error) = (Vec::new(), None);
    'pieces: for piece in cut.pieces(bytes) {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(item)) => join(&mut items, item),
                Ok(None) => break,
                Err(violation) => {
                    error = Some(violation);
                    break 'pieces;
                }
            }
        }
        assert!(input.is_empty(), "all is taken");
    }
    Found { items, taken: decoder.taken(), inside: decoder.is_inside_frame(), error }
}

fn join(items: &mut Vec<Joined>, item: Item) {
    let joined = match (item, items.last_mut()) {
        (Item::Data(piece), Some(Joined::Data { id, payload, end: end @ false, fin })) => {
            assert!(!piece.start && piece.id == *id && !piece.payload.is_empty());
            payload.extend_from_slice(&piece.payload);
            (*end, *fin) = (piece.end, piece.fin);
            return;
        }
        (Item::Data(piece), _) => {
            assert!(piece.start);
            Joined::Data { id: piece.id, payload: piece.payload.into(), end: piece.end, fin: piece.fin }
        }
        (item, _) => Joined::Whole(item),
    };
    items.push(joined);
}

/// What a connection said and answered, from the first byte to the end.
#[derive(Debug, PartialEq)]
struct Talk {
    events: Vec<Event>,
    error: Option<Error>,
    taken: Option<u64>,
    open: usize,
    answer: Vec<u8>,
}

/// Plays `bytes` to an end that opened streams, and reacts to what it hears. It writes only when it must, and at the end.
fn converse(role: Role, limits: &Limits, ours: usize, now: Instant, bytes: &[u8], cut: Cut) -> Talk {
    let mut connection = Connection::new(role, limits);
    for nth in 0..ours {
        let id = connection.open(Headers::new(), Priority::HIGHEST).expect("an id");
        // Nothing of it matters where there is no room.
        let _ = connection.send(id, b"from us");
        if nth % 3 == 1 {
            connection.finish(id).expect("a stream of ours");
        }
    }
    connection.ping();
    let (mut events, mut answer, mut error) = (Vec::new(), Vec::new(), None);
    'pieces: for piece in cut.pieces(bytes) {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match connection.next(now, &mut input) {
                Ok(Some(event)) => {
                    react(&mut connection, &event);
                    join_events(&mut events, event);
                }
                Ok(None) if connection.wants_input() => break assert!(input.is_empty(), "all is taken"),
                Ok(None) => {
                    write(&mut connection, &mut answer);
                    assert!(connection.wants_input());
                }
                Err(violation) => {
                    assert_eq!(connection.next(now, &mut input).as_ref(), Err(&violation), "errors stick");
                    error = Some(violation);
                    break 'pieces;
                }
            }
            assert!(connection.open_streams() <= limits.spdy_streams + ours);
            let queued = limits.transmit.max(1 << 10) * (2 + connection.open_streams());
            assert!(connection.queued() <= queued + 256 * ours, "{} bytes wait", connection.queued());
        }
    }
    error = error.or(connection.handle_eof().err());
    write(&mut connection, &mut answer);
    assert!(connection.is_drained());
    // Behind an error it does not matter how far the reading went.
    let taken = error.is_none().then(|| connection.bytes_taken());
    Talk { events, error, taken, open: connection.open_streams(), answer }
}

/// One way or another, by the number of the stream: as little as possible depends on anything else.
fn react(connection: &mut Connection, event: &Event) {
    match *event {
        Event::Opened { id, .. } => match id.get() / 2 % 4 {
            0 => {
                let _ = connection.reply(id);
                let _ = connection.send(id, b"data");
            }
            1 => {
                let _ = connection.reply(id);
                let _ = connection.finish(id);
            }
            2 => connection.reset(id, ResetStatus::CANCEL),
            _ => {}
        },
        Event::Data { id, fin: true, .. } | Event::Replied { id, fin: true, .. } => {
            let _ = connection.finish(id);
        }
        Event::Reset { id, .. } if id.get() / 2 % 2 == 0 => connection.reset(id, ResetStatus::CANCEL),
        Event::GoAway { last, .. } if last % 2 == 0 => connection.goaway(GoAwayStatus::OK),
        _ => {}
    }
}

fn write(connection: &mut Connection, answer: &mut Vec<u8>) {
    while !connection.transmit().is_empty() {
        let transmit = connection.transmit();
        answer.extend_from_slice(transmit.chunk());
        transmit.advance(transmit.chunk().len());
    }
}

fn join_events(events: &mut Vec<Event>, event: Event) {
    match (event, events.last_mut()) {
        (
            Event::Data { id, payload: more, fin: last },
            Some(Event::Data { id: before, payload, fin: fin @ false }),
        ) if *before == id => {
            *payload = [&payload[..], &more].concat().into();
            *fin = last;
        }
        (event, _) => events.push(event),
    }
}

/// What was heard of one stream.
#[derive(Default)]
struct Heard {
    opened: bool,
    replied: bool,
    fin: bool,
    reset: bool,
    faulted: bool,
}

/// Each stream begins once and ends once, whatever the peer does.
fn assert_lives_add_up(role: Role, ours: usize, events: &[Event]) {
    let mut streams: BTreeMap<StreamId, Heard> = BTreeMap::new();
    for event in events {
        let (id, flag): (_, fn(&mut Heard) -> &mut bool) = match event {
            Event::Opened { id, .. } => (*id, |heard| &mut heard.opened),
            Event::Replied { id, .. } => (*id, |heard| &mut heard.replied),
            Event::Reset { id, .. } => (*id, |heard| &mut heard.reset),
            Event::Faulted { id, .. } => (*id, |heard| &mut heard.faulted),
            Event::Data { id, .. } | Event::Headers { id, .. } => {
                let heard = streams.get(id).expect("a stream that was opened or replied to");
                assert!(!heard.fin && !heard.faulted, "{event:?}");
                (*id, |heard| &mut heard.fin)
            }
            Event::GoAway { .. } | Event::Pong { .. } => continue,
        };
        let heard = streams.entry(id).or_default();
        assert!(!heard.faulted, "{event:?} behind the end");
        if id.is_of(role) {
            assert!(id.get() as usize <= 2 * ours, "a stream of ours that was not opened");
        } else {
            assert!(heard.opened || matches!(event, Event::Opened { .. }), "{event:?} before its opening");
        }
        let fin = match event {
            Event::Opened { fin, .. } | Event::Replied { fin, .. } => {
                heard.fin |= fin;
                true
            }
            Event::Data { fin, .. } | Event::Headers { fin, .. } => *fin,
            _ => true,
        };
        if fin {
            assert!(!std::mem::replace(flag(heard), true), "{event:?} twice");
        }
    }
}

fn assert_is_spdy(answer: &[u8]) {
    let Found { items, inside, error, .. } = decode(&Limits::default(), answer, Cut::Whole);
    assert_eq!((inside, error), (false, None));
    for item in items {
        assert!(!matches!(item, Joined::Whole(Item::Unknown | Item::Unsound { .. })), "{item:?}");
    }
}
