//! Frame headers and control frames (SPDY/3.1 §2.2, §2.6), read and written. All numbers are big-endian.

use super::{GoAwayStatus, Headers, Priority, ResetStatus, StreamId, header_block::HeaderEncoder};

/// Bytes of the header that every frame begins with.
pub(super) const HEADER_LEN: usize = 8;

const VERSION: u16 = 3;

const FIN: u8 = 1;
const UNIDIRECTIONAL: u8 = 2;

/// The type of a control frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameType(u16);

impl FrameType {
    pub(super) const SYN_STREAM: Self = Self(1);
    pub(super) const SYN_REPLY: Self = Self(2);
    pub(super) const RST_STREAM: Self = Self(3);
    pub(super) const SETTINGS: Self = Self(4);
    pub(super) const PING: Self = Self(6);
    pub(super) const GOAWAY: Self = Self(7);
    pub(super) const HEADERS: Self = Self(8);
    pub(super) const WINDOW_UPDATE: Self = Self(9);
}

/// The flags of a frame. Bits without a meaning are ignored, except where [`Decoder`](super::Decoder) says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    pub(super) fn is_fin(self) -> bool {
        self.0 & FIN != 0
    }

    pub(super) fn is_unidirectional(self) -> bool {
        self.0 & UNIDIRECTIONAL != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A frame header as it stands on the wire. Nothing is judged here; [`Decoder`](super::Decoder) does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Header {
    Control { known_version: bool, kind: FrameType, flags: Flags, len: usize },
    Data { id: u32, flags: Flags, len: usize },
}

impl Header {
    pub(super) fn parse(bytes: [u8; HEADER_LEN]) -> Self {
        let [a, b, c, d, flags, high, middle, low] = bytes;
        let flags = Flags(flags);
        let len = u32::from_be_bytes([0, high, middle, low]) as usize;
        if a & 0x80 == 0 {
            return Self::Data { id: u32::from_be_bytes([a, b, c, d]), flags, len };
        }
        let version = u16::from_be_bytes([a & 0x7f, b]);
        let kind = FrameType(u16::from_be_bytes([c, d]));
        Self::Control { known_version: version == VERSION, kind, flags, len }
    }
}

/// A control frame. [`Decoder`](super::Decoder) reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlFrame {
    /// Opens a stream.
    SynStream {
        /// The new stream.
        id: StreamId,
        /// The stream that it belongs to; 0 is none, and nobody uses another.
        associated: u32,
        /// How urgent it is.
        priority: Priority,
        /// Its sender sends nothing more on it.
        fin: bool,
        /// Its receiver sends nothing on it, not even a reply.
        unidirectional: bool,
        /// What the stream is for.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// The stream, which the receiver of this frame opened.
        id: StreamId,
        /// Its sender sends nothing on it.
        fin: bool,
        /// Empty, from the real servers.
        headers: Headers,
    },
    /// Resets a stream.
    RstStream {
        /// The stream.
        id: StreamId,
        /// Why.
        status: ResetStatus,
    },
    /// Says how the sender wants to communicate; ignored. Its entries are not kept.
    Settings {
        /// How many there are.
        entries: u32,
    },
    /// Asks for, or is, an identical frame.
    Ping {
        /// Odd if the client asks.
        id: u32,
    },
    /// The sender takes no more streams.
    GoAway {
        /// The last stream that it took; 0 is none.
        last: u32,
        /// Why.
        status: GoAwayStatus,
    },
    /// More headers for a stream.
    Headers {
        /// The stream.
        id: StreamId,
        /// Its sender sends nothing more on it.
        fin: bool,
        /// The headers.
        headers: Headers,
    },
    /// Opens a window that nobody keeps; ignored.
    WindowUpdate {
        /// The stream; 0 is the whole connection.
        id: u32,
        /// Bytes.
        delta: u32,
    },
}

impl ControlFrame {
    /// Appends the frame to `out`. `headers` is the encoder of this direction of the connection, and frames have to be sent in the order in
    /// which they were encoded with it. A SETTINGS is written with entries of zero.
    pub fn encode(&self, headers: &mut HeaderEncoder, out: &mut Vec<u8>) {
        let start = out.len();
        let begin = |out: &mut Vec<u8>, kind: FrameType, flags: u8| {
            out.extend_from_slice(&[0x80, VERSION.to_be_bytes()[1]]);
            out.extend_from_slice(&kind.0.to_be_bytes());
            out.extend_from_slice(&[flags, 0, 0, 0]);
        };
        let put = |out: &mut Vec<u8>, number: u32| out.extend_from_slice(&number.to_be_bytes());
        let fin = |fin: bool| if fin { FIN } else { 0 };
        match self {
            Self::SynStream { id, associated, priority, fin: is_fin, unidirectional, headers: block } => {
                let unidirectional = if *unidirectional { UNIDIRECTIONAL } else { 0 };
                begin(out, FrameType::SYN_STREAM, fin(*is_fin) | unidirectional);
                put(out, id.get());
                put(out, *associated);
                out.extend_from_slice(&[priority.upper_bits(), 0]);
                headers.encode(block, out);
            }
            Self::SynReply { id, fin: is_fin, headers: block } => {
                begin(out, FrameType::SYN_REPLY, fin(*is_fin));
                put(out, id.get());
                headers.encode(block, out);
            }
            Self::RstStream { id, status } => {
                begin(out, FrameType::RST_STREAM, 0);
                put(out, id.get());
                put(out, status.code());
            }
            Self::Settings { entries } => {
                begin(out, FrameType::SETTINGS, 0);
                put(out, *entries);
                out.resize(out.len() + 8 * *entries as usize, 0);
            }
            Self::Ping { id } => {
                begin(out, FrameType::PING, 0);
                put(out, *id);
            }
            Self::GoAway { last, status } => {
                begin(out, FrameType::GOAWAY, 0);
                put(out, *last);
                put(out, status.code());
            }
            Self::Headers { id, fin: is_fin, headers: block } => {
                begin(out, FrameType::HEADERS, fin(*is_fin));
                put(out, id.get());
                headers.encode(block, out);
            }
            Self::WindowUpdate { id, delta } => {
                begin(out, FrameType::WINDOW_UPDATE, 0);
                put(out, *id);
                put(out, *delta);
            }
        }
        let len = out.len() - start - HEADER_LEN;
        put_len(&mut out[start + 5..start + HEADER_LEN], len);
    }
}

/// Appends the header of a DATA frame of `len` bytes, which are below 16 MiB.
pub(super) fn put_data_header(out: &mut Vec<u8>, id: StreamId, fin: bool, len: usize) {
    out.extend_from_slice(&id.get().to_be_bytes());
    out.extend_from_slice(&[if fin { FIN } else { 0 }, 0, 0, 0]);
    let start = out.len() - 3;
    put_len(&mut out[start..], len);
}

fn put_len(at: &mut [u8], len: usize) {
    debug_assert!(len < 1 << 24, "a frame's length has 24 bits");
    at.copy_from_slice(&len.to_be_bytes()[size_of::<usize>() - 3..]);
}
