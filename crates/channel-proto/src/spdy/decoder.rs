//! Incoming frames, read as a stream.

use bytes::{Buf, Bytes};

use super::{
    ControlFrame, GoAwayStatus, Priority, ResetStatus, StreamId,
    frame::{Flags, FrameType, HEADER_LEN, Header},
    header_block::{Block, HeaderDecoder},
};
use crate::{
    error::{Error, ErrorKind, SpdyViolation},
    limits::Limits,
};

/// Reads frames out of the chunks in which they come, however they are cut. Payloads of DATA come out as slices of those
/// chunks, in pieces as they arrive; control frames come out whole. It knows neither streams nor roles: [`Connection`](super::Connection) does.
///
/// After an error it is of no more use.
pub struct Decoder {
    limits: Limits,
    headers: HeaderDecoder,
    state: State,
    /// The beginning of a frame header, or of a control frame, that the chunks before ended in.
    partial: Vec<u8>,
    taken: u64,
    /// Where the frame in progress begins.
    frame_at: u64,
}

#[derive(Clone, Copy)]
enum State {
    AwaitHeader,
    AwaitControl {
        kind: FrameType,
        flags: Flags,
        len: usize,
    },
    AwaitPayload {
        id: StreamId,
        remaining: usize,
        start: bool,
        fin: bool,
    },
    /// The rest of a frame of a type that is not known.
    Skip {
        remaining: usize,
    },
}

/// What a [`Decoder`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// A control frame.
    Control(ControlFrame),
    /// Some of a DATA frame.
    Data(Piece),
    /// A control frame whose header block breaks a rule that concerns its stream only (SPD-9).
    Unsound {
        /// The stream.
        id: StreamId,
        /// Whether the frame is a SYN_STREAM.
        opens: bool,
        /// What it breaks.
        violation: SpdyViolation,
    },
    /// A control frame of a type that is not known, which has to be ignored (SPD-4).
    Unknown,
}

