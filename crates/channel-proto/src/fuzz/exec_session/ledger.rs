//! What was sent, and whether what comes is that.

use crate::{
    outcome::{CloseReason, Outcome},
    session::{ClientEvent, Output, ServerEvent, TerminalSize},
    status::Status,
    subprotocol::{StatusForm, Subprotocol},
};

/// Everything that both applications did and heard.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) stdin: Stream,
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
    /// Every size sent, of which those before `sizes_heard` came or were passed over for a newer one.
    sizes: Vec<TerminalSize>,
    sizes_heard: usize,
    /// What `finish` was given.
    pub(super) finished: Option<Outcome>,
    /// How the session ended for the client.
    pub(super) outcome: Option<Outcome>,
    /// How it ended for the server.
    pub(super) server_ended: Option<Option<CloseReason>>,
    pub(super) client_writer: Writer,
    pub(super) server_writer: Writer,
    connected: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Writer {
    #[default]
    Free,
    Blocked,
}

/// A stream of bytes that anybody can compute: no two places of it look alike, and nothing need be kept.
#[derive(Default)]
pub(super) struct Stream {
    sent: u64,
    received: u64,
    pub(super) closed: bool,
    close_heard: bool,
}

impl Stream {
    fn byte(at: u64) -> u8 {
        (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
    }

    /// The next `len` bytes to send.
    pub(super) fn next(&self, len: u16) -> Vec<u8> {
        (self.sent..).take(len.into()).map(Self::byte).collect()
    }

    pub(super) fn sent(&mut self, len: usize) {
        self.sent += len as u64;
    }

    fn receive(&mut self, data: &[u8]) {
        assert!(!data.is_empty() && !self.close_heard);
        assert!((self.received..).map(Self::byte).zip(data).all(|(sent, came)| sent == *came), "not as sent");
        self.received += data.len() as u64;
        assert!(self.received <= self.sent, "more than was sent");
    }

    pub(super) fn assert_complete(&self) {
        assert_eq!(self.received, self.sent, "lost");
        assert_eq!(self.close_heard, self.closed);
    }
}

impl Ledger {
    pub(super) fn output(&mut self, output: Output) -> &mut Stream {
        match output {
            Output::Stdout => &mut self.stdout,
            Output::Stderr => &mut self.stderr,
        }
    }

    pub(super) fn resized(&mut self, size: TerminalSize) {
        self.sizes.push(size);
    }

    /// While both ends are open and nothing is on its way.
    pub(super) fn assert_all_arrived(&self) {
        self.stdin.assert_complete();
        self.stdout.assert_complete();
        self.stderr.assert_complete();
        // Equal sizes may have been sent once for several times.
        let newest_heard = self.sizes[..self.sizes_heard].last();
        assert_eq!(newest_heard, self.sizes.last(), "the newest size arrives");
        assert_eq!((self.client_writer, self.server_writer), (Writer::Free, Writer::Free));
    }

    pub(super) fn client_hears(&mut self, subprotocol: Subprotocol, event: ClientEvent) {
        assert_eq!(self.outcome, None, "{event:?} behind the last event");
        match event {
            ClientEvent::Connected => assert!(!std::mem::replace(&mut self.connected, true)),
            ClientEvent::Output(output, data) => {
                assert!(self.connected);
                self.output(output).receive(&data);
            }
            ClientEvent::OutputClosed(output) => panic!("nobody closed {output:?}"),
            ClientEvent::Writable => self.client_writer = unblocked(self.client_writer),
            ClientEvent::Ended(outcome) => {
                self.check(subprotocol, &outcome);
                self.outcome = Some(outcome);
            }
        }
    }

    pub(super) fn server_hears(&mut self, event: ServerEvent) {
        assert_eq!(self.server_ended, None, "{event:?} behind the last event");
        match event {
            ServerEvent::Stdin(data) => self.stdin.receive(&data),
            ServerEvent::StdinClosed => {
                self.stdin.close_heard = true;
                self.stdin.assert_complete();
            }
            ServerEvent::Resize(size) => {
                let mut unheard = self.sizes[self.sizes_heard..].iter();
                self.sizes_heard += 1 + unheard.position(|sent| *sent == size).expect("a size that was sent");
            }
            ServerEvent::Writable => self.server_writer = unblocked(self.server_writer),
            ServerEvent::Ended(close) => self.server_ended = Some(close),
        }
    }

    /// A status is the one that was given, and comes behind all output; else the outcome is not known.
    fn check(&self, subprotocol: Subprotocol, outcome: &Outcome) {
        if matches!(outcome, Outcome::EndedWithoutStatus(_)) {
            return assert!(!outcome.success());
        }
        let finished = self.finished.as_ref().expect("a status that the server gave");
        match (subprotocol.status_form(), outcome) {
            // A text that takes several messages may be cut between them.
            (StatusForm::TextOnFailure, Outcome::Failed(part)) => {
                let Some(Outcome::Failed(whole)) = stated(subprotocol, finished) else {
                    panic!("{outcome:?} where {finished:?} was given")
                };
                assert!(
                    whole.message.starts_with(part.message.trim_end_matches(char::REPLACEMENT_CHARACTER))
                );
            }
            _ => assert_eq!(stated(subprotocol, finished).as_ref(), Some(outcome)),
        }
        self.stdout.assert_complete();
        self.stderr.assert_complete();
    }
}

/// What a client can know of an outcome; `None` where no status tells it.
pub(super) fn stated(subprotocol: Subprotocol, outcome: &Outcome) -> Option<Outcome> {
    let status = match outcome {
        Outcome::Exited(code) => Status::exited(*code),
        Outcome::Failed(status) => Status::clone(status),
        Outcome::EndedWithoutStatus(_) => return None,
    };
    match subprotocol.status_form() {
        StatusForm::TextOnFailure if status.is_success() => None,
        StatusForm::TextOnFailure => Some(Outcome::Failed(Box::new(Status::from_text(status.to_string())))),
        StatusForm::Json => Some(outcome.clone()),
    }
}

fn unblocked(before: Writer) -> Writer {
    assert_eq!(before, Writer::Blocked, "writable, and nobody waits");
    Writer::Free
}
