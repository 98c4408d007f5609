//! How a session ended.

use std::fmt;

use crate::status::Status;

/// How a session ended. Only `Exited(0)` is success.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The command ran and ended with this exit code; 128 + n when signal n killed it.
    Exited(i32),
    /// The server says that the command could not be run, or (v1 and base64) that it failed in whatever way the text says.
    Failed(Box<Status>),
    /// The connection ended before a status came. What happened to the command is not known; it is never success.
    EndedWithoutStatus(Option<CloseReason>),
}

impl Outcome {
    /// Whether the command is known to have succeeded.
    pub fn success(&self) -> bool {
        matches!(self, Self::Exited(0))
    }

    /// The exit code, if one came.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Failed(status) => write!(f, "failed: {status}"),
            Self::EndedWithoutStatus(None) => f.write_str("the connection ended without a status"),
            Self::EndedWithoutStatus(Some(close)) => {
                write!(f, "the connection was closed without a status ({close})")
            }
        }
    }
}

/// The code and the reason of a WebSocket close frame. A SPDY GOAWAY is told in the same words (SPE-14): 1000 for status 0, 1002 for 1, 1011 for
/// all else and for outputs that were reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReason {
    /// The close code; `None` when the frame had no payload.
    pub code: Option<u16>,
    /// The reason, often empty.
    pub reason: Box<str>,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "close {code}")?,
            None => f.write_str("close without a code")?,
        }
        if self.reason.is_empty() { Ok(()) } else { write!(f, ", {:?}", self.reason) }
    }
}