/// Some payload of a DATA frame. Every frame has one piece with `start` and one with `end`; they may be the same. Only the
/// piece of a frame without payload is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The stream.
    pub id: StreamId,
    /// A slice of what came.
    pub payload: Bytes,
    /// It is the first of its frame.
    pub start: bool,
    /// It is the last of its frame.
    pub end: bool,
    /// It is the last of its stream: its frame has the flag, and it is the last of its frame.
    pub fin: bool,
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            headers: HeaderDecoder::default(),
            state: State::AwaitHeader,
            partial: Vec::new(),
            taken: 0,
            frame_at: 0,
        }
    }

    /// Bytes taken so far: where in the peer's stream the next byte stands.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether the bytes taken so far end inside a frame.
    pub fn is_inside_frame(&self) -> bool {
        !self.partial.is_empty() || !matches!(self.state, State::AwaitHeader)
    }

    /// Where the frame in progress, or else the last one, begins.
    pub(super) fn frame_at(&self) -> u64 {
        self.frame_at
    }

    /// The next item, if `input` ends it. Takes the bytes up to the end of the item, or else all there are.
    ///
    /// # Errors
    /// The peer broke SPDY or went over a limit, with the place where the frame in question begins.
    #[inline]
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Item>, Error> {
        loop {
            match self.state {
                State::AwaitHeader => {
                    let Some(header) = self.gather_header(input) else { return Ok(None) };
                    self.frame_at = self.taken - HEADER_LEN as u64;
                    let (state, item) =
                        self.begin(&Header::parse(header)).map_err(|kind| self.error(kind))?;
                    self.state = state;
                    if item.is_some() {
                        return Ok(item);
                    }
                }
                State::AwaitControl { kind, flags, len } => {
                    let Some(body) = self.gather(input, len) else { return Ok(None) };
                    self.state = State::AwaitHeader;
                    return self.control(kind, flags, &body).map(Some).map_err(|kind| self.error(kind));
                }
                State::AwaitPayload { .. } => return Ok(self.payload(input)),
                State::Skip { remaining } => {
                    let len = remaining.min(input.len());
                    input.advance(len);
                    self.taken += len as u64;
                    if len < remaining {
                        self.state = State::Skip { remaining: remaining - len };
                        return Ok(None);
                    }
                    self.state = State::AwaitHeader;
                }
            }
        }
    }

    /// The next frame header, once it is there.
    #[inline]
    fn gather_header(&mut self, input: &mut Bytes) -> Option<[u8; HEADER_LEN]> {
        match input.first_chunk().copied() {
            // Nearly always whole: then it costs no slice of its own.
            Some(header) if self.partial.is_empty() => {
                input.advance(HEADER_LEN);
                self.taken += HEADER_LEN as u64;
                Some(header)
            }
            _ => self.gather(input, HEADER_LEN)?.first_chunk().copied(),
        }
    }

    /// The next `len` bytes, once they are there: a slice of `input`, unless they were cut.
    #[inline]
    fn gather(&mut self, input: &mut Bytes, len: usize) -> Option<Bytes> {
        let missing = len - self.partial.len();
        if input.len() < missing {
            self.taken += input.len() as u64;
            self.partial.extend_from_slice(input);
            input.clear();
            return None;
        }
        self.taken += missing as u64;
        let rest = input.split_to(missing);
        if self.partial.is_empty() {
            return Some(rest);
        }
        self.partial.extend_from_slice(&rest);
        Some(std::mem::take(&mut self.partial).into())
    }

    /// Judges a header before anything of its frame is kept (SPD-2, SPD-8).
    fn begin(&self, header: &Header) -> Result<(State, Option<Item>), ErrorKind> {
        let (kind, flags, len) = match *header {
            Header::Data { id, flags, len } => {
                let id = stream_id(id)?;
                return Ok((
                    State::AwaitPayload { id, remaining: len, start: true, fin: flags.is_fin() },
                    None,
                ));
            }
            Header::Control { known_version: false, .. } => return Err(SpdyViolation::Version.into()),
            Header::Control { kind, flags, len, .. } => (kind, flags, len),
        };
        let is_of_length = match kind {
            FrameType::SYN_STREAM => len >= 10,
            FrameType::SYN_REPLY | FrameType::HEADERS => len >= 4,
            FrameType::RST_STREAM | FrameType::GOAWAY | FrameType::WINDOW_UPDATE => len == 8,
            FrameType::SETTINGS => len >= 4 && (len - 4).is_multiple_of(8),
            FrameType::PING => len == 4,
            _ => return Ok((State::Skip { remaining: len }, Some(Item::Unknown))),
        };
        if !is_of_length {
            return Err(SpdyViolation::FrameLength.into());
        }
        if matches!(kind, FrameType::PING | FrameType::GOAWAY | FrameType::WINDOW_UPDATE) && !flags.is_empty()
        {
            return Err(SpdyViolation::FrameFlags.into());
        }
        if kind == FrameType::SETTINGS && len / 8 > self.limits.spdy_settings {
            let limit = self.limits.spdy_settings as u64;
            return Err(ErrorKind::Limit { what: "entries of one SPDY SETTINGS frame", limit });
        }
        if len > self.limits.spdy_frame {
            let limit = self.limits.spdy_frame as u64;
            return Err(ErrorKind::Limit { what: "bytes of one SPDY control frame", limit });
        }
        Ok((State::AwaitControl { kind, flags, len }, None))
    }

    fn control(&mut self, kind: FrameType, flags: Flags, body: &[u8]) -> Result<Item, ErrorKind> {
        let (first, rest) = body.split_first_chunk().ok_or(SpdyViolation::FrameLength)?;
        let first = u32::from_be_bytes(*first);
        let second = || rest.first_chunk().map_or(0, |number| u32::from_be_bytes(*number));
        Ok(Item::Control(match kind {
            FrameType::SYN_STREAM => {
                let id = stream_id(first)?;
                let (&[_, _, _, _, rank, _], block) =
                    rest.split_first_chunk().ok_or(SpdyViolation::FrameLength)?;
                match self.headers.decode(block, &self.limits)? {
                    Block::Unsound(violation) => return Ok(Item::Unsound { id, opens: true, violation }),
                    Block::Sound(headers) => ControlFrame::SynStream {
                        id,
                        associated: second() & StreamId::MAX.get(),
                        priority: Priority::from_upper_bits(rank),
                        fin: flags.is_fin(),
                        unidirectional: flags.is_unidirectional(),
                        headers,
                    },
                }
            }
            FrameType::SYN_REPLY | FrameType::HEADERS => {
                let (id, fin) = (stream_id(first)?, flags.is_fin());
                match self.headers.decode(rest, &self.limits)? {
                    Block::Unsound(violation) => return Ok(Item::Unsound { id, opens: false, violation }),
                    Block::Sound(headers) if kind == FrameType::SYN_REPLY => {
                        ControlFrame::SynReply { id, fin, headers }
                    }
                    Block::Sound(headers) => ControlFrame::Headers { id, fin, headers },
                }
            }
            FrameType::RST_STREAM => {
                let status = ResetStatus::new(second()).ok_or(SpdyViolation::ResetStatus)?;
                ControlFrame::RstStream { id: stream_id(first)?, status }
            }
            FrameType::SETTINGS if first as usize != rest.len() / 8 => {
                return Err(SpdyViolation::SettingsCount.into());
            }
            FrameType::SETTINGS => ControlFrame::Settings { entries: first },
            FrameType::PING if first == 0 => return Err(SpdyViolation::PingZero.into()),
            FrameType::PING => ControlFrame::Ping { id: first },
            FrameType::GOAWAY => ControlFrame::GoAway {
                last: first & StreamId::MAX.get(),
                status: GoAwayStatus::new(second()),
            },
            FrameType::WINDOW_UPDATE => {
                let delta = second() & StreamId::MAX.get();
                if delta == 0 {
                    return Err(SpdyViolation::WindowDelta.into());
                }
                ControlFrame::WindowUpdate { id: first & StreamId::MAX.get(), delta }
            }
            _ => return Ok(Item::Unknown),
        }))
    }

    /// As much of the frame's payload as `input` holds.
    #[inline]
    fn payload(&mut self, input: &mut Bytes) -> Option<Item> {
        let State::AwaitPayload { id, remaining, start, fin } = &mut self.state else { return None };
        let len = input.len().min(*remaining);
        if len == 0 && *remaining > 0 {
            return None;
        }
        self.taken += len as u64;
        *remaining -= len;
        let end = *remaining == 0;
        let piece = Piece { id: *id, payload: input.split_to(len), start: *start, end, fin: end && *fin };
        *start = false;
        if end {
            self.state = State::AwaitHeader;
        }
        Some(Item::Data(piece))
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::at(self.frame_at, kind)
    }
}

/// The highest bit is reserved, and ignored.
fn stream_id(number: u32) -> Result<StreamId, SpdyViolation> {
    StreamId::new(number & StreamId::MAX.get()).ok_or(SpdyViolation::StreamZero)
}
