//! What a pair is made of.

use std::time::Instant;

use channel_proto::{
    ClientSession, CloseReason, ServerSession, Service, SessionConfig, Streams, Subprotocol, Transport,
};

use super::Pair;

/// All streams, no terminal.
pub(crate) const PIPES: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };
/// A terminal.
pub(crate) const TERMINAL: Streams = Streams { stdin: true, stdout: true, stderr: false, tty: true };

/// Every subprotocol there is.
pub(crate) const ALL: [Subprotocol; 8] = [
    Subprotocol::Unnamed,
    Subprotocol::V1,
    Subprotocol::V1Base64,
    Subprotocol::V2,
    Subprotocol::V3,
    Subprotocol::V4,
    Subprotocol::V4Base64,
    Subprotocol::V5,
];

/// How sessions are driven: with the bytes of a WebSocket connection, with its whole messages, or with the bytes of a SPDY connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Bytes,
    Messages,
    Spdy,
}

const ENTRIES: &[Entry] = &[
    Entry::Bytes,
    Entry::Messages,
    #[cfg(feature = "spdy")]
    Entry::Spdy,
];

impl Entry {
    fn transport(self) -> Transport {
        if self == Self::Spdy { Transport::Spdy } else { Transport::WebSocket }
    }

    /// Whether this is ever chosen there: v5 is not, over SPDY.
    fn speaks(self, subprotocol: Subprotocol) -> bool {
        let offered_only = self == Self::Spdy && subprotocol == Subprotocol::V5;
        let spoken = Subprotocol::spoken(Service::RemoteCommand, self.transport());
        spoken.contains(&subprotocol) && !offered_only
    }
}

/// What a pair is made of. Change fields, then [`start`](Self::start).
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) entry: Entry,
    pub(crate) subprotocol: Subprotocol,
    pub(crate) streams: Streams,
    pub(crate) client: SessionConfig,
    pub(crate) server: SessionConfig,
    pub(crate) seed: u64,
}

/// A setup for each of these subprotocols, over every entry that speaks it, with some seeds.
pub(crate) fn setups(subprotocols: &[Subprotocol]) -> Vec<Setup> {
    let mut setups = Vec::new();
    for &subprotocol in subprotocols {
        for &entry in ENTRIES.iter().filter(|entry| entry.speaks(subprotocol)) {
            for seed in 1..=3 {
                setups.push(Setup {
                    entry,
                    subprotocol,
                    streams: PIPES,
                    client: SessionConfig::client([7; 32]),
                    server: SessionConfig::server(),
                    seed,
                });
            }
        }
    }
    setups
}

/// The same without SPDY: for what only WebSocket messages can say.
pub(crate) fn websocket_setups(subprotocols: &[Subprotocol]) -> Vec<Setup> {
    setups(subprotocols).into_iter().filter(|setup| setup.entry != Entry::Spdy).collect()
}

impl Setup {
    pub(crate) fn can_half_close(&self) -> bool {
        self.subprotocol.can_half_close_over(self.entry.transport())
    }

    pub(crate) fn can_resize(&self) -> bool {
        self.subprotocol.can_resize_over(self.entry.transport())
    }

    /// What a client is told when the connection is closed with this code.
    pub(crate) fn close(&self, code: u16) -> Option<CloseReason> {
        // A GOAWAY has no other words for it.
        let code = if self.entry == Entry::Spdy && code == 1001 { 1011 } else { code };
        Some(CloseReason { code: Some(code), reason: "".into() })
    }

    /// A pair that can be written to at once: over SPDY, all streams are there.
    pub(crate) fn start(&self) -> Pair {
        let mut pair = self.start_cold();
        if self.entry == Entry::Spdy {
            pair.open_streams();
        }
        pair
    }

    /// A pair that has not exchanged anything.
    pub(crate) fn start_cold(&self) -> Pair {
        let (streams, now) = (self.streams, Instant::now());
        let (client, server) = match self.entry {
            Entry::Bytes => (
                ClientSession::client(streams, self.subprotocol, &self.client, now),
                ServerSession::server(streams, self.subprotocol, &self.server, now),
            ),
            Entry::Messages => (
                ClientSession::client_over_messages(streams, self.subprotocol, &self.client, now),
                ServerSession::server_over_messages(streams, self.subprotocol, &self.server, now),
            ),
            #[cfg(not(feature = "spdy"))]
            Entry::Spdy => unreachable!("no setup has it"),
            #[cfg(feature = "spdy")]
            Entry::Spdy => (
                ClientSession::client_over_spdy(streams, self.subprotocol, &self.client, now),
                ServerSession::server_over_spdy(streams, self.subprotocol, &self.server, now),
            ),
        };
        Pair::new(self, client, server, now)
    }
}
