//! The life of a stream, every transition in one table, blind to the role.
//!
//! | state            | `SendFin`        | `ReceiveFin`       | `SendReset` | `ReceiveReset` |
//! |------------------|------------------|--------------------|-------------|----------------|
//! | `Open`           | `AwaitFin`       | `AwaitOurFin`      | `Closed`    | `PeerReset`    |
//! | `AwaitFin`       | `AwaitFin`       | `Closed`           | `Closed`    | `PeerReset`    |
//! | `AwaitOurFin`    | `Closed`         | `AwaitOurFin`      | `Closed`    | `Closed`       |
//! | `PeerReset`      | `PeerReset`      | `Closed`           | `Closed`    | `PeerReset`    |
//! | `Closed`         | `Closed`         | `Closed`           | `Closed`    | `Closed`       |
//!
//! What comes on a stream is delivered until its FIN, even behind the peer's own reset: the real servers reset the error
//! stream of a failed exec, and then send the status on it. Once we reset a stream, what comes on it is dropped (SPD-14).

/// Where a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamState {
    /// Both ends may send.
    Open,
    /// We finished; the peer may still send. Half-closed (local), in the words of RFC 9113.
    AwaitFin,
    /// The peer finished; we may still send. Half-closed (remote).
    AwaitOurFin,
    /// The peer reset the stream. Nothing is sent on it any more; something may still come.
    PeerReset,
    /// Nothing goes either way.
    Closed,
}

/// What happens to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamInput {
    /// We finish: a FIN follows what is queued.
    SendFin,
    /// The peer's FIN came.
    ReceiveFin,
    /// We reset the stream.
    SendReset,
    /// The peer reset the stream.
    ReceiveReset,
}

impl StreamState {
    /// Whether the peer may still send.
    pub fn may_receive(self) -> bool {
        matches!(self, Self::Open | Self::AwaitFin | Self::PeerReset)
    }

    /// Whether we may still send.
    pub fn may_send(self) -> bool {
        matches!(self, Self::Open | Self::AwaitOurFin)
    }

    pub(super) fn after(self, input: StreamInput) -> Self {
        use {StreamInput::*, StreamState::*};
        match (self, input) {
            (Open, SendFin) => AwaitFin,
            (Open, ReceiveFin) => AwaitOurFin,
            (Open, SendReset) => Closed,
            (Open, ReceiveReset) => PeerReset,
            (AwaitFin, SendFin) => AwaitFin,
            (AwaitFin, ReceiveFin) => Closed,
            (AwaitFin, SendReset) => Closed,
            (AwaitFin, ReceiveReset) => PeerReset,
            (AwaitOurFin, SendFin) => Closed,
            (AwaitOurFin, ReceiveFin) => AwaitOurFin,
            (AwaitOurFin, SendReset) => Closed,
            (AwaitOurFin, ReceiveReset) => Closed,
            (PeerReset, SendFin) => PeerReset,
            (PeerReset, ReceiveFin) => Closed,
            (PeerReset, SendReset) => Closed,
            (PeerReset, ReceiveReset) => PeerReset,
            (Closed, _) => Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::assert_table_matches;

    #[test]
    fn the_table_in_the_documentation_is_the_table_in_the_code() {
        use {StreamInput::*, StreamState::*};
        assert_table_matches(
            include_str!("state.rs"),
            &[Open, AwaitFin, AwaitOurFin, PeerReset, Closed],
            &[SendFin, ReceiveFin, SendReset, ReceiveReset],
            StreamState::after,
        );
    }
}
