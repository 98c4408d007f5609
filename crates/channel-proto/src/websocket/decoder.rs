//! Incoming frames, read as a stream.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Role, Strictness,
    frame::{Header, MAX_CONTROL, Opcode},
    mask::{rotate, unmask},
};
use crate::error::{Error, ErrorKind, FrameViolation};

/// Reads frames out of a buffer. Payloads of messages come out as slices of that buffer, in pieces as they arrive; control frames come out whole.
pub(crate) struct Decoder {
    role: Role,
    strictness: Strictness,
    max_message: u64,
    state: State,
    /// Bytes taken so far: where the next byte stands in the peer's stream.
    taken: u64,
    /// Where the newest frame began: errors point there, so that they do not depend on how its bytes were cut.
    frame_start: u64,
    /// Bytes of the message in progress, its frames so far counted whole.
    message_len: u64,
    /// A message was begun and its last frame is still to come.
    fragmented: bool,
    text: Text,
}

/// What to do with text messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// They are data like any other.
    Taken,
    /// They are refused (TUN-3).
    #[cfg(feature = "spdy")]
    Refused,
}

/// The first byte of a binary message in one frame.
const FIN_BINARY: u8 = 0x82;

enum State {
    AwaitHeader,
    AwaitPayload {
        remaining: u64,
        mask: Option<[u8; 4]>,
        start: bool,
        fin: bool,
    },
    /// The rest of a control frame longer than is allowed, which [`Strictness::Lax`] passes over.
    Skip {
        remaining: u64,
    },
}

/// What a [`Decoder`] found.
pub(crate) enum Item {
    Data(Piece),
    /// The payload, of at most [`MAX_CONTROL`] bytes.
    Ping(Bytes),
    Pong,
    /// The payload, as it came.
    Close(Bytes),
    /// A frame that [`Strictness::Lax`] ignores.
    Ignored,
}

/// Some payload of a message. Every message has one piece with `start` and one with `end`; they may be the same, and any may be empty.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) payload: Bytes,
    pub(crate) start: bool,
    pub(crate) end: bool,
}

impl Decoder {
    pub(crate) fn new(role: Role, strictness: Strictness, max_message: u64) -> Self {
        Self {
            role,
            strictness,
            max_message,
            state: State::AwaitHeader,
            taken: 0,
            frame_start: 0,
            message_len: 0,
            fragmented: false,
            text: Text::Taken,
        }
    }

    #[cfg(feature = "spdy")]
    pub(crate) fn set_text(&mut self, text: Text) {
        self.text = text;
    }

    /// Bytes taken so far: where in the peer's stream the next byte stands.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Where in the peer's stream the newest frame began.
    pub(crate) fn frame_start(&self) -> u64 {
        self.frame_start
    }

    /// The next item, if `input` holds enough of it. Takes what the item is made of, and leaves the rest.
    #[inline]
    pub(crate) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Item>, Error> {
        if let State::Skip { remaining } = &mut self.state {
            let len = usize::try_from(*remaining).unwrap_or(usize::MAX).min(input.len());
            input.advance(len);
            self.taken += len as u64;
            *remaining -= len as u64;
            if *remaining > 0 {
                return Ok(None);
            }
            self.state = State::AwaitHeader;
        }
        if let State::AwaitHeader = self.state {
            let Some((header, header_len)) = Header::parse(input) else { return Ok(None) };
            self.frame_start = self.taken;
            self.judge(&header)?;
            if header.opcode.is_control() {
                return self.control(&header, header_len, input);
            }
            self.begin_data(&header)?;
            input.advance(header_len);
            self.taken += header_len as u64;
        }
        Ok(self.payload(input))
    }

    /// The message at the front of `input`, if it is what nearly every message is: one unmasked binary frame, there whole, and `wanted` for its
    /// first byte, which is taken off the payload. [`decode`](Self::decode) would come to the same and needs longer.
    #[inline]
    pub(crate) fn whole_message<T>(
        &mut self,
        input: &mut BytesMut,
        wanted: impl FnOnce(u8) -> Option<T>,
    ) -> Option<(T, Bytes)> {
        let (header, len, first) = match *input.first_chunk()? {
            [FIN_BINARY, len @ 2..126, first, _] => (2, usize::from(len), first),
            [FIN_BINARY, 126, high, low] => (4, usize::from(u16::from_be_bytes([high, low])), *input.get(4)?),
            _ => return None,
        };
        let (end, minimal) = (header + len, header == 2 || len > 125);
        let next = !self.fragmented && matches!(self.state, State::AwaitHeader);
        if !next || !minimal || len as u64 > self.max_message || end > input.len() {
            return None;
        }
        let wanted = wanted(first)?;
        self.frame_start = self.taken;
        self.taken += end as u64;
        let mut payload = input.split_to(end).freeze();
        payload.advance(header + 1);
        Some((wanted, payload))
    }

