//! Channel frames: which channel a message is for, in both encodings.

mod base64;
mod decoder;

pub(crate) use base64::encode_into;
pub(crate) use decoder::{ChannelDecoder, Chunk, Content};

/// stdin, client to server.
pub(crate) const STDIN: u8 = 0;
/// stdout, server to client.
pub(crate) const STDOUT: u8 = 1;
/// stderr, server to client.
pub(crate) const STDERR: u8 = 2;
/// Errors and the status, server to client.
pub(crate) const ERROR: u8 = 3;
/// Terminal sizes, client to server.
pub(crate) const RESIZE: u8 = 4;
/// The close signal of v5: the payload is the channel that ends (FRM-9).
pub(crate) const CLOSE: u8 = 255;
