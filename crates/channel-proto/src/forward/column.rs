//! The two ways to carry connections, which offer the same.

use super::{over_channels::OverChannels, over_spdy::OverSpdy};
use crate::outcome::CloseReason;

/// What carries the connections.
pub(super) enum Column {
    Spdy(Box<OverSpdy>),
    Channels(Box<OverChannels>),
}

/// How far reading came.
pub(super) enum Step {
    /// Something was taken.
    Taken,
    /// Nothing more can be taken now.
    Dry,
    /// The peer closed the forward.
    Closed(CloseReason),
}

/// Whether what came was of use to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    Something,
    Nothing,
}

/// What becomes of what was written to a connection that is broken off, and is not sent yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    Dropped,
    Sent,
}

/// Does the same with either column.
macro_rules! with {
    ($column:ident = $of:expr, $act:expr) => {
        match $of {
            $crate::forward::column::Column::Spdy($column) => $act,
            $crate::forward::column::Column::Channels($column) => $act,
        }
    };
}

pub(super) use with;
