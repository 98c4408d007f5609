//! SPDY by plain means: frames written byte by byte, and two ends that talk to each other.

#![allow(dead_code)] // Not every test file uses all of it.

pub(crate) mod pair;
pub(crate) mod recorded;

use std::time::Instant;

use bytes::{Buf, Bytes};
use channel_proto::{
    Error, ErrorKind, Limits, Role, SpdyViolation,
    spdy::{Connection, Event, Headers, Priority, StreamId},
};
use flate2::{Compress, Compression, FlushCompress};

pub(crate) const FIN: u8 = 1;
pub(crate) const UNIDIRECTIONAL: u8 = 2;

pub(crate) fn id(number: u32) -> StreamId {
    StreamId::new(number).unwrap()
}

pub(crate) fn headers<const N: usize>(fields: [(&str, &str); N]) -> Headers {
    fields.try_into().unwrap()
}

/// Writes frames as a peer with a real compressor does: best compression, the dictionary, sync flushes.
pub(crate) struct Writer {
    zlib: Compress,
}

impl Writer {
    pub(crate) fn new() -> Self {
        let mut zlib = Compress::new(Compression::best(), true);
        zlib.set_dictionary(&dictionary()).unwrap();
        Self { zlib }
    }

    pub(crate) fn compress(&mut self, block: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(block.len() + 1_024);
        self.zlib.compress_vec(block, &mut out, FlushCompress::Sync).unwrap();
        out
    }

    pub(crate) fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        self.compress(&plain_block(fields))
    }

    pub(crate) fn syn_stream(&mut self, id: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
        let block = self.block(fields);
        control(1, flags, &[&id.to_be_bytes()[..], &[0; 6], &block].concat())
    }

    pub(crate) fn syn_reply(&mut self, id: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
        let block = self.block(fields);
        control(2, flags, &[&id.to_be_bytes()[..], &block].concat())
    }

    pub(crate) fn headers(&mut self, id: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
        let block = self.block(fields);
        control(8, flags, &[&id.to_be_bytes()[..], &block].concat())
    }
}

/// A block before it is compressed.
pub(crate) fn plain_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = u32::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
    for text in fields.iter().flat_map(|(name, value)| [name, value]) {
        block.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        block.extend(text.as_bytes());
    }
    block
}

/// The dictionary, out of a file that was not made from the crate's sources.
pub(crate) fn dictionary() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/spdy_dictionary.bin")).unwrap()
}

pub(crate) fn control(kind: u16, flags: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[0x80, 3][..], &kind.to_be_bytes(), &[flags], &len[1..], body].concat()
}

pub(crate) fn numbers(kind: u16, flags: u8, body: &[u32]) -> Vec<u8> {
    control(kind, flags, &body.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>())
}

pub(crate) fn data(id: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&id.to_be_bytes()[..], &[flags], &len[1..], payload].concat()
}

pub(crate) fn rst(id: u32, status: u32) -> Vec<u8> {
    numbers(3, 0, &[id, status])
}

pub(crate) fn ping(id: u32) -> Vec<u8> {
    numbers(6, 0, &[id])
}

/// How a stream is cut into chunks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    Whole,
    Bytewise,
    Random(u64),
}

pub(crate) const CUTS: [Cut; 5] =
    [Cut::Whole, Cut::Bytewise, Cut::Random(1), Cut::Random(77), Cut::Random(4_242)];

impl Cut {
    pub(crate) fn chunks(self, bytes: &[u8]) -> Vec<Bytes> {
        let all = Bytes::copy_from_slice(bytes);
        let mut state = match self {
            Self::Whole => return vec![all],
            Self::Bytewise => return bytewise(&all),
            Self::Random(seed) => seed,
        };
        let mut chunks = Vec::new();
        let mut rest = all;
        while !rest.is_empty() {
            let len = 1 + usize::try_from(random(&mut state) % 40).unwrap();
            let len = if random(&mut state).is_multiple_of(8) { len * 500 } else { len };
            chunks.push(rest.split_to(len.min(rest.len())));
        }
        chunks
    }
}

