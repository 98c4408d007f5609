//! One end of a WebSocket connection after the upgrade: frames in, frames out, the close handshake, pings answered.

use bytes::{Bytes, BytesMut};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    Decoder, Item, MAX_CONTROL, Opcode, Piece, Role, Strictness, Transmit,
    frame::{put_control, put_header},
    mask::{extend_masked, rotate},
    state::{CloseInput, CloseState},
};
use crate::{
    error::{Error, FrameViolation},
    limits::Limits,
    outcome::CloseReason,
};

/// One end of a WebSocket connection.
pub(crate) struct Connection {
    decoder: Decoder,
    strictness: Strictness,
    /// The source of masking keys; a server has none.
    keys: Option<ChaCha8Rng>,
    transmit: Transmit,
    transmit_limit: usize,
    close: CloseState,
    /// The newest ping not yet answered, while the transmit buffer is full (WSF-16).
    unanswered: Option<Bytes>,
    ping: Ping,
}

/// Whether a ping waits for room in the transmit buffer. One does for all: a peer that reads nothing costs no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ping {
    None,
    Due,
}

/// What came from the peer.
pub(crate) enum Received {
    Data(Piece),
    /// A ping (answered already), a pong, or a frame that is ignored.
    Control,
    /// The peer's close frame; ours went out before it or with it.
    Close(CloseReason),
}

impl Connection {
    /// A connection on which nothing was read or written since the upgrade. `seed` is for the masking keys of a client.
    pub(crate) fn new(role: Role, strictness: Strictness, limits: &Limits, seed: [u8; 32]) -> Self {
        Self {
            decoder: Decoder::new(role, strictness, limits.message),
            strictness,
            keys: (role == Role::Client).then(|| ChaCha8Rng::from_seed(seed)),
            transmit: Transmit::default(),
            transmit_limit: limits.transmit,
            close: CloseState::Open,
            unanswered: None,
            ping: Ping::None,
        }
    }

    /// A connection that carries a tunnel: text messages are refused, and whatever else a real tunnel refuses (TUN-3).
    #[cfg(feature = "spdy")]
    pub(crate) fn tunnel(role: Role, limits: &Limits, seed: [u8; 32]) -> Self {
        let mut connection = Self::new(role, Strictness::Strict, limits, seed);
        connection.decoder.set_text(super::decoder::Text::Refused);
        connection
    }

    pub(crate) fn is_open(&self) -> bool {
        self.close == CloseState::Open
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.close == CloseState::Closed
    }

    pub(crate) fn taken(&self) -> u64 {
        self.decoder.taken()
    }

    /// Where in the peer's stream the newest frame began.
    pub(crate) fn frame_start(&self) -> u64 {
        self.decoder.frame_start()
    }

