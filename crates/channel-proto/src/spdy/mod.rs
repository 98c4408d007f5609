//! SPDY/3.1 as Kubernetes speaks it: streams over one byte stream, for both ends. Exec, attach and port-forward are built on it, on a
//! connection of its own or tunnelled in WebSocket messages.
//!
//! [`Connection`] is the machine; what the other types are for is said there. Below it are its parts, for those who test and
//! judge: [`Decoder`] reads frames, [`ControlFrame::encode`] writes them.
//!
//! What this dialect leaves out: windows are neither kept nor waited for (SETTINGS and WINDOW_UPDATE are checked and ignored, SPD-5), priorities
//! mean nothing, a SYN_REPLY carries no headers.

mod connection;
mod decoder;
mod dictionary;
mod errors;
mod frame;
mod header_block;
mod headers;
mod outgoing;
mod receive;
mod state;
mod stream;
mod streams;

pub use connection::Connection;
pub use decoder::{Decoder, Item, Piece};
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use dictionary::DICTIONARY;
pub use errors::{OpenError, StreamError};
pub use frame::ControlFrame;
pub use header_block::HeaderEncoder;
pub use headers::{HeaderError, Headers};
pub use receive::Event;
pub use state::StreamState;
pub use stream::{GoAwayStatus, Priority, ResetStatus, StreamId};
