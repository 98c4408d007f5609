//! The pair, its clock, and the small applications at both ends.

mod end;
mod setup;
mod wire;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use channel_proto::{
    ClientEvent, ClientSession, Message, Outcome, Output, ServerEvent, ServerSession, Streams, WriteError,
    session::{Client, Server},
};

pub(crate) use end::Appetite;
use end::End;
pub(crate) use setup::{ALL, Entry, PIPES, Setup, TERMINAL, setups, websocket_setups};
use wire::{Parcel, Rng, Wire};

/// Turns that [`Pair::drive_bounded`] gives a test before it calls it stuck.
const STEPS: usize = 200_000;

/// What the served command does.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// Nothing: the test does it.
    Idle,
    /// It writes its stdin to its stdout. At the end of stdin, or once it wrote so many bytes, it ends.
    Echo { bytes: usize, outcome: Outcome },
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    entry: Entry,
    streams: Streams,
    pub(crate) client: End<Client>,
    pub(crate) server: End<Server>,
    pub(crate) to_client: Wire,
    pub(crate) to_server: Wire,
    /// What the client heard, the outputs apart from all else.
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) client_events: Vec<ClientEvent>,
    /// What the server heard, stdin apart from all else.
    pub(crate) stdin: Vec<u8>,
    pub(crate) server_events: Vec<ServerEvent>,
    command: Command,
    outbox: VecDeque<Bytes>,
    output_blocked: bool,
    written: usize,
    typed: Bytes,
    input_blocked: bool,
    close_after_typed: bool,
    rng: Rng,
}

impl Pair {
    /// A pair of these sessions.
    pub(super) fn new(setup: &Setup, client: ClientSession, server: ServerSession, now: Instant) -> Self {
        Self {
            now,
            entry: setup.entry,
            streams: setup.streams,
            client: End::new(client, setup.client.limits.transmit),
            server: End::new(server, setup.server.limits.transmit),
            to_client: Wire::new(),
            to_server: Wire::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            client_events: Vec::new(),
            stdin: Vec::new(),
            server_events: Vec::new(),
            command: Command::Idle,
            outbox: VecDeque::new(),
            output_blocked: false,
            written: 0,
            typed: Bytes::new(),
            input_blocked: false,
            close_after_typed: false,
            rng: Rng(setup.seed),
        }
    }

    /// Lets the client open its streams and the server accept them, in no time.
    pub(super) fn open_streams(&mut self) {
        let mut wire = self.client.take_transmit();
        self.server.session.handle_input(self.now, &mut wire).unwrap();
        let mut wire = self.server.take_transmit();
        while let Some(event) = self.client.session.next_event(self.now, &mut wire).unwrap() {
            self.client_hears(event);
        }
    }

    /// What the server runs.
    pub(crate) fn serve(&mut self, command: Command) {
        self.command = command;
    }

    /// Sends this to stdin as room allows, and then, if so told, ends it.
    pub(crate) fn type_in(&mut self, data: impl Into<Bytes>, close: bool) {
        (self.typed, self.close_after_typed) = (data.into(), close);
    }

    /// Runs until nothing moves any more. The clock goes on to each parcel's arrival, and timers that are due until then fire.
    pub(crate) fn drive_bounded(&mut self) {
        for _ in 0..STEPS {
            if self.step() {
                continue;
            }
            match self.next_arrival() {
                Some(due) => self.now = self.next_timer().map_or(due, |timer| timer.min(due)).max(self.now),
                None => return,
            }
        }
        panic!("still moving after {STEPS} steps");
    }

    /// Lets time pass, timers and all.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..STEPS {
            if self.step() {
                continue;
            }
            let due = [self.next_arrival(), self.next_timer()].into_iter().flatten().min();
            match due.filter(|due| *due <= end) {
                Some(due) => self.now = due.max(self.now),
                None => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("still moving after {STEPS} steps");
    }

    /// The connection is lost, with all that is under way.
    pub(crate) fn cut(&mut self) {
        self.to_client.cut(self.now);
        self.to_server.cut(self.now);
    }

