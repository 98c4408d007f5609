//! The life of a session, every transition in one table, blind to the role.
//!
//! | state        | `Conclude`   | `End`    |
//! |--------------|--------------|----------|
//! | `Running`    | `Concluded`  | `Ended`  |
//! | `Concluded`  | `Concluded`  | `Ended`  |
//! | `Ended`      | `Ended`      | `Ended`  |
//!
//! The status comes after all output (EXE-12), but a session only ends when the connection does (EXE-18): whatever a peer sends in between
//! is still delivered, and a peer that never closes is waited for no longer than [`linger`](super::SessionConfig::linger).

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No status went.
    Running,
    /// The status was sent or received; the end of the connection is awaited.
    Concluded,
    /// Nothing comes any more.
    Ended,
}

/// What happens to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PhaseInput {
    /// The status was sent or received, or the connection is being closed without one.
    Conclude,
    /// The peer's close frame came, or the byte stream ended, or waiting for either took too long.
    End,
}

impl Phase {
    pub(crate) fn after(self, input: PhaseInput) -> Self {
        use {Phase::*, PhaseInput::*};
        match (self, input) {
            (Running, Conclude) => Concluded,
            (Running, End) => Ended,
            (Concluded, Conclude) => Concluded,
            (Concluded, End) => Ended,
            (Ended, _) => Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::assert_table_matches;

    // Holds EXE-18.
    #[test]
    fn the_table_in_the_documentation_is_the_table_in_the_code() {
        use {Phase::*, PhaseInput::*};
        assert_table_matches(
            include_str!("state.rs"),
            &[Running, Concluded, Ended],
            &[Conclude, End],
            Phase::after,
        );
    }
}
