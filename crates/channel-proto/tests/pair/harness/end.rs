//! One end: a session, and what a driver does for it.

use std::{fmt::Debug, io::IoSlice, time::Instant};

use bytes::{Buf, BufMut, BytesMut};
use channel_proto::{
    Error, Message,
    session::{Session, Side},
};

use super::wire::{Parcel, Rng, Wire};

/// Whether the application takes events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appetite {
    Takes,
    Leaves,
}

/// What a session may have waiting beyond `Limits::transmit`: one message in base64, and headers and control frames.
const OVER_LIMIT: usize = (32 << 10) / 3 * 4 + 400;

pub(crate) struct End<S: Side> {
    pub(crate) session: Session<S>,
    pub(crate) appetite: Appetite,
    /// The error that ended the session.
    pub(crate) error: Option<Error>,
    /// The most that ever waited to be sent, in bytes.
    pub(crate) most_queued: usize,
    /// When something was sent, each moment once.
    pub(crate) sent_at: Vec<Instant>,
    transmit_limit: usize,
    input: BytesMut,
    held: Option<Message>,
    /// Over messages, the library below answers close frames and pings.
    close_sent: bool,
}

impl<S: Side> End<S>
where
    S::Event: Debug,
{
    pub(crate) fn new(session: Session<S>, transmit_limit: usize) -> Self {
        Self {
            session,
            appetite: Appetite::Takes,
            error: None,
            most_queued: 0,
            sent_at: Vec::new(),
            transmit_limit,
            input: BytesMut::new(),
            held: None,
            close_sent: false,
        }
    }

    /// All that waits to be sent.
    pub(crate) fn take_transmit(&mut self) -> BytesMut {
        let transmit = self.session.transmit().unwrap();
        let mut bytes = BytesMut::new();
        bytes.put(transmit);
        bytes
    }

    /// One turn of a driver: reads a little, sends a little, takes one event. Tells whether anything moved.
    pub(crate) fn turn(
        &mut self,
        now: Instant,
        from: &mut Wire,
        to: &mut Wire,
        rng: &mut Rng,
    ) -> (bool, Option<S::Event>) {
        let mut moved = self.receive(now, from, to, rng);
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            let result = self.session.handle_timeout(now);
            self.note(result);
        }
        if self.send(now, to, rng) {
            moved = true;
            if self.sent_at.last() != Some(&now) {
                self.sent_at.push(now);
            }
        }
        let event = match self.appetite {
            Appetite::Takes => self.session.poll_event(),
            Appetite::Leaves => None,
        };
        moved |= event.is_some();
        let over = self.session.is_ended() || self.error.is_some();
        if over && event.is_none() && !moved && to.room() > 0 && !to.is_ended() {
            to.send(now, Parcel::Eof, rng);
            moved = true;
        }
        (moved, event)
    }

    fn receive(&mut self, now: Instant, from: &mut Wire, to: &mut Wire, rng: &mut Rng) -> bool {
        if self.error.is_some() || self.session.is_ended() {
            return from.arrive(now).is_some();
        }
        if let Some(message) = self.held.take() {
            return self.take_message(now, message);
        }
        let before = self.input.len();
        if self.session.transmit().is_some() {
            let result = self.session.handle_input(now, &mut self.input);
            self.note(result);
        }
        let mut moved = self.input.len() != before;
        if self.session.wants_input()
            && let Some(parcel) = from.arrive(now)
        {
            moved = true;
            match parcel {
                Parcel::Bytes(data) => self.input.extend_from_slice(&data),
                Parcel::Eof => self.session.handle_eof(),
                Parcel::Message(message) => {
                    match &message {
                        Message::Ping(payload) => {
                            to.send(now, Parcel::Message(Message::Pong(payload.clone())), rng);
                        }
                        Message::Close(_) if !self.close_sent => {
                            self.close_sent = true;
                            to.send(now, Parcel::Message(message.clone()), rng);
                        }
                        _ => {}
                    }
                    self.take_message(now, message);
                }
            }
        }
        moved
    }

    fn take_message(&mut self, now: Instant, message: Message) -> bool {
        match self.session.handle_message(now, message) {
            Ok(held) => self.held = held,
            Err(error) => self.note(Err(error)),
        }
        self.held.is_none()
    }

    fn send(&mut self, now: Instant, to: &mut Wire, rng: &mut Rng) -> bool {
        let Some(transmit) = self.session.transmit() else { return self.send_message(now, to, rng) };
        self.most_queued = self.most_queued.max(transmit.len());
        assert!(transmit.len() <= self.transmit_limit + OVER_LIMIT, "{} bytes wait", transmit.len());
        let count = rng.piece().min(transmit.len()).min(to.room());
        if count == 0 {
            return false;
        }
        let mut slices = [IoSlice::new(&[]); 4];
        let used = transmit.chunks_vectored(&mut slices[..1 + rng.below(3)]);
        let mut written = Vec::new();
        for slice in &slices[..used] {
            written.extend_from_slice(&slice[..slice.len().min(count - written.len())]);
        }
        transmit.advance(written.len());
        to.send(now, Parcel::Bytes(written.into()), rng);
        true
    }

    fn send_message(&mut self, now: Instant, to: &mut Wire, rng: &mut Rng) -> bool {
        if to.room() == 0 {
            return false;
        }
        let Some(message) = self.session.poll_message() else { return false };
        if matches!(message, Message::Close(_)) {
            if self.close_sent {
                return true;
            }
            self.close_sent = true;
        }
        to.send(now, Parcel::Message(message), rng);
        true
    }

    fn note(&mut self, result: Result<(), Error>) {
        if let Err(error) = result {
            assert!(self.error.as_ref().is_none_or(|first| *first == error), "errors stick");
            self.error = Some(error);
        }
    }
}
