//! WebSocket framing (RFC 6455), as a stream: a message of any size is handed out in pieces as it arrives,
//! payloads are slices of the buffer that was read into, and nothing is allocated per message.

mod connection;
mod decoder;
mod frame;
mod mask;
mod state;

pub use crate::transmit::Transmit;
pub(crate) use connection::{Connection, Received};
pub(crate) use decoder::{Decoder, Item, Piece};
pub(crate) use frame::{MAX_CONTROL, Opcode};

/// Which end of the connection we are. A client masks what it sends and refuses masked frames; a server the reverse (WSF-1, WSF-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// We asked for the upgrade.
    Client,
    /// We accepted it.
    Server,
}

/// What to do with frames that RFC 6455 forbids and the real Kubernetes servers accept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strictness {
    /// Refuse them, as RFC 6455 asks: the connection ends with close code 1002.
    #[default]
    Strict,
    /// Take them as kube-apiserver and kubelet were seen to take them: reserved bits and a reserved control
    /// opcode are ignored, a reserved data opcode is data, a continuation with nothing to continue is a message, a ping of any
    /// length is answered with its first 125 bytes, in fragments or not. Masking and lengths are checked all the same.
    Lax,
}
