//! What a session is told at its start.

use std::{fmt, time::Duration};

use crate::{heartbeat::HeartbeatConfig, limits::Limits, websocket::Strictness};

/// What a session is told at its start.
#[derive(Clone)]
#[non_exhaustive]
pub struct SessionConfig {
    /// Every cap.
    pub limits: Limits,
    /// Pings, and when a silent peer is dead.
    pub heartbeat: HeartbeatConfig,
    /// What to do with frames that RFC 6455 forbids.
    pub strictness: Strictness,
    /// How long the end of the connection is waited for once the status went. 5 s.
    pub linger: Duration,
    /// The seed of a client's masking keys, from a good source of entropy; a server masks nothing.
    pub seed: [u8; 32],
}

impl SessionConfig {
    /// The defaults of a client: it pings every 5 s and gives up after 61 s. `seed` must come from a good source of entropy (RFC 6455 §5.3).
    pub fn client(seed: [u8; 32]) -> Self {
        Self {
            limits: Limits::default(),
            heartbeat: HeartbeatConfig::default(),
            strictness: Strictness::default(),
            linger: Duration::from_secs(5),
            seed,
        }
    }

    /// The defaults of a server, which neither pings nor masks.
    pub fn server() -> Self {
        Self { heartbeat: HeartbeatConfig::OFF, ..Self::client([0; 32]) }
    }
}

impl fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionConfig")
            .field("limits", &self.limits)
            .field("heartbeat", &self.heartbeat)
            .field("strictness", &self.strictness)
            .field("linger", &self.linger)
            .finish_non_exhaustive()
    }
}
