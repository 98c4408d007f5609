//! The protocol that streams bytes in and out of Kubernetes pods.

mod channel;
mod error;
mod heartbeat;
mod limits;
mod link;
mod message;
mod outcome;
pub mod request;
pub mod session;
mod status;
mod subprotocol;
#[cfg(test)]
mod table;
pub mod upgrade;
mod websocket;

pub use error::{ChannelViolation, Error, ErrorKind, Fault, FrameViolation, HeadViolation};
pub use heartbeat::{HeartbeatConfig, Reading};
pub use limits::Limits;
pub use message::Message;
pub use outcome::{CloseReason, Outcome};
pub use request::{Action, PodRequest, Streams};
pub use session::{
    ClientEvent, ClientSession, Output, ServerEvent, ServerSession, SessionConfig, TerminalSize, WriteError,
};
pub use status::{Cause, Details, Status};
pub use subprotocol::{BearerToken, Encoding, StatusForm, Subprotocol};
pub use websocket::{Role, Strictness, Transmit};
