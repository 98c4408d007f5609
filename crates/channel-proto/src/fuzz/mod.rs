//! The bodies of the fuzz targets in `fuzz/`. Each takes any bytes and panics where the crate breaks a promise.
//!
//! They live here so that they reach the inner machines, and so that an ordinary `cargo test` replays every corpus.

mod channel_frame;
mod exec_session;
#[cfg(feature = "spdy")]
mod forward_channels;
#[cfg(feature = "spdy")]
mod forward_end;
#[cfg(feature = "spdy")]
mod forward_ends;
#[cfg(feature = "spdy")]
mod forward_session;
mod oracle;
mod play;
#[cfg(feature = "spdy")]
mod spdy_frames;
#[cfg(feature = "spdy")]
mod spdy_headers;
mod upgrade_request;
mod upgrade_response;
mod websocket_bytes;

pub use channel_frame::channel_frame;
pub use exec_session::exec_session;
#[cfg(feature = "spdy")]
pub use forward_channels::forward_channels;
#[cfg(feature = "spdy")]
pub use forward_session::forward_session;
#[cfg(feature = "spdy")]
pub use spdy_frames::spdy_frames;
#[cfg(feature = "spdy")]
pub use spdy_headers::spdy_headers;
pub use upgrade_request::upgrade_request;
pub use upgrade_response::upgrade_response;
pub use websocket_bytes::websocket_bytes;

use arbitrary::{Arbitrary, Unstructured};

use crate::{limits::Limits, subprotocol::Subprotocol, websocket::Role};

const SUBPROTOCOLS: [Subprotocol; 6] = [
    Subprotocol::Unnamed,
    Subprotocol::V1,
    Subprotocol::V1Base64,
    Subprotocol::V4,
    Subprotocol::V4Base64,
    Subprotocol::V5,
];

/// The subprotocols whose bits are set.
fn subset(bits: u8) -> Vec<Subprotocol> {
    let chosen = |(at, subprotocol): (usize, Subprotocol)| (bits >> at & 1 == 1).then_some(subprotocol);
    SUBPROTOCOLS.into_iter().enumerate().filter_map(chosen).collect()
}

fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// Limits that an input of some hundred bytes reaches.
fn small_limits() -> Limits {
    Limits {
        head: 512,
        header_lines: 8,
        refusal_body: 64,
        message: 300,
        status: 200,
        resize: 40,
        free_frames: 10,
        transmit: 256,
        outgoing_message: 100,
        unread: 256,
        unread_in_all: 1024,
        spdy_frame: 128,
        spdy_header_block: 256,
        spdy_headers: 4,
        spdy_header_field: 32,
        spdy_settings: 4,
        spdy_streams: 4,
        spdy_stream_transmit: 128,
        forward_early: 128,
    }
}

/// How a stream is cut into the pieces that are handed over one by one.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Whole,
    Bytewise,
    /// Into pieces of random length, none among them.
    Seeded(u16),
}

impl Cut {
    /// The cuts to compare with `Whole`. Takes two bytes of `u`.
    fn others(u: &mut Unstructured<'_>) -> arbitrary::Result<[Self; 2]> {
        Ok([Self::Bytewise, Self::Seeded(u16::arbitrary(u)?)])
    }

    fn pieces(self, mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut state = match self {
            Self::Whole => return vec![bytes],
            Self::Bytewise => return bytes.chunks(1).collect(),
            Self::Seeded(seed) => u32::from(seed) << 1 | 1,
        };
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            // xorshift32: any generator does, as long as the same input gives the same pieces.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let longest = if state & 0x300 == 0 { 1 << 12 } else { 1 << 4 };
            let (piece, rest) = bytes.split_at((state >> 16) as usize % longest % (bytes.len() + 1));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replays `fuzz/corpus/{name}`.
    fn replay(name: &str, body: fn(&[u8])) {
        let folder = format!("{}/../../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty());
        for file in files {
            // Shown when the test fails.
            println!("{}", file.display());
            body(&std::fs::read(&file).unwrap());
        }
    }

    #[test]
    fn channel_frame_corpus() {
        replay("channel_frame", channel_frame);
    }

    #[test]
    fn websocket_bytes_corpus() {
        replay("websocket_bytes", websocket_bytes);
    }

    #[test]
    fn upgrade_response_corpus() {
        replay("upgrade_response", upgrade_response);
    }

    #[test]
    fn upgrade_request_corpus() {
        replay("upgrade_request", upgrade_request);
    }

    #[test]
    fn exec_session_corpus() {
        replay("exec_session", exec_session);
    }

    #[cfg(feature = "spdy")]
    #[test]
    fn spdy_frames_corpus() {
        replay("spdy_frames", spdy_frames);
    }

    #[cfg(feature = "spdy")]
    #[test]
    fn spdy_headers_corpus() {
        replay("spdy_headers", spdy_headers);
    }

    #[cfg(feature = "spdy")]
    #[test]
    fn forward_channels_corpus() {
        replay("forward_channels", forward_channels);
    }

    #[cfg(feature = "spdy")]
    #[test]
    fn forward_session_corpus() {
        replay("forward_session", forward_session);
    }
}
