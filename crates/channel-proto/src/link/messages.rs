//! The messages of a WebSocket that somebody else frames.

use std::collections::VecDeque;

use bytes::Bytes;

use super::channels::Carrier;
use crate::{message::Message, outcome::CloseReason, session::SessionConfig};

/// What came, and what waits to be sent.
pub(super) struct Messages {
    queue: VecDeque<Message>,
    queued: usize,
    limit: usize,
    message_limit: u64,
    taken: u64,
    /// Where the newest message began.
    message_start: u64,
    closed: bool,
    close_sent: bool,
}

impl Messages {
    pub(super) fn new(config: &SessionConfig) -> Self {
        Self {
            queue: VecDeque::new(),
            queued: 0,
            limit: config.limits.transmit,
            message_limit: config.limits.message,
            taken: 0,
            message_start: 0,
            closed: false,
            close_sent: false,
        }
    }

    /// Whether the peer's close frame came, or the end.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// A message came. Gives how long it may be.
    pub(super) fn take(&mut self, message: &Message) -> u64 {
        self.message_start = self.taken;
        self.taken += message.len() as u64;
        self.closed |= matches!(message, Message::Close(_));
        self.message_limit
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        let message = self.queue.pop_front()?;
        self.queued -= message.len();
        Some(message)
    }

    fn push(&mut self, message: Message) {
        if !self.close_sent {
            self.queued += message.len();
            self.queue.push_back(message);
        }
    }
}

impl Carrier for Messages {
    fn taken(&self) -> u64 {
        self.taken
    }

    fn start(&self) -> u64 {
        self.message_start
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.queued)
    }

    fn queued(&self) -> usize {
        self.queued
    }

    fn send_binary(&mut self, channel: u8, payload: &[u8]) {
        self.push(Message::Binary([&[channel], payload].concat().into()));
    }

    fn send_shared(&mut self, channel: u8, payload: Bytes) {
        self.send_binary(channel, &payload);
    }

    fn send_text(&mut self, text: &mut String) {
        self.push(Message::Text(std::mem::take(text).into()));
    }

    /// Pings, unless a ping waits already: a peer that reads nothing costs no memory.
    fn ping(&mut self) {
        if !self.queue.iter().any(|message| matches!(message, Message::Ping(_))) {
            self.push(Message::Ping(Bytes::new()));
        }
    }

    fn close(&mut self, code: u16, reason: &str) {
        if self.is_open() {
            self.push(Message::Close(CloseReason { code: Some(code), reason: reason.into() }));
            self.close_sent = true;
        }
    }

    fn end(&mut self) {
        self.closed = true;
    }

    fn is_open(&self) -> bool {
        !self.closed && !self.close_sent
    }
}
