//! Where our ends do not do as the recorded ones, and why. Nothing else may differ, and nothing here may be stale.

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aspect {
    /// What the application of our client is told. No recording differs here.
    ClientTold,
    /// What our client sends.
    ClientSent,
    /// What the application of our server is told.
    ServerTold,
    /// What our server sends.
    ServerSent,
}

pub(crate) struct Deviation {
    /// Names of recordings, or patterns with one `*`.
    pub(crate) cases: &'static [&'static str],
    pub(crate) what: &'static [Aspect],
    pub(crate) reason: &'static str,
}

use Aspect::{ClientSent, ServerSent, ServerTold};

pub(crate) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        cases: &[
            "portforward-none-bad-channel",
            "portforward-none-frame-255",
            "portforward-v4-bad-channel",
            "portforward-v4-base64-bad-channel",
            "portforward-v4-frame-255",
            "portforward-tunnel-bad-port-header",
            "portforward-tunnel-data-stream-only-35s",
            "portforward-tunnel-data-unknown-stream",
            "portforward-tunnel-even-stream-id",
            "portforward-tunnel-no-port-header",
            "portforward-tunnel-no-requestid",
            "portforward-tunnel-no-streamtype",
            "portforward-tunnel-not-spdy",
            "portforward-tunnel-ws-fragmented",
            "portforward-tunnel-ws-ping-126",
        ],
        what: &[ClientSent],
        reason: "the client breaks the rules to see what the server does; ours cannot be brought to",
    },
    Deviation {
        cases: &["portforward-*-ping"],
        what: &[ClientSent],
        reason: "pings of ours are empty, go when time has passed, and are WebSocket pings in a tunnel (WSF-17)",
    },
    Deviation {
        cases: &[
            "portforward-none-http-get-then-more",
            "portforward-v4-http-get-then-more",
            "portforward-v4-base64-http-get-then-more",
        ],
        what: &[ClientSent, ServerTold],
        reason: "nothing is sent behind the answer to a close frame, and what comes behind a server's is dropped (WSF-15)",
    },
    Deviation {
        cases: &["kubectl-portforward-closed-spdy"],
        what: &[ClientSent],
        reason: "once a connection has failed nothing is sent on it (PFW-4)",
    },
    Deviation {
        cases: &[
            "portforward-tunnel-closed-port",
            "portforward-tunnel-remote-reset",
            "portforward-tunnel-spdy-rst",
            "spdy-portforward-closed-port",
        ],
        what: &[ClientSent],
        reason: "a client of ours resets the streams of a connection that failed or that it gave up (PFW-4)",
    },
    Deviation {
        cases: &["portforward-tunnel-spdy-rst"],
        what: &[ServerSent],
        reason: "a server of ours answers a reset of the data stream with one of the error stream (PFW-15)",
    },
    Deviation {
        cases: &[
            "portforward-tunnel-http-get",
            "portforward-tunnel-spdy-goaway",
            "portforward-tunnel-ws-close",
        ],
        what: &[ClientSent],
        reason: "a client of ours leaves a tunnel with a GOAWAY and a close frame, as kubectl does (TUN-2)",
    },
    Deviation {
        cases: &["portforward-tunnel-data-unknown-stream", "portforward-tunnel-not-spdy"],
        what: &[ServerSent],
        reason: "data on a stream that was never opened is answered with INVALID_STREAM; the real server says nothing",
    },
    Deviation {
        cases: &["portforward-tunnel-even-stream-id"],
        what: &[ServerSent],
        reason: "the real server takes a client's stream of an even id",
    },
    Deviation {
        cases: &[
            "portforward-tunnel-ws-ping-126",
            "portforward-tunnel-ws-rsv1",
            "portforward-tunnel-ws-unmasked",
        ],
        what: &[ServerTold],
        reason: "the server closes with 1002 as the real one does, and its application is told why (TUN-3)",
    },
];