    /// What holds for every frame (WSF-1 to WSF-5).
    #[inline]
    fn judge(&self, header: &Header) -> Result<(), Error> {
        let strict = self.strictness == Strictness::Strict;
        let violation = match (self.role, header.mask) {
            (Role::Server, None) => FrameViolation::Unmasked,
            (Role::Client, Some(_)) => FrameViolation::Masked,
            _ if header.reserved_bits && strict => FrameViolation::ReservedBits,
            _ if !header.minimal => FrameViolation::LengthNotMinimal,
            _ if header.len > i64::MAX as u64 => FrameViolation::LengthSign,
            _ if header.opcode.is_reserved() && strict => FrameViolation::ReservedOpcode,
            _ => return Ok(()),
        };
        Err(Error::at(self.frame_start, violation))
    }

    /// A control frame, once it is there whole (WSF-6).
    fn control(
        &mut self,
        header: &Header,
        header_len: usize,
        input: &mut BytesMut,
    ) -> Result<Option<Item>, Error> {
        let violation = match self.strictness {
            Strictness::Strict if header.len > MAX_CONTROL as u64 => Some(FrameViolation::ControlLength),
            Strictness::Strict if !header.fin => Some(FrameViolation::ControlFragmented),
            _ => None,
        };
        if let Some(violation) = violation {
            return Err(Error::at(self.frame_start, violation));
        }
        if header.len > self.max_message {
            let kind = ErrorKind::Limit { what: "bytes of one message", limit: self.max_message };
            return Err(Error::at(self.frame_start, kind));
        }
        let len = usize::try_from(header.len).unwrap_or(usize::MAX).min(MAX_CONTROL);
        if input.len() < header_len + len {
            return Ok(None);
        }
        input.advance(header_len);
        let mut payload = input.split_to(len);
        self.taken += (header_len + len) as u64;
        if header.len > len as u64 {
            self.state = State::Skip { remaining: header.len - len as u64 };
        }
        if let Some(key) = header.mask {
            unmask(&mut payload, key);
        }
        Ok(Some(match header.opcode {
            Opcode::PING => Item::Ping(payload.freeze()),
            Opcode::PONG => Item::Pong,
            Opcode::CLOSE => Item::Close(payload.freeze()),
            _ => Item::Ignored,
        }))
    }

    #[inline]
    fn begin_data(&mut self, header: &Header) -> Result<(), Error> {
        let continues = header.opcode == Opcode::CONTINUATION;
        let violation = match (continues, self.fragmented) {
            (true, false) if self.strictness == Strictness::Strict => Some(FrameViolation::StrayContinuation),
            (false, true) => Some(FrameViolation::Interrupted),
            (false, false) if header.opcode == Opcode::TEXT && self.text != Text::Taken => {
                Some(FrameViolation::Text)
            }
            _ => None,
        };
        if let Some(violation) = violation {
            return Err(Error::at(self.frame_start, violation));
        }
        let start = !self.fragmented;
        self.message_len = if start { header.len } else { self.message_len.saturating_add(header.len) };
        if self.message_len > self.max_message {
            let kind = ErrorKind::Limit { what: "bytes of one message", limit: self.max_message };
            return Err(Error::at(self.frame_start, kind));
        }
        self.fragmented = !header.fin;
        self.state = State::AwaitPayload { remaining: header.len, mask: header.mask, start, fin: header.fin };
        Ok(())
    }

    /// As much of the frame's payload as `input` holds.
    #[inline]
    fn payload(&mut self, input: &mut BytesMut) -> Option<Item> {
        let State::AwaitPayload { remaining, mask, start, fin } = &mut self.state else { return None };
        // A frame longer than the address space is handed out in pieces like any other.
        let len = usize::try_from(*remaining).unwrap_or(usize::MAX).min(input.len());
        if len == 0 && *remaining > 0 {
            return None;
        }
        let mut payload = input.split_to(len);
        self.taken += len as u64;
        *remaining -= len as u64;
        if let Some(key) = mask {
            unmask(&mut payload, *key);
            *key = rotate(*key, len);
        }
        let done = *remaining == 0;
        let piece = Piece { payload: payload.freeze(), start: *start, end: done && *fin };
        *start = false;
        if done {
            self.state = State::AwaitHeader;
        }
        Some(Item::Data(piece))
    }
}
