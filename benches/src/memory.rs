//! A stream in memory for tungstenite, which only reads and writes streams.

use std::{
    hint::black_box,
    io::{self, Read, Write},
};

use tungstenite::{
    WebSocket,
    protocol::{Role, WebSocketConfig},
};

/// Gives the same bytes again and again, and swallows what is written.
pub struct Memory {
    wire: Vec<u8>,
    at: usize,
}

/// A WebSocket that reads the messages of `wire` for ever.
pub fn websocket(wire: Vec<u8>, role: Role) -> WebSocket<Memory> {
    let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
    WebSocket::from_raw_socket(Memory { wire, at: 0 }, role, Some(config))
}

impl Read for Memory {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = &self.wire[self.at..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.at = if len == rest.len() { 0 } else { self.at + len };
        Ok(len)
    }
}

impl Write for Memory {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(black_box(buf).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
