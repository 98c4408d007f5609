//! What a forward tells its application, and why it does not obey.

use std::fmt;

use bytes::Bytes;

use super::ConnectionId;
use crate::outcome::CloseReason;

/// What a forward tells its application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardEvent {
    /// Server: the client wants a connection to this port. Connect to it, or [say](super::Forward::fail_connection) why not.
    Connect(ConnectionId, u16),
    /// Data from the other end of a connection. Never empty.
    Data(ConnectionId, Bytes),
    /// The other end sends nothing more; over SPDY it may still be sent to.
    End(ConnectionId),
    /// Client: the pod says that this connection failed, and why. Nothing more comes of it.
    Failed(ConnectionId, String),
    /// The other end broke this connection off. After an [`End`](Self::End) it means that what is sent arrives nowhere any more.
    Reset(ConnectionId),
    /// After [`ForwardError::Blocked`]: there is room for this connection again.
    Writable(ConnectionId),
    /// The peer takes no more connections; those there are go on.
    GoingAway,
    /// The forward is over, and with it every connection: one that was not told to have ended was cut. The last event.
    Ended(Option<CloseReason>),
}

impl ForwardEvent {
    /// The connection that it is about, if it is about one.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Connect(id, _) | Self::Data(id, _) | Self::Failed(id, _) => Some(*id),
            Self::End(id) | Self::Reset(id) | Self::Writable(id) => Some(*id),
            Self::GoingAway | Self::Ended(_) => None,
        }
    }
}

/// Why a command was not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardError {
    /// Too much waits to be sent. A [`Writable`](ForwardEvent::Writable) event tells when there is room again.
    Blocked,
    /// Our half of the connection was finished before.
    Finished,
    /// The connection is over.
    Gone,
    /// As many connections are open as [`Limits::spdy_streams`](crate::Limits::spdy_streams) allows, or the peer does not read our
    /// requests; more ports than there are channels for.
    TooMany,
    /// The forward takes no more connections, or is over.
    GoingAway,
    /// Channels have no end of one direction (PFW-13): the connection can only be ended whole.
    NoHalfClose,
    /// Channels have one connection for each port and upgrade, and that of this port was made (PFW-12).
    PortTaken,
    /// The upgrade did not name this port, and channels serve no other (PFW-12).
    PortUnknown,
    /// Only a client opens connections.
    ServerSide,
    /// Port-forward has no channels in this subprotocol.
    Subprotocol,
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocked => "too much waits to be sent",
            Self::Finished => "this half of the connection was ended",
            Self::Gone => "the connection is over",
            Self::TooMany => "too many connections are open on this forward",
            Self::GoingAway => "the forward takes no more connections",
            Self::NoHalfClose => "channels cannot end one direction of a connection",
            Self::PortTaken => {
                "channels have one connection for each port and upgrade, and this port's was made"
            }
            Self::PortUnknown => "the upgrade did not name this port",
            Self::ServerSide => "only a client opens connections",
            Self::Subprotocol => "a subprotocol without channels for port-forward",
        })
    }
}

impl std::error::Error for ForwardError {}
