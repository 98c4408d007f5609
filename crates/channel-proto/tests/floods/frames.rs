//! What it is flooded with.

use channel_proto::{Role, Subprotocol};

use crate::{
    ends::{Column, Victim},
    spdy_support::{FIN, UNIDIRECTIONAL, Writer, control, data, numbers, ping, plain_block, rst},
};

/// What a frame costs the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// Nothing: it is counted.
    Nothing,
    /// As much as us.
    Bytes,
}

/// The same frame over and over.
pub(crate) struct Flood {
    pub(crate) name: &'static str,
    pub(crate) worth: Worth,
    /// Whether it opens streams.
    pub(crate) opens: bool,
    /// Whether it leaves a message unfinished, so that no other may come.
    pub(crate) inside: bool,
    /// What goes before.
    pub(crate) first: fn(&mut Peer) -> Vec<u8>,
    pub(crate) frame: fn(&mut Peer, u32) -> Vec<u8>,
}

const FREE: Flood = Flood {
    name: "",
    worth: Worth::Nothing,
    opens: false,
    inside: false,
    first: |_| Vec::new(),
    frame: |_, _| Vec::new(),
};

/// A stream that is closed as soon as it is opened.
fn closed(peer: &mut Peer) -> Vec<u8> {
    let (id, block) = (peer.id(0), peer.writer.block(&[]));
    let frame = control(1, FIN | UNIDIRECTIONAL, &[&id.to_be_bytes()[..], &[0; 6], &block].concat());
    peer.carry(&frame)
}

/// Over SPDY.
const STREAMS: [Flood; 17] = [
    Flood {
        name: "openings of no use",
        opens: true,
        frame: |peer, at| peer.opens(at, &[("streamtype", "neither")]),
        ..FREE
    },
    Flood {
        name: "openings of both ways closed",
        frame: |peer, at| {
            let (id, block) = (peer.id(at), peer.writer.block(&[("streamtype", "neither")]));
            let body = [&id.to_be_bytes()[..], &[0; 6], &block].concat();
            peer.carry(&control(1, FIN | UNIDIRECTIONAL, &body))
        },
        ..FREE
    },
    Flood { name: "pings", frame: |peer, at| peer.carry(&ping(2 * at + peer.parity())), ..FREE },
    Flood {
        name: "answers to no ping",
        frame: |peer, at| peer.carry(&ping(2 * at + 3 - peer.parity())),
        ..FREE
    },
    Flood { name: "resets of no stream", frame: |peer, at| peer.carry(&rst(0x7000 + at, 5)), ..FREE },
    Flood { name: "empty data", frame: |peer, _| peer.carry(&data(peer.open(), 0, b"")), ..FREE },
    Flood { name: "data for no stream", frame: |peer, at| peer.carry(&data(0x7000 + at, 0, b"x")), ..FREE },
    Flood {
        name: "empty data for a stream that is gone",
        first: closed,
        frame: |peer, _| peer.carry(&data(peer.id(0), 0, b"")),
        ..FREE
    },
    Flood {
        name: "data for a stream that is gone",
        worth: Worth::Bytes,
        first: closed,
        frame: |peer, _| peer.carry(&data(peer.id(0), 0, b"x")),
        ..FREE
    },
    Flood { name: "replies to no stream", frame: |peer, at| peer.with_block(2, 0x7000 + at, &[]), ..FREE },
    Flood { name: "empty headers", frame: |peer, _| peer.with_block(8, peer.open(), &[]), ..FREE },
    Flood {
        name: "large headers",
        frame: |peer, _| peer.with_block(8, peer.open(), &[("a", &*"x".repeat(1 << 10))]),
        ..FREE
    },
    Flood {
        name: "headers for no stream",
        frame: |peer, at| peer.with_block(8, 0x7000 + at, &[("a", "b")]),
        ..FREE
    },
    Flood { name: "settings", frame: |peer, _| peer.carry(&numbers(4, 0, &[0])), ..FREE },
    Flood { name: "window updates", frame: |peer, _| peer.carry(&numbers(9, 0, &[peer.open(), 1])), ..FREE },
    Flood { name: "unknown frames", frame: |peer, _| peer.carry(&control(77, 0, b"unknown")), ..FREE },
    Flood {
        name: "the same goaway",
        first: |peer| peer.carry(&numbers(7, 0, &[7, 0])),
        frame: |peer, _| peer.carry(&numbers(7, 0, &[7, 0])),
        ..FREE
    },
];

