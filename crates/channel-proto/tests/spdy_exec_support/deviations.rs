//! Where our server does not do as the recorded one, and why. Nothing else may differ, and nothing here may be stale.

/// What can differ from the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aspect {
    /// Which streams are accepted.
    Accepted,
    /// What the process is given.
    Received,
    /// The outputs and the pongs.
    Sent,
    /// How the outputs end.
    OutputEnds,
    /// The status, its wording apart.
    Status,
    /// How the error stream ends.
    ErrorEnd,
    /// How the streams from the client end.
    InputEnds,
    /// The GOAWAY.
    GoAway,
}

use Aspect::{ErrorEnd, GoAway, InputEnds, OutputEnds};

pub(crate) struct Deviation {
    /// Names of recordings, or patterns with one `*`.
    pub(crate) cases: &'static [&'static str],
    pub(crate) what: Aspect,
    pub(crate) reason: &'static str,
}

pub(crate) const DEVIATIONS: [Deviation; 6] = [
    Deviation {
        cases: &[
            "cri-exec-spdy-v4",
            "kubectl-*",
            "spdy-exec-v2-*",
            "spdy-exec-v3-*",
            "spdy-exec-v4-*",
            "spdy-exec-channel-*",
            "spdy-exec-negotiate-*",
            "spdy-exec-client-fin-output",
            "spdy-exec-get",
            "spdy-exec-idle-75s",
            "spdy-exec-ping",
            "spdy-exec-stream-extra",
        ],
        what: ErrorEnd,
        reason: "ours finishes the error stream, so that its end says that the status is whole; the real server resets it, in the first \
                 version before the command even starts (SPE-10, SPE-11)",
    },
    Deviation {
        cases: &["kubectl-exec-not-found-spdy", "spdy-exec-*-not-found"],
        what: OutputEnds,
        reason: "the outputs of a command that never ran are finished as those of any other; the real server resets them (SPE-11)",
    },
    Deviation {
        cases: &["spdy-exec-channel-tty-resize"],
        what: InputEnds,
        reason: "in the first version the real server finishes its half of stdin at the start, and does not reset it at the end; nothing is ever \
                 sent there",
    },
    Deviation {
        cases: &["kubectl-cp-spdy"],
        what: InputEnds,
        reason: "kubectl closed the socket before the server had said all",
    },
    Deviation {
        cases: &["kubectl-cp-spdy", "spdy-exec-stream-missing-33s", "spdy-exec-streams-33s-none"],
        what: GoAway,
        reason: "the first as above; in the others ours gives up after 30 s and says so, while the real server leaves the connection as it is \
                 (SPE-4)",
    },
    Deviation {
        cases: &["spdy-exec-stream-missing-33s"],
        what: OutputEnds,
        reason: "giving up resets the stream that there is",
    },
];

pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
        None => pattern == name,
    }
}
