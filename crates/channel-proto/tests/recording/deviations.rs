//! Where our server does not do as the recorded one, and why. Nothing else may differ, and nothing here may be stale.

use channel_proto::Strictness;

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aspect {
    /// The answer to the request.
    Answer,
    /// What the process is given: stdin, its end, sizes.
    Received,
    /// What the process was seen to write does not follow from what ours would be given.
    Process,
    /// The outputs and pongs that go out.
    Sent,
    /// The status, its wording apart.
    Status,
    /// The wording of the status.
    Wording,
    /// The codes of the close frames.
    Close,
}

/// Under which setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Under {
    Both,
    Strict,
}

pub(crate) struct Deviation {
    /// Names of recordings, or patterns with one `*`.
    pub(crate) cases: &'static [&'static str],
    pub(crate) under: Under,
    pub(crate) what: &'static [Aspect],
    pub(crate) reason: &'static str,
}

use Aspect::{Close, Process, Received, Sent, Wording};

pub(crate) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        cases: &[
            "exec-none-fragmented",
            "exec-channel-fragmented",
            "exec-v4-fragmented",
            "exec-v5-fragmented",
            "exec-*base64-fragmented",
        ],
        under: Under::Both,
        what: &[Received, Process],
        reason: "we join the fragments of a message; the real server takes each for a message and loses data (WSF-11)",
    },
    Deviation {
        cases: &[
            "exec-*-tty-resize-bad",
            "exec-v5-tty-resize-out-of-range",
            "exec-v5-resize-twice-without-tty",
        ],
        under: Under::Both,
        what: &[Process],
        reason: "the real server reads nothing more after such sizes; a server of ours goes on (EXE-7)",
    },
    Deviation {
        cases: &["exec-*-wedge-after-bad-resize"],
        under: Under::Both,
        what: &[Sent, Close],
        reason: "the same: ours answers the ping and the close frame that come after the bad size (EXE-7)",
    },
    Deviation {
        cases: &["exec-v5-data-after-exit"],
        under: Under::Both,
        what: &[Received],
        reason: "once the status went, what still comes is read and dropped, so that nobody has to take it (EXE-19)",
    },
    Deviation {
        cases: &["exec-*-unmasked"],
        under: Under::Both,
        what: &[Close],
        reason: "the real server sends a close frame 1002 and then another, 1000; nothing may follow the first (WSF-2, WSF-15)",
    },
    Deviation {
        cases: &[
            "exec-v5-close-channel-5",
            "exec-v5-close-channel-9",
            "exec-v5-close-channel-255",
            "exec-v5-close-length-*",
        ],
        under: Under::Both,
        what: &[Close],
        reason: "a malformed close signal is closed with 1002, which says so, and not with 1000 (FRM-10)",
    },
    Deviation {
        cases: &["exec-*-input-over-32MiB"],
        under: Under::Both,
        what: &[Close],
        reason: "a message that is too long is closed with 1009, which says so, and not with 1000 (WSF-13)",
    },
    Deviation {
        cases: &[
            "exec-channel-exit7",
            "exec-none-exit7",
            "exec-base64-killed",
            "exec-channel-stdin-only",
            "exec-base64-stdin-only",
            "exec-v4-*exit7",
            "exec-v4-base64-killed",
            "exec-v4-*stdin-only",
            "exec-v4-exit-with-stdin-open",
            "exec-v4-background-holds-stdout",
            "exec-v4-big-unread",
            "exec-v4-tty-ctrl-c-d",
            "cri-exec-base64",
            "cri-exec-channel",
            "cri-exec-query-ignored",
            "cri-exec-v4-v5",
            "cri-exec-v5-v4",
            "kubelet-exec-none",
            "kubelet-exec-v4",
        ],
        under: Under::Both,
        what: &[Wording],
        reason: "ours words a non-zero exit as v5 does everywhere; the wording is for people (EXE-9, EXE-10)",
    },
    Deviation {
        cases: &["exec-*-rsv1", "exec-*-opcode-3", "exec-*-opcode-11", "exec-*-continuation-first"],
        under: Under::Strict,
        what: &[Received, Process, Sent, Close],
        reason: "the frame is refused, and the session with it (WSF-3, WSF-4, WSF-7)",
    },
    Deviation {
        cases: &["exec-*-ping-126", "exec-*-ping-fragmented"],
        under: Under::Strict,
        what: &[Received, Process, Sent, Close],
        reason: "the same for a ping that is too long or in fragments (WSF-6)",
    },
    Deviation {
        cases: &["exec-*-close-1-byte"],
        under: Under::Strict,
        what: &[Close],
        reason: "a close frame with half a code is answered with 1002 (WSF-8)",
    },
];

impl Deviation {
    pub(crate) fn cases(&self) -> impl Iterator<Item = &'static str> {
        self.cases.iter().copied()
    }

    pub(crate) fn is_about(&self, name: &str, strictness: Strictness) -> bool {
        let under = self.under == Under::Both || strictness == Strictness::Strict;
        under && self.cases.iter().any(|case| matches(case, name))
    }
}

pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
        None => pattern == name,
    }
}