/// Over WebSocket.
const MESSAGES: [Flood; 5] = [
    Flood { name: "WebSocket pings", frame: |peer, _| peer.message(0x89, b"payload"), ..FREE },
    Flood { name: "WebSocket pongs", frame: |peer, _| peer.message(0x8a, b""), ..FREE },
    Flood { name: "empty messages", frame: |peer, _| peer.message(0x82, b""), ..FREE },
    Flood {
        name: "empty fragments",
        inside: true,
        first: |peer| peer.message(0x02, b"\0"),
        frame: |peer, _| peer.message(0x00, b""),
        ..FREE
    },
    Flood {
        name: "empty first fragments",
        inside: true,
        frame: |peer, at| peer.message(if at == 0 { 0x02 } else { 0x00 }, b""),
        ..FREE
    },
];

/// Over channels.
const CHANNELS: [Flood; 2] = [
    Flood { name: "bare channels", frame: |peer, _| peer.on_channel(0, b""), ..FREE },
    Flood { name: "channels of no port", frame: |peer, _| peer.on_channel(20, b"abc"), ..FREE },
];

/// Every flood, with everybody whom it can meet.
pub(crate) fn all() -> Vec<(Flood, Victim)> {
    let channels = || {
        let is_channels = |victim: &Victim| matches!(victim.column, Column::Channels(_));
        Victim::OVER_WEBSOCKET.into_iter().filter(is_channels)
    };
    let over_spdy = STREAMS.into_iter().flat_map(|flood| with_each(flood, Victim::OVER_SPDY));
    let over_websocket = MESSAGES.into_iter().flat_map(|flood| with_each(flood, Victim::OVER_WEBSOCKET));
    let over_channels = CHANNELS.into_iter().flat_map(|flood| with_each(flood, channels()));
    over_spdy.chain(over_websocket).chain(over_channels).collect()
}

fn with_each(flood: Flood, victims: impl IntoIterator<Item = Victim>) -> Vec<(Flood, Victim)> {
    victims.into_iter().map(|victim| (Flood { ..flood }, victim)).collect()
}

/// Header blocks that are too much: a name for each, the limit that they break, and the block, compressed.
pub(crate) fn too_much() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let names: Vec<String> = (0..129).map(|at| at.to_string()).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let block = |block: &[u8]| Writer::new().compress(block);
    let inflated = "bytes of an inflated SPDY header block";
    vec![
        ("a bomb of 8 MiB", inflated, block(&vec![0; 8 << 20])),
        ("too long a block", inflated, block(&plain_block(&[("a", &"x".repeat(65 << 10))]))),
        (
            "too long a value",
            "bytes of a name or value in a SPDY header block",
            block(&plain_block(&[("a", &"x".repeat(9_000))])),
        ),
        (
            "too long a name",
            "bytes of a name or value in a SPDY header block",
            block(&plain_block(&[(&"x".repeat(9_000), "")])),
        ),
        ("too many headers", "headers in one SPDY header block", block(&plain_block(&many))),
        ("a frame of 16 MiB", "bytes of one SPDY control frame", vec![0; (16 << 20) - 11]),
    ]
}

/// SYN_STREAM, SYN_REPLY and HEADERS with this block.
pub(crate) fn with_headers(victim: Victim, block: &[u8]) -> [Vec<u8>; 3] {
    let peer = Peer::of(victim);
    let frame = |kind, id: u32, between: &[u8]| {
        let mut frame = control(kind, 0, &[&id.to_be_bytes()[..], between, block].concat());
        // Of what is too long its header is enough.
        frame.truncate(64 << 10);
        match victim.column {
            Column::Tunnel => peer.message(0x82, &frame),
            _ => frame,
        }
    };
    [frame(1, peer.id(0), &[0; 6]), frame(2, 1, &[]), frame(8, peer.open(), &[])]
}

