//! `Sec-WebSocket-Key` and what answers it (RFC 6455 §1.3, §4.2.2).

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The key that carries these 16 random bytes.
pub(super) fn key(nonce: [u8; 16]) -> String {
    STANDARD.encode(nonce)
}

/// The `Sec-WebSocket-Accept` that answers `key`, whatever `key` is.
pub(super) fn accept(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// Whether `key` is the base64 of 16 bytes.
pub(super) fn is_key(key: &[u8]) -> bool {
    // 24 characters are all that 16 bytes can be; the check spares decoding, and allocating for, a long one.
    key.len() == 24 && STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}
