//! What can go wrong, where in the peer's bytes, and whose fault it is.

use std::{fmt, time::Duration};

/// An error of a session or an upgrade. It is fatal and it sticks: every later call returns it again.
///
/// A normal end is never an error; see [`Outcome`](crate::Outcome).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    at: Option<u64>,
}

impl Error {
    /// An error at byte `at` of what the peer sent since the connection (or the upgraded stream) began.
    pub(crate) fn at(at: u64, kind: impl Into<ErrorKind>) -> Self {
        Self { kind: kind.into(), at: Some(at) }
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self.kind {
            ErrorKind::Frame(_)
            | ErrorKind::Channel(_)
            | ErrorKind::Spdy(_)
            | ErrorKind::Head(_)
            | ErrorKind::Silent { .. } => Fault::Peer,
            ErrorKind::Limit { .. } => Fault::Limit,
            ErrorKind::Misuse(_) => Fault::Caller,
        }
    }

    /// Where in the peer's bytes, counted from the start of the stream this machine was fed: for a fault in a frame, where
    /// that frame begins.
    pub fn offset(&self) -> Option<u64> {
        self.at
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, at: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{} (at byte {at} of the peer's stream)", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// Whose fault an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The peer broke the protocol or went silent.
    Peer,
    /// The caller used the API in a way its documentation forbids.
    Caller,
    /// The peer kept to the protocol but went beyond a limit of [`Limits`](crate::Limits).
    Limit,
}

/// What an [`Error`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The peer's WebSocket framing is wrong.
    Frame(FrameViolation),
    /// The peer's channel frames are wrong.
    Channel(ChannelViolation),
    /// The peer's SPDY frames are wrong.
    Spdy(SpdyViolation),
    /// The peer's HTTP head is wrong.
    Head(HeadViolation),
    /// The peer went beyond a limit.
    Limit {
        /// The field of [`Limits`](crate::Limits), and what it counts.
        what: &'static str,
        /// The limit in force.
        limit: u64,
    },
    /// Nothing was heard from the peer for this long, although it was pinged.
    Silent {
        /// The silence after which a peer counts as dead.
        after: Duration,
    },
    /// The caller broke the contract of a method.
    Misuse(&'static str),
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(violation) => write!(f, "the peer broke WebSocket framing: {violation}"),
            Self::Channel(violation) => write!(f, "the peer sent a bad channel frame: {violation}"),
            Self::Spdy(violation) => write!(f, "the peer broke SPDY: {violation}"),
            Self::Head(violation) => write!(f, "the peer's HTTP head is not usable: {violation}"),
            Self::Limit { what, limit } => write!(f, "the peer went over a limit: {what} (limit {limit})"),
            Self::Silent { after } => {
                write!(f, "the peer is silent: nothing heard for {} s", after.as_secs_f32())
            }
            Self::Misuse(what) => write!(f, "misuse: {what}"),
        }
    }
}

macro_rules! violations {
    ($(#[$doc:meta])* $name:ident => $kind:ident { $($(#[$vdoc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* #[doc = concat!("\"", $text, "\"")] $variant,)* }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)* })
            }
        }

        impl From<$name> for ErrorKind {
            fn from(violation: $name) -> Self {
                Self::$kind(violation)
            }
        }
    };
}

violations! {
    /// How a peer can break WebSocket framing (RFC 6455 §5).
    FrameViolation => Frame {
        Unmasked => "a client's frame is not masked",
        Masked => "a server's frame is masked",
        ReservedBits => "reserved bits are set, and no extension was negotiated",
        ReservedOpcode => "a reserved opcode",
        LengthNotMinimal => "a length in more bytes than it needs",
        LengthSign => "a 64-bit length with its highest bit set",
        ControlLength => "a control frame of more than 125 bytes",
        ControlFragmented => "a control frame in fragments",
        StrayContinuation => "a continuation with nothing to continue",
        Interrupted => "a new message inside a fragmented one",
        CloseLength => "a close frame with a payload of one byte",
        CloseCode => "a close code that may not be sent",
        CloseReason => "a close reason that is not UTF-8",
        Text => "a text message in a tunnel",
    }
}

violations! {
    /// How a peer can break channel frames.
    ChannelViolation => Channel {
        Base64 => "text that is not padded standard base64",
        CloseSignal => "a close signal that is not {255, channel} with a channel of 0 to 4",
        StatusNotJson => "a status that is not a metav1.Status in JSON",
        StatusTwice => "a second status",
        StreamsMissing => "not all streams of the session were opened in time",
        PortMessage => "a first message of a port's channel that is not the port in two bytes",
    }
}

violations! {
    /// How a peer can break SPDY/3.1. What concerns a single stream resets that stream; the rest ends the connection.
    SpdyViolation => Spdy {
        Version => "a control frame of a version other than 3",
        FrameLength => "a control frame of a length that its type cannot have",
        FrameFlags => "flags on a PING, GOAWAY or WINDOW_UPDATE, which have none",
        StreamZero => "a frame for stream 0",
        ResetStatus => "an RST_STREAM with status 0",
        PingZero => "a PING with id 0",
        SettingsCount => "a SETTINGS with another number of entries than its length has room for",
        WindowDelta => "a WINDOW_UPDATE by zero",
        Zlib => "a header block that zlib cannot inflate",
        HeaderBlock => "a header block whose counts and lengths do not add up",
        HeaderName => "a header without a name",
        HeaderCase => "a header name that is not in lower case",
        HeaderTwice => "the same header name twice",
        HeaderText => "a header that is not UTF-8",
        StreamOrder => "a SYN_STREAM whose id is not above those before it",
        StreamParity => "a SYN_STREAM with an id of the other side's",
        StreamTwice => "a SYN_STREAM for a stream that is open",
        ReplyTwice => "a second SYN_REPLY for a stream",
        ReplyUnasked => "a SYN_REPLY for a stream that the peer itself opened",
        DataBeforeReply => "data or headers on a stream before its SYN_REPLY",
        DataAfterFin => "data or headers on a stream after its FIN",
        Truncated => "the connection ended inside a frame",
    }
}

violations! {
    /// How a peer can send an HTTP/1.1 head (or the body of a refusal) that cannot be used.
    HeadViolation => Head {
        Syntax => "not an HTTP/1.1 head",
        Truncated => "the connection ended inside the head",
        Version => "an HTTP version other than 1.1",
        NotUpgrade => "a 101 without the `Upgrade` that was asked for and `Connection: Upgrade`",
        AcceptKey => "a 101 whose Sec-WebSocket-Accept does not answer our key",
        Subprotocol => "a 101 whose subprotocol is not one of those offered",
        Extension => "a 101 that chose an extension, and none was offered",
        ContentLength => "a Content-Length that is not a number",
        Chunk => "a chunked body that cannot be read",
    }
}

impl Error {
    /// The WebSocket close code that tells the peer (RFC 6455 §7.4.1).
    pub(crate) fn close_code(&self) -> u16 {
        match self.kind {
            ErrorKind::Limit { .. } => 1009,
            ErrorKind::Frame(FrameViolation::Text) => 1003,
            _ => 1002,
        }
    }
}
