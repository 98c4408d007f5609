//! What numbers and ranks a stream, and the codes that end one.

use std::fmt;

use crate::{error::SpdyViolation, websocket::Role};

/// The number of a stream, from 1 to 2³¹ − 1. Those that a client opens are odd, those of a server even, and both rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    /// The highest.
    pub const MAX: Self = Self(0x7fff_ffff);

    /// The stream of this number, if it is one.
    pub const fn new(id: u32) -> Option<Self> {
        if id == 0 || id > Self::MAX.0 { None } else { Some(Self(id)) }
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether a stream of this number is opened by `role`.
    pub fn is_of(self, role: Role) -> bool {
        (self.0 % 2 == 1) == (role == Role::Client)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How urgent its opener calls a stream, from 0, the most, to 7. Nobody here acts on it; every peer seen sends 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// The most urgent.
    pub const HIGHEST: Self = Self(0);

    /// The priority of this rank, if it is at most 7.
    pub const fn new(rank: u8) -> Option<Self> {
        if rank > 7 { None } else { Some(Self(rank)) }
    }

    /// Its rank.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Reads it from the upper three bits of a byte.
    pub(super) fn from_upper_bits(byte: u8) -> Self {
        Self(byte >> 5)
    }

    pub(super) fn upper_bits(self) -> u8 {
        self.0 << 5
    }
}

/// Why a stream was reset: the status of an RST_STREAM. A peer may send codes that are not named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResetStatus(u32);

impl ResetStatus {
    /// The peer broke the protocol on this stream.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// A frame came for a stream that is not open.
    pub const INVALID_STREAM: Self = Self(2);
    /// The stream was refused before anything was done with it.
    pub const REFUSED_STREAM: Self = Self(3);
    /// The sender does not speak this version of SPDY.
    pub const UNSUPPORTED_VERSION: Self = Self(4);
    /// The stream is no longer wanted. What the real servers end every stream with.
    pub const CANCEL: Self = Self(5);
    /// The sender failed.
    pub const INTERNAL_ERROR: Self = Self(6);
    /// The peer sent more than the window allows. Windows are not kept here.
    pub const FLOW_CONTROL_ERROR: Self = Self(7);
    /// A second SYN_REPLY came for the stream.
    pub const STREAM_IN_USE: Self = Self(8);
    /// Data came on a stream that its sender had finished.
    pub const STREAM_ALREADY_CLOSED: Self = Self(9);
    /// A frame is larger than the receiver takes.
    pub const FRAME_TOO_LARGE: Self = Self(11);

    /// The status of this code; 0 is none.
    pub const fn new(code: u32) -> Option<Self> {
        if code == 0 { None } else { Some(Self(code)) }
    }

    /// Its code.
    pub const fn code(self) -> u32 {
        self.0
    }

    /// What a stream is reset with on which the peer did this.
    pub(super) fn answering(violation: SpdyViolation) -> Self {
        match violation {
            SpdyViolation::ReplyTwice => Self::STREAM_IN_USE,
            SpdyViolation::DataAfterFin => Self::STREAM_ALREADY_CLOSED,
            _ => Self::PROTOCOL_ERROR,
        }
    }
}

/// Why a connection ends: the status of a GOAWAY. A peer may send codes that are not named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GoAwayStatus(u32);

impl GoAwayStatus {
    /// Nothing is wrong.
    pub const OK: Self = Self(0);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// The sender failed.
    pub const INTERNAL_ERROR: Self = Self(2);

    /// The status of this code.
    pub const fn new(code: u32) -> Self {
        Self(code)
    }

    /// Its code.
    pub const fn code(self) -> u32 {
        self.0
    }
}
