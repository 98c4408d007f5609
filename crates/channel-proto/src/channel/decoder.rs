//! Pieces of messages in, pieces of channels out.

use bytes::{Buf, Bytes};

use super::{
    CLOSE,
    base64::{Base64Decoder, Decoded, Delivered},
};
use crate::{
    error::ChannelViolation,
    subprotocol::{Encoding, Subprotocol},
    websocket::{Piece, Role},
};

/// Finds the channel of each message and hands its payload on, slice by slice.
pub(crate) struct ChannelDecoder {
    role: Role,
    subprotocol: Subprotocol,
    message: Message,
    base64: Base64Decoder,
    /// A fault that comes behind data which had to be handed out first.
    broken: Option<ChannelViolation>,
}

/// How far the message in progress came.
enum Message {
    /// Its channel byte is still to come.
    AwaitChannel,
    /// Its payload is for this channel; whether there was any so far.
    Payload { channel: u8, bare: bool },
    /// It is a close signal; the channel that ends, once it came.
    CloseSignal(Option<u8>),
    /// What is left of it is dropped.
    Dropped,
}

/// Part of what was sent on a channel.
pub(crate) struct Chunk {
    pub(crate) channel: u8,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    /// Payload, and whether it is the last of its message. It is only empty to say that what came before was the last.
    Data { payload: Bytes, end: bool },
    /// A whole message with a channel and no payload.
    Bare,
    /// The channel ends (v5).
    Closed,
}

impl ChannelDecoder {
    pub(crate) fn new(role: Role, subprotocol: Subprotocol) -> Self {
        Self {
            role,
            subprotocol,
            message: Message::AwaitChannel,
            base64: Base64Decoder::default(),
            broken: None,
        }
    }

    /// What `piece` holds for a channel; `None` when it holds nothing for any.
    #[inline]
    pub(crate) fn decode(&mut self, piece: Piece) -> Result<Option<Chunk>, ChannelViolation> {
        let Piece { mut payload, start, end } = piece;
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        if start {
            self.message = Message::AwaitChannel;
        }
        if let Message::AwaitChannel = self.message {
            let Some(&first) = payload.first() else { return Ok(None) };
            payload.advance(1);
            self.message = self.begin(first);
        }
        match &mut self.message {
            Message::Payload { channel, bare } => {
                let channel = *channel;
                if payload.is_empty() && !end {
                    return Ok(None);
                }
                if payload.is_empty() && *bare {
                    return Ok(Some(Chunk { channel, content: Content::Bare }));
                }
                *bare = false;
                let payload = match self.subprotocol.encoding() {
                    Encoding::Binary => payload,
                    Encoding::Base64 => match self.decode_base64(&payload, end)? {
                        Some(payload) if !payload.is_empty() => payload,
                        // Nothing but line ends, which are no base64.
                        Some(_) if end && self.base64.delivered() == Delivered::Nothing => {
                            return Ok(Some(Chunk { channel, content: Content::Bare }));
                        }
                        Some(payload) if end => payload,
                        _ => return Ok(None),
                    },
                };
                // What stands before a fault is never the last of its message, wherever the message was cut.
                let end = end && self.broken.is_none();
                Ok(Some(Chunk { channel, content: Content::Data { payload, end } }))
            }
            Message::CloseSignal(closed) => close_signal(closed, &payload, end),
            Message::AwaitChannel | Message::Dropped => Ok(None),
        }
    }

    fn begin(&mut self, first: u8) -> Message {
        match self.subprotocol.encoding() {
            Encoding::Binary if first == CLOSE && self.subprotocol.can_half_close() => {
                Message::CloseSignal(None)
            }
            Encoding::Binary => Message::Payload { channel: first, bare: true },
            Encoding::Base64 => {
                self.base64.start();
                // A byte below '0' wraps to a channel that nobody knows (FRM-3).
                Message::Payload { channel: first.wrapping_sub(b'0'), bare: true }
            }
        }
    }

    /// A server drops a message that is not base64 if none of it was handed on (FRM-5); nobody drops the rest of one (FRM-6), and a client drops nothing (FRM-7).
    fn decode_base64(&mut self, text: &[u8], end: bool) -> Result<Option<Bytes>, ChannelViolation> {
        match self.base64.decode(text, end) {
            Decoded::Bytes(bytes) => Ok(Some(bytes)),
            Decoded::Broken(_) if self.may_drop() => {
                self.message = Message::Dropped;
                Ok(None)
            }
            Decoded::Broken(bytes) if bytes.is_empty() => Err(ChannelViolation::Base64),
            Decoded::Broken(bytes) => {
                self.broken = Some(ChannelViolation::Base64);
                Ok(Some(bytes))
            }
        }
    }

    fn may_drop(&self) -> bool {
        self.role == Role::Server && self.base64.delivered() == Delivered::Nothing
    }

    /// A fault that is due, now that what stood before it was taken.
    #[inline]
    pub(crate) fn broken(&self) -> Option<ChannelViolation> {
        self.broken
    }
}

/// `{255, channel}`, exactly, with a channel of 0 to 4 (FRM-9, FRM-10, FRM-14).
fn close_signal(
    closed: &mut Option<u8>,
    payload: &[u8],
    end: bool,
) -> Result<Option<Chunk>, ChannelViolation> {
    match (*closed, payload) {
        (_, []) => {}
        (None, &[channel @ ..=4]) => *closed = Some(channel),
        _ => return Err(ChannelViolation::CloseSignal),
    }
    match (end, *closed) {
        (false, _) => Ok(None),
        (true, Some(channel)) => Ok(Some(Chunk { channel, content: Content::Closed })),
        (true, None) => Err(ChannelViolation::CloseSignal),
    }
}