/// Of a long stream only the ends: in between there is nothing but payload.
fn bytewise(all: &Bytes) -> Vec<Bytes> {
    let middle = if all.len() > 20_000 { 10_000..all.len() - 10_000 } else { 0..0 };
    let single = |range: std::ops::Range<usize>| range.map(|at| all.slice(at..=at));
    let front = single(0..middle.start);
    let long = middle.clone().step_by(1_000).map(|at| all.slice(at..middle.end.min(at + 1_000)));
    front.chain(long).chain(single(middle.end..all.len())).collect()
}

/// xorshift64: any generator does.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 3
}

/// Events, with the data that came on one stream joined.
#[derive(Default)]
pub(crate) struct Events {
    list: Vec<Event>,
    /// Data that may go on.
    data: Option<(StreamId, Vec<u8>)>,
}

impl Events {
    pub(crate) fn push(&mut self, event: Event) {
        let Event::Data { id, payload, fin } = event else {
            self.end_data(false);
            return self.list.push(event);
        };
        if self.data.as_ref().is_some_and(|data| data.0 != id) {
            self.end_data(false);
        }
        self.data.get_or_insert_with(|| (id, Vec::new())).1.extend_from_slice(&payload);
        if fin {
            self.end_data(true);
        }
    }

    fn end_data(&mut self, fin: bool) {
        if let Some((id, payload)) = self.data.take() {
            self.list.push(Event::Data { id, payload: payload.into(), fin });
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Event> {
        self.end_data(false);
        std::mem::take(&mut self.list)
    }
}

/// All events of `chunks`, data on one stream joined, and the error that ended them.
pub(crate) fn feed(
    connection: &mut Connection,
    now: Instant,
    chunks: impl IntoIterator<Item = Bytes>,
) -> (Vec<Event>, Option<Error>) {
    let mut events = Events::default();
    for mut chunk in chunks {
        loop {
            match connection.next(now, &mut chunk) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events.take(), Some(error)),
            }
        }
        assert!(chunk.is_empty() || !connection.wants_input(), "{} bytes were left", chunk.len());
    }
    (events.take(), None)
}

/// What a connection has to write, all of it.
pub(crate) fn written(connection: &mut Connection) -> Vec<u8> {
    let mut out = Vec::new();
    while connection.transmit().has_remaining() {
        let transmit = connection.transmit();
        let len = transmit.chunk().len();
        out.extend_from_slice(transmit.chunk());
        transmit.advance(len);
    }
    out
}

/// What `bytes` come to on a new connection after `prepare`: the same in every cut, and with bytes behind them if they are an
/// error. Gives events, error and answer.
pub(crate) fn judge(
    role: Role,
    limits: &Limits,
    prepare: impl Fn(&mut Connection),
    bytes: &[u8],
) -> (Vec<Event>, Option<Error>, Vec<u8>) {
    let now = Instant::now();
    let run = |cut: Cut, bytes: &[u8]| {
        let mut connection = Connection::new(role, limits);
        prepare(&mut connection);
        written(&mut connection);
        let (events, error) = feed(&mut connection, now, cut.chunks(bytes));
        if let Some(error) = &error {
            assert_eq!(
                connection.next(now, &mut Bytes::from_static(b"more")).as_ref(),
                Err(error),
                "it sticks"
            );
        }
        (events, error, written(&mut connection))
    };
    let whole = run(Cut::Whole, bytes);
    for cut in CUTS {
        assert_eq!(run(cut, bytes), whole, "{cut:?}");
    }
    let trailing = run(Cut::Whole, &[bytes, &data(0x7fff_fffe, 0, b"trailing")[..5]].concat());
    assert_eq!(trailing, whole, "with the beginning of another frame");
    whole
}

/// A connection of this role with one open stream of the client's, 1.
pub(crate) fn with_stream(role: Role) -> impl Fn(&mut Connection) {
    move |connection| {
        let mut writer = Writer::new();
        match role {
            Role::Server => {
                feed(connection, Instant::now(), [writer.syn_stream(1, 0, &[("a", "b")]).into()]);
                connection.reply(id(1)).unwrap();
            }
            _ => {
                connection.open(headers([("a", "b")]), Priority::HIGHEST).unwrap();
            }
        }
    }
}

#[track_caller]
pub(crate) fn assert_violation(error: Option<Error>, violation: SpdyViolation, at: u64) {
    let error = error.expect("an error");
    assert_eq!(error.kind(), &ErrorKind::Spdy(violation));
    assert_eq!(error.offset(), Some(at));
    assert_eq!(error.fault(), channel_proto::Fault::Peer);
}
