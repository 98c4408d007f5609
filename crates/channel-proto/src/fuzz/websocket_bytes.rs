//! A peer's bytes after the upgrade: cut anywhere they give the same, and the same as tungstenite makes of them.

use std::{fmt::Debug, time::Instant};

use arbitrary::Unstructured;
use bytes::{Buf, Bytes, BytesMut};

use super::{Cut, SUBPROTOCOLS, oracle::assert_agrees_with_tungstenite, small_limits};
use crate::{
    error::Error,
    limits::Limits,
    request::Streams,
    session::{ClientEvent, ClientSession, ServerEvent, ServerSession, Session, SessionConfig, Side},
    websocket::{Decoder, Item, Role, Strictness},
};

const STREAMS: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: true };

/// `[role, strictness, subprotocol, limits, cut (2 bytes)]`, then the peer's bytes.
pub fn websocket_bytes(data: &[u8]) {
    // An input that ends early is no input.
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let role = *u.choose(&[Role::Client, Role::Server])?;
    let strictness = *u.choose(&[Strictness::Strict, Strictness::Lax])?;
    let subprotocol = *u.choose(&SUBPROTOCOLS)?;
    let limits = u.choose(&[Limits::default(), small_limits()])?.clone();
    let cuts = Cut::others(u)?;
    let bytes = u.bytes(u.len())?;

    let decoded = |cut| decode(role, strictness, limits.message, bytes, cut);
    let whole = decoded(Cut::Whole);
    for cut in cuts {
        assert_eq!(decoded(cut), whole, "{cut:?}");
    }
    if strictness == Strictness::Strict {
        assert_agrees_with_tungstenite(role, bytes);
    }

    let now = Instant::now();
    let config = SessionConfig { limits, strictness, ..SessionConfig::client([1; 32]) };
    match role {
        Role::Client => {
            let session = || ClientSession::client(STREAMS, subprotocol, &config, now);
            assert_cuts_agree(session, now, bytes, cuts, join_client);
        }
        Role::Server => {
            let session = || ServerSession::server(STREAMS, subprotocol, &config, now);
            assert_cuts_agree(session, now, bytes, cuts, join_server);
        }
    }
    Ok(())
}

/// What a [`Decoder`] found, with the pieces of a message joined as far as no control frame is between them.
#[derive(Debug, PartialEq)]
struct Found {
    items: Vec<Joined>,
    taken: u64,
    error: Option<Error>,
}

#[derive(Debug, PartialEq)]
enum Joined {
    Data { payload: Vec<u8>, start: bool, end: bool },
    Ping(Bytes),
    Pong,
    Close(Bytes),
    Ignored,
}

fn decode(role: Role, strictness: Strictness, max_message: u64, bytes: &[u8], cut: Cut) -> Found {
    let mut decoder = Decoder::new(role, strictness, max_message);
    let mut found = Found { items: Vec::new(), taken: 0, error: None };
    let mut input = BytesMut::new();
    for piece in cut.pieces(bytes) {
        input.extend_from_slice(piece);
        while found.error.is_none() {
            match decoder.decode(&mut input) {
                Ok(Some(item)) => join(&mut found.items, item),
                Ok(None) => break,
                Err(error) => found.error = Some(error),
            }
        }
    }
    found.taken = decoder.taken();
    if found.error.is_none() {
        assert_eq!(found.taken + input.len() as u64, bytes.len() as u64);
        assert!(input.len() < 14 + 125, "only a header or a control frame may wait to be whole");
    }
    found
}

fn join(items: &mut Vec<Joined>, item: Item) {
    let joined = match (item, items.last_mut()) {
        (Item::Data(piece), Some(Joined::Data { payload, end: end @ false, .. })) => {
            assert!(!piece.start);
            payload.extend_from_slice(&piece.payload);
            *end = piece.end;
            return;
        }
        (Item::Data(piece), _) => {
            Joined::Data { payload: piece.payload.into(), start: piece.start, end: piece.end }
        }
        (Item::Ping(payload), _) => Joined::Ping(payload),
        (Item::Pong, _) => Joined::Pong,
        (Item::Close(payload), _) => Joined::Close(payload),
        (Item::Ignored, _) => Joined::Ignored,
    };
    items.push(joined);
}

/// What a session said and answered, from its first byte to the end of the stream.
#[derive(Debug, PartialEq)]
struct Talk<E> {
    events: Vec<E>,
    taken: Option<u64>,
    error: Option<Error>,
    answer: Bytes,
}

/// `handle_input` and `poll_event`, or `next_event`, which comes to the same.
#[derive(Debug, Clone, Copy)]
enum Handing {
    Apart,
    Together,
}

fn assert_cuts_agree<S: Side<Event: Debug + PartialEq>>(
    session: impl Fn() -> Session<S>,
    now: Instant,
    bytes: &[u8],
    cuts: [Cut; 2],
    join: fn(&mut Vec<S::Event>, S::Event),
) {
    let whole = converse(session(), now, bytes, Cut::Whole, Handing::Apart, join);
    for cut in [[Cut::Whole].as_slice(), &cuts].concat() {
        for handing in [Handing::Apart, Handing::Together] {
            assert_eq!(converse(session(), now, bytes, cut, handing, join), whole, "{cut:?} {handing:?}");
        }
    }
}

fn converse<S: Side>(
    mut session: Session<S>,
    now: Instant,
    bytes: &[u8],
    cut: Cut,
    handing: Handing,
    join: fn(&mut Vec<S::Event>, S::Event),
) -> Talk<S::Event> {
    let (mut events, mut error) = (Vec::new(), None);
    let mut input = BytesMut::new();
    for piece in cut.pieces(bytes) {
        input.extend_from_slice(piece);
        loop {
            let (result, event) = match handing {
                Handing::Apart => (session.handle_input(now, &mut input), session.poll_event()),
                Handing::Together => match session.next_event(now, &mut input) {
                    Ok(event) => (Ok(()), event),
                    Err(error) => (Err(error), session.poll_event()),
                },
            };
            match event {
                Some(event) => join(&mut events, event),
                None => break error = result.err(),
            }
        }
    }
    // Behind an error it does not matter how far the reading went.
    let taken = error.is_none().then(|| session.bytes_taken());
    session.handle_eof();
    events.extend(session.poll_event());
    assert!(session.is_ended() || error.is_some());
    assert_eq!(session.poll_event().map(drop), None);
    let transmit = session.transmit().expect("a session over bytes");
    let answer = transmit.copy_to_bytes(transmit.remaining());
    Talk { events, taken, error, answer }
}

fn join_client(events: &mut Vec<ClientEvent>, event: ClientEvent) {
    match (event, events.last_mut()) {
        (ClientEvent::Output(output, more), Some(ClientEvent::Output(before, data))) if *before == output => {
            assert!(!more.is_empty());
            *data = [&data[..], &more].concat().into();
        }
        (event, _) => events.push(event),
    }
}

fn join_server(events: &mut Vec<ServerEvent>, event: ServerEvent) {
    match (event, events.last_mut()) {
        (ServerEvent::Stdin(more), Some(ServerEvent::Stdin(data))) => {
            assert!(!more.is_empty());
            *data = [&data[..], &more].concat().into();
        }
        (event, _) => events.push(event),
    }
}