    /// How the session ended, as the client sees it; `None` while it goes on.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match self.client_events.last() {
            Some(ClientEvent::Ended(outcome)) => Some(outcome),
            _ => None,
        }
    }

    fn next_arrival(&self) -> Option<Instant> {
        // What an end does not read does not arrive.
        let client = self.to_client.next_due().filter(|_| self.client.session.wants_input());
        let server = self.to_server.next_due().filter(|_| self.server.session.wants_input());
        [client, server].into_iter().flatten().min()
    }

    fn next_timer(&self) -> Option<Instant> {
        let timers = [self.client.session.poll_timeout(), self.server.session.poll_timeout()];
        timers.into_iter().flatten().min()
    }

    fn step(&mut self) -> bool {
        let (mut moved, event) =
            self.client.turn(self.now, &mut self.to_client, &mut self.to_server, &mut self.rng);
        if let Some(event) = event {
            self.client_hears(event);
        }
        let (more, event) =
            self.server.turn(self.now, &mut self.to_server, &mut self.to_client, &mut self.rng);
        moved |= more;
        if let Some(event) = event {
            self.server_hears(event);
        }
        moved | self.type_some() | self.write_some()
    }

    fn client_hears(&mut self, event: ClientEvent) {
        assert!(self.outcome().is_none(), "{event:?} after the last event");
        match event {
            ClientEvent::Output(Output::Stdout, data) => self.stdout.extend_from_slice(&data),
            ClientEvent::Output(Output::Stderr, data) => self.stderr.extend_from_slice(&data),
            event => {
                self.input_blocked &= event != ClientEvent::Writable;
                self.client_events.push(event);
            }
        }
    }

    fn server_hears(&mut self, event: ServerEvent) {
        let ended = matches!(self.server_events.last(), Some(ServerEvent::Ended(_)));
        assert!(!ended, "{event:?} after the last event");
        match event {
            ServerEvent::Stdin(data) => {
                self.stdin.extend_from_slice(&data);
                if matches!(self.command, Command::Echo { .. }) {
                    self.outbox.push_back(data);
                }
            }
            event => {
                self.output_blocked &= event != ServerEvent::Writable;
                self.server_events.push(event);
            }
        }
    }

    fn type_some(&mut self) -> bool {
        let before = self.typed.len();
        while !self.typed.is_empty() && !self.input_blocked {
            match self.client.session.write_stdin(&self.typed) {
                Ok(count) => drop(self.typed.split_to(count)),
                Err(WriteError::Blocked) => self.input_blocked = true,
                Err(_) => self.typed.clear(),
            }
        }
        if self.typed.is_empty() && self.close_after_typed {
            self.close_after_typed = false;
            self.client.session.close_stdin().unwrap();
            return true;
        }
        self.typed.len() != before
    }

    fn write_some(&mut self) -> bool {
        let before = self.written;
        while let (Some(data), false) = (self.outbox.front_mut(), self.output_blocked) {
            // Both ways to write, by turns.
            let result = match data.len() % 2 {
                0 => self.server.session.write_output_bytes(Output::Stdout, data).map(|()| data.len()),
                _ => self.server.session.write_output(Output::Stdout, data),
            };
            match result {
                Ok(count) => {
                    self.written += count;
                    drop(data.split_to(count));
                    if data.is_empty() {
                        self.outbox.pop_front();
                    }
                }
                Err(WriteError::Blocked) => self.output_blocked = true,
                Err(_) => self.outbox.clear(),
            }
        }
        let stdin_ended = self.server_events.contains(&ServerEvent::StdinClosed);
        match &self.command {
            Command::Echo { bytes, outcome }
                if self.outbox.is_empty() && (stdin_ended || self.written >= *bytes) =>
            {
                self.server.session.finish(self.now, outcome);
                self.command = Command::Idle;
                true
            }
            _ => self.written != before,
        }
    }

    /// Hands the client a data message that its server would not send. Only when nothing else is under way.
    pub(crate) fn inject_to_client(&mut self, message: &[u8]) {
        let header = [0x82, u8::try_from(message.len()).unwrap()];
        self.to_client.send(self.now, self.parcel(&header, message), &mut self.rng);
    }

    /// Hands the server a data message that its client would not send. Only when nothing else is under way.
    pub(crate) fn inject_to_server(&mut self, message: &[u8]) {
        // Masked with a key of zeros.
        let header = [0x82, 0x80 | u8::try_from(message.len()).unwrap(), 0, 0, 0, 0];
        self.to_server.send(self.now, self.parcel(&header, message), &mut self.rng);
    }

    fn parcel(&self, header: &[u8], message: &[u8]) -> Parcel {
        assert!(message.len() < 126, "one byte of length");
        match self.entry {
            Entry::Bytes => Parcel::Bytes([header, message].concat().into()),
            Entry::Messages => Parcel::Message(Message::Binary(message.to_vec().into())),
            Entry::Spdy => Parcel::Bytes(self.data_frame(message).into()),
        }
    }

    /// The DATA frame that stands for a message; with FIN, for a close signal.
    fn data_frame(&self, message: &[u8]) -> Vec<u8> {
        let (fin, channel, payload) = match message {
            [255, channel] => (1, *channel, &[][..]),
            [channel, payload @ ..] => (0, *channel, payload),
            [] => return Vec::new(),
        };
        let Streams { stdin, stdout, stderr, tty } = self.streams;
        let opened = [(3, true), (0, stdin), (1, stdout), (2, stderr), (4, tty)];
        let at = opened.into_iter().filter(|stream| stream.1).position(|stream| stream.0 == channel);
        let (id, len) = (u8::try_from(2 * at.unwrap() + 1).unwrap(), u8::try_from(payload.len()).unwrap());
        [&[0, 0, 0, id, fin, 0, 0, len], payload].concat()
    }
}