    /// Bytes that may still be queued before the limit is reached.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.transmit_limit.saturating_sub(self.transmit.len())
    }

    #[inline]
    pub(crate) fn transmit(&mut self) -> &mut Transmit {
        if self.unanswered.is_some() || self.ping == Ping::Due {
            self.send_late();
        }
        &mut self.transmit
    }

    /// Sends what had to wait for room.
    fn send_late(&mut self) {
        if let Some(payload) = self.unanswered.take() {
            self.answer(payload);
        }
        if std::mem::replace(&mut self.ping, Ping::None) == Ping::Due {
            self.ping();
        }
    }

    /// Whether nothing waits to be written.
    #[cfg(feature = "spdy")]
    pub(crate) fn is_drained(&self) -> bool {
        self.transmit.is_empty() && self.unanswered.is_none() && self.ping == Ping::None
    }

    #[inline]
    pub(crate) fn queued(&self) -> usize {
        self.transmit.len()
    }

    /// The message at the front of `input`, as [`Decoder::whole_message`] has it.
    #[inline]
    pub(crate) fn whole_message<T>(
        &mut self,
        input: &mut BytesMut,
        wanted: impl FnOnce(u8) -> Option<T>,
    ) -> Option<(T, Bytes)> {
        debug_assert!(!self.is_closed(), "a session takes nothing behind the end");
        self.decoder.whole_message(input, wanted)
    }

    /// The next thing that came. Once the connection is closed, what else comes is dropped (RFC 6455 §1.4).
    #[inline]
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Received>, Error> {
        if self.is_closed() {
            input.clear();
            return Ok(None);
        }
        match self.decoder.decode(input) {
            Ok(Some(Item::Data(piece))) => Ok(Some(Received::Data(piece))),
            Ok(None) => Ok(None),
            Ok(Some(item)) => self.control(item).map(Some),
            Err(error) => {
                self.close_with(error.close_code(), &error.kind().to_string());
                Err(error)
            }
        }
    }

    fn control(&mut self, item: Item) -> Result<Received, Error> {
        match item {
            Item::Ping(payload) => {
                self.answer(payload);
                Ok(Received::Control)
            }
            Item::Close(payload) => {
                let reason = match read_close(&payload) {
                    Err(violation) if self.strictness == Strictness::Strict => {
                        let error = Error::at(self.frame_start(), violation);
                        self.close_with(error.close_code(), &error.kind().to_string());
                        self.end();
                        return Err(error);
                    }
                    read => read.unwrap_or(CloseReason { code: None, reason: "".into() }),
                };
                // Whatever the peer's code was, 1000 answers it, as it does from the real servers (WSF-14).
                self.close_with(1000, "");
                self.close = self.close.after(CloseInput::ReceiveClose);
                Ok(Received::Close(reason))
            }
            Item::Data(_) | Item::Pong | Item::Ignored => Ok(Received::Control),
        }
    }

    /// Answers a ping, or keeps it in the place of an older one while there is no room (WSF-16).
    fn answer(&mut self, payload: Bytes) {
        if self.room() == 0 {
            self.unanswered = Some(payload);
        } else {
            self.unanswered = None;
            self.put_control(Opcode::PONG, &payload);
        }
    }

    pub(crate) fn ping(&mut self) {
        if self.room() == 0 {
            self.ping = Ping::Due;
        } else {
            self.put_control(Opcode::PING, b"");
        }
    }

    /// Sends a close frame, unless one went out before. `reason` is cut to what a close frame can hold.
    pub(crate) fn close_with(&mut self, code: u16, reason: &str) {
        if !self.is_open() {
            return;
        }
        let fits = (0..=reason.len().min(MAX_CONTROL - 2)).rev().find(|at| reason.is_char_boundary(*at));
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(&reason.as_bytes()[..fits.unwrap_or(0)]);
        self.put_control(Opcode::CLOSE, &payload);
        self.close = self.close.after(CloseInput::SendClose);
    }

    /// The byte stream ended, or there is no more waiting for the peer's close frame.
    pub(crate) fn end(&mut self) {
        self.close = self.close.after(CloseInput::End);
    }

    fn put_control(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.is_open() {
            let key = self.key();
            self.transmit.lay(|out| put_control(out, opcode, payload, key));
        }
    }

    /// Queues a message of `prefix` and then `payload`, which is copied: in one pass with the mask where there is one.
    #[inline]
    pub(crate) fn send_copied<const N: usize>(&mut self, opcode: Opcode, prefix: [u8; N], payload: &[u8]) {
        let key = self.key();
        self.transmit.lay(|out| {
            put_header(out, opcode, N + payload.len(), key);
            match key {
                Some(key) => {
                    out.extend((0..N).map(|at| prefix[at] ^ key[at % 4]));
                    extend_masked(out, payload, rotate(key, N));
                }
                None => {
                    out.extend_from_slice(&prefix);
                    out.extend_from_slice(payload);
                }
            }
        });
    }

    /// Queues a message of `prefix` and then `payload`, which a server sends as the slice it is.
    pub(crate) fn send_shared<const N: usize>(&mut self, opcode: Opcode, prefix: [u8; N], payload: Bytes) {
        if self.keys.is_some() {
            return self.send_copied(opcode, prefix, &payload);
        }
        self.transmit.lay(|out| {
            put_header(out, opcode, N + payload.len(), None);
            out.extend_from_slice(&prefix);
        });
        self.transmit.share(payload);
    }

    /// Queues a message of the front of `from`, of at most `max` bytes.
    #[cfg(feature = "spdy")]
    pub(crate) fn send_from(&mut self, opcode: Opcode, from: &mut Transmit, max: usize) {
        use bytes::Buf;

        let mut key = self.key();
        let mut rest = from.len().min(max);
        self.transmit.lay(|out| {
            put_header(out, opcode, rest, key);
            while rest > 0 {
                let chunk = from.chunk();
                let len = chunk.len().min(rest);
                match &mut key {
                    Some(key) => {
                        extend_masked(out, &chunk[..len], *key);
                        *key = rotate(*key, len);
                    }
                    None => out.extend_from_slice(&chunk[..len]),
                }
                from.advance(len);
                rest -= len;
            }
        });
    }

    #[inline]
    fn key(&mut self) -> Option<[u8; 4]> {
        self.keys.as_mut().map(|keys| keys.next_u32().to_ne_bytes())
    }
}

/// Reads the payload of a close frame (RFC 6455 §5.5.1, §7.4).
fn read_close(payload: &[u8]) -> Result<CloseReason, FrameViolation> {
    let (code, reason) = match payload {
        [] => return Ok(CloseReason { code: None, reason: "".into() }),
        [_] => return Err(FrameViolation::CloseLength),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(FrameViolation::CloseCode);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| FrameViolation::CloseReason)?;
    Ok(CloseReason { code: Some(code), reason: reason.into() })
}
