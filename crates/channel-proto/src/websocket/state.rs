//! The close handshake (RFC 6455 §7), every transition in one table, blind to the role.
//!
//! | state          | `SendClose`     | `ReceiveClose` | `End`    |
//! |----------------|-----------------|----------------|----------|
//! | `Open`         | `AwaitClose`    | `Closed`       | `Closed` |
//! | `AwaitClose`   | `AwaitClose`    | `Closed`       | `Closed` |
//! | `Closed`       | `Closed`        | `Closed`       | `Closed` |
//!
//! A close frame goes out once: on `SendClose` in `Open`, and as the answer to `ReceiveClose` in `Open`.

/// Where the handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseState {
    /// No close frame went either way.
    Open,
    /// We sent ours; the peer's is awaited.
    AwaitClose,
    /// Nothing goes either way any more.
    Closed,
}

/// What happens to the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseInput {
    /// We close.
    SendClose,
    /// The peer's close frame came.
    ReceiveClose,
    /// The byte stream ended, or waiting for the peer's close frame timed out.
    End,
}

impl CloseState {
    pub(crate) fn after(self, input: CloseInput) -> Self {
        use {CloseInput::*, CloseState::*};
        match (self, input) {
            (Open, SendClose) => AwaitClose,
            (Open, ReceiveClose) => Closed,
            (Open, End) => Closed,
            (AwaitClose, SendClose) => AwaitClose,
            (AwaitClose, ReceiveClose) => Closed,
            (AwaitClose, End) => Closed,
            (Closed, _) => Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::assert_table_matches;

    // Holds WSF-14, WSF-15.
    #[test]
    fn the_table_in_the_documentation_is_the_table_in_the_code() {
        use {CloseInput::*, CloseState::*};
        assert_table_matches(
            include_str!("state.rs"),
            &[Open, AwaitClose, Closed],
            &[SendClose, ReceiveClose, End],
            CloseState::after,
        );
    }
}