/// The other end, by hand.
pub(crate) struct Peer {
    victim: Victim,
    writer: Writer,
}

impl Peer {
    pub(crate) fn of(victim: Victim) -> Self {
        Self { victim, writer: Writer::new() }
    }

    /// Of its streams and pings: odd those of a client.
    fn parity(&self) -> u32 {
        if self.victim.role == Role::Server { 1 } else { 2 }
    }

    /// The id of a stream of its own, behind those of [`opening`](Self::opening).
    fn id(&self, at: u32) -> u32 {
        2 * at + 10 + self.parity()
    }

    /// A stream on which it may send.
    fn open(&self) -> u32 {
        if (self.victim.column, self.victim.role) == (Column::Exec, Role::Client) { 5 } else { 3 }
    }

    /// What makes the victim one with a connection, or a session that has begun.
    pub(crate) fn opening(&mut self) -> Vec<u8> {
        let of = |kind| [("streamtype", kind), ("port", "80"), ("requestid", "0")];
        let frames: Vec<u8> = match (self.victim.column, self.victim.role) {
            // The first messages of a port; to a server they are data.
            (Column::Channels(_), _) => {
                return [self.on_channel(0, &[80, 0]), self.on_channel(1, &[80, 0])].concat();
            }
            (Column::Exec, Role::Client) => {
                [1, 3, 5, 7].into_iter().flat_map(|id| self.writer.syn_reply(id, 0, &[])).collect()
            }
            (Column::Exec, _) => (0..)
                .zip(["error", "stdin", "stdout", "stderr"])
                .flat_map(|(at, kind)| self.writer.syn_stream(2 * at + 1, 0, &[("streamtype", kind)]))
                .collect(),
            (_, Role::Client) => {
                [1, 3].into_iter().flat_map(|id| self.writer.syn_reply(id, 0, &[])).collect()
            }
            (_, _) => (0..)
                .zip(["error", "data"])
                .flat_map(|(at, kind)| self.writer.syn_stream(2 * at + 1, 0, &of(kind)))
                .collect(),
        };
        self.carry(&frames)
    }

    /// Something that reaches the application of a victim that goes on.
    pub(crate) fn something(&self) -> Vec<u8> {
        match self.victim.column {
            Column::Channels(_) => self.on_channel(0, b"something"),
            _ => self.carry(&data(self.open(), 0, b"something")),
        }
    }

    pub(crate) fn opens(&mut self, at: u32, fields: &[(&str, &str)]) -> Vec<u8> {
        let frame = self.writer.syn_stream(self.id(at), 0, fields);
        self.carry(&frame)
    }

    /// A SYN_REPLY or HEADERS.
    fn with_block(&mut self, kind: u16, id: u32, fields: &[(&str, &str)]) -> Vec<u8> {
        let block = self.writer.block(fields);
        self.carry(&control(kind, 0, &[&id.to_be_bytes()[..], &block].concat()))
    }

    /// SPDY frames as they go to the victim.
    fn carry(&self, frames: &[u8]) -> Vec<u8> {
        if self.victim.column == Column::Tunnel { self.message(0x82, frames) } else { frames.to_vec() }
    }

    fn on_channel(&self, channel: u8, payload: &[u8]) -> Vec<u8> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        if self.victim.column == Column::Channels(Subprotocol::V4Base64) {
            let text = format!("{}{}", char::from(b'0' + channel), STANDARD.encode(payload));
            return self.message(0x81, text.as_bytes());
        }
        self.message(0x82, &[&[channel], payload].concat())
    }

    /// A WebSocket frame, masked by zeros if a client's.
    fn message(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = if self.victim.role == Role::Server { 0x80 } else { 0 };
        let len = match u16::try_from(payload.len()) {
            Ok(len @ ..126) => vec![mask | len.to_be_bytes()[1]],
            Ok(len) => [&[mask | 126][..], &len.to_be_bytes()].concat(),
            Err(_) => [&[mask | 127][..], &(payload.len() as u64).to_be_bytes()].concat(),
        };
        let key: &[u8] = if mask == 0 { &[] } else { &[0; 4] };
        [&[first], &len[..], key, payload].concat()
    }
}
