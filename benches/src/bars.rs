//! The bars that the measurements are held against.

use std::fmt;

/// Instructions to take one message of 64 bytes out of the bytes that were read.
pub const DECODE_INSTRUCTIONS: u64 = 120;
/// Instructions to put one message of 64 bytes, masked, into the bytes to write.
pub const ENCODE_INSTRUCTIONS: u64 = 280;
/// Instructions to take one SPDY frame of 64 bytes out of the bytes that were read.
pub const SPDY_DECODE_INSTRUCTIONS: u64 = 320;
/// Instructions to put one SPDY frame of 64 bytes into the bytes to write.
pub const SPDY_ENCODE_INSTRUCTIONS: u64 = 970;
/// How many times as fast as tungstenite messages of 32 KiB are taken out of the bytes that were read.
pub const DECODE_OVER_TUNGSTENITE: f64 = 10.0;
/// The CPU of a client that downloads, as a multiple of a raw TCP copy's and of kube's.
pub const DOWNLOAD: (f64, f64) = (1.3, 0.3);
/// The CPU of a client that uploads, likewise.
pub const UPLOAD: (f64, f64) = (1.6, 0.1);
/// The CPU of a client that downloads over TLS, as a multiple of a raw copy's through rustls.
pub const TLS_DOWNLOAD: f64 = 1.15;
/// The CPU of a client on another runtime, as a multiple of the same on tokio.
pub const RUNTIME: f64 = 1.3;
/// A round trip of 64 bytes, as a multiple of a raw TCP connection's.
pub const ROUND_TRIP: f64 = 1.1;
/// The CPU of a forward of one stream, as a multiple of a raw TCP proxy's and of kubectl's.
pub const FORWARD: (f64, f64) = (1.6, 0.5);
/// Connections in a second through a forward, as a multiple of those through kube's and through kubectl's.
pub const CONNECTIONS: (f64, f64) = (5.0, 2.0);
/// Heap that an idle session on tokio may hold, in bytes.
pub const IDLE_HEAP: usize = 16 << 10;

/// Whether a bar held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It did.
    Pass,
    /// It did not.
    Miss,
}

impl Verdict {
    /// A value that may be as large as the bar.
    pub fn at_most<T: PartialOrd>(value: T, bar: T) -> Self {
        if value <= bar { Self::Pass } else { Self::Miss }
    }

    /// A value that may be as small as the bar.
    pub fn at_least<T: PartialOrd>(value: T, bar: T) -> Self {
        if value >= bar { Self::Pass } else { Self::Miss }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Miss => "MISS",
        })
    }
}
