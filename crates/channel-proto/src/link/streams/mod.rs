//! The second column: a SPDY stream for each channel.

mod cutter;
mod objects;
mod receive;
mod roster;

use std::time::{Duration, Instant};

use bytes::Bytes;

use self::{
    cutter::Cutter,
    objects::Objects,
    receive::{PeerSays, Rest},
    roster::{Peer, Roster},
};
use super::Way;
use crate::{
    channel,
    error::{ChannelViolation, Error, ErrorKind},
    request,
    session::SessionConfig,
    spdy::{Connection, GoAwayStatus, Priority, ResetStatus},
    subprotocol::Subprotocol,
    websocket::{Role, Transmit},
};

/// How long a server waits for all streams (SPE-4). As the real ones.
const ALL_STREAMS_WITHIN: Duration = Duration::from_secs(30);

/// Pings that may wait for their answers, and perhaps for being sent: a peer that reads nothing costs no memory.
const PINGS: u32 = 16;

/// The outputs of a command.
const OUTPUTS: [u8; 2] = [channel::STDOUT, channel::STDERR];
/// What comes from a client.
const INPUTS: [u8; 2] = [channel::STDIN, channel::RESIZE];

/// Channels over the streams of one SPDY connection.
pub(super) struct Streams {
    spdy: Connection,
    cutter: Cutter,
    role: Role,
    subprotocol: Subprotocol,
    roster: Roster,
    /// Of the status, at a client; of sizes, at a server.
    objects: Objects,
    /// What came and was not handed on yet.
    rest: Option<Rest>,
    peer: PeerSays,
    /// Until when all streams have to be there. A client opens them itself.
    complete_by: Option<Instant>,
    unanswered_pings: u32,
    ending: Ending,
    /// The status, until all output before it is on its way.
    status: Bytes,
}

/// How far our end of the connection is. It only goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// A server whose command is done waits for the streams to say so on.
    Streams,
    /// The outputs are finished, and go out.
    Outputs,
    /// The status goes out.
    Status,
    /// Our GOAWAY goes out, or the stream under the connection ended.
    Over,
}

impl Streams {
    pub(super) fn new(
        role: Role,
        streams: request::Streams,
        subprotocol: Subprotocol,
        config: &SessionConfig,
        now: Instant,
    ) -> Self {
        let mut column = Self {
            spdy: Connection::new(role, &config.limits),
            cutter: Cutter::default(),
            role,
            subprotocol,
            roster: Roster::new(streams, subprotocol),
            objects: Objects::default(),
            rest: None,
            peer: PeerSays::default(),
            complete_by: None,
            unanswered_pings: 0,
            ending: Ending::No,
            status: Bytes::new(),
        };
        match role {
            Role::Client => column.open(),
            Role::Server => column.complete_by = Some(now + ALL_STREAMS_WITHIN),
        }
        column
    }

    /// Opens all streams at once; no reply is waited for (SPE-2).
    fn open(&mut self) {
        for (channel, headers) in self.roster.missing() {
            if let Ok(id) = self.spdy.open(headers, Priority::HIGHEST) {
                self.roster.take(channel, id);
            }
        }
    }

    pub(super) fn taken(&self) -> u64 {
        self.spdy.bytes_taken()
    }

    /// Nothing may be sent before all streams are there: the application has nothing to write before, either (SPE-4).
    #[inline(never)]
    pub(super) fn room(&self, channel: u8) -> usize {
        match self.roster.get(channel) {
            // Of the sizes that wait only the newest matters.
            Some(member) if channel == channel::RESIZE && self.spdy.queued_on(member.id) > 0 => 0,
            Some(member) if self.roster.is_complete() => self.spdy.room(member.id),
            _ => 0,
        }
    }

    pub(super) fn way(&self, channel: u8) -> Way {
        let open = match self.roster.get(channel) {
            Some(member) => self.spdy.state(member.id).may_send(),
            None => self.roster.awaits(channel),
        };
        if open { Way::Open } else { Way::Gone }
    }

    /// Whoever waits may wait for any stream; all of them drain alike.
    pub(super) fn is_worth_waking(&self) -> bool {
        let ours = match self.role {
            Role::Client => [channel::STDIN, channel::STDIN],
            Role::Server => OUTPUTS,
        };
        self.roster.is_complete()
            && self.roster.of(ours).all(|member| {
                !self.spdy.state(member.id).may_send()
                    || self.spdy.queued_on(member.id) < self.spdy.room(member.id)
            })
    }

    #[inline(never)]
    pub(super) fn queued(&self) -> usize {
        self.spdy.queued() + self.status.len()
    }

    #[inline(never)]
    pub(super) fn send(&mut self, channel: u8, payload: &[u8]) {
        if self.role == Role::Server && channel == channel::ERROR {
            self.status = Bytes::copy_from_slice(payload);
        } else if let Some(member) = self.roster.get(channel) {
            // The session looked whether there is room; what the peer does not want is lost, as it would be there.
            let _ = self.spdy.send(member.id, payload);
        }
    }

    #[inline(never)]
    pub(super) fn send_shared(&mut self, channel: u8, payload: Bytes) {
        if let Some(member) = self.roster.get(channel) {
            let _ = self.spdy.send_bytes(member.id, &payload);
        }
    }

    /// A FIN (SPE-6).
    pub(super) fn close_channel(&mut self, channel: u8) {
        if let Some(member) = self.roster.get(channel) {
            let _ = self.spdy.finish(member.id);
        }
    }

    /// With 1000 a server's command is done, or a client leaves (SPE-11, SPE-15); with anything else the session is given up.
    pub(super) fn close(&mut self, code: u16, _reason: &str) {
        if self.ending != Ending::No {
            return;
        }
        match (self.role, code) {
            (Role::Server, 1000) => {
                self.ending = Ending::Streams;
                self.go_on();
            }
            (Role::Client, 1000) => {
                self.close_channel(channel::STDIN);
                // A status that is under way still counts.
                self.reset([channel::STDOUT, channel::STDERR, channel::RESIZE]);
                self.go_away(GoAwayStatus::OK);
            }
            _ => {
                self.reset([
                    channel::STDIN,
                    channel::STDOUT,
                    channel::STDERR,
                    channel::RESIZE,
                    channel::ERROR,
                ]);
                self.go_away(GoAwayStatus::INTERNAL_ERROR);
            }
        }
    }

    /// Ends the connection because of what the peer did. What waits is not sent any more.
    pub(super) fn fail(&mut self, kind: impl Into<ErrorKind>) -> Error {
        let error = Error::at(self.spdy.frame_start(), kind);
        if self.ending != Ending::Over {
            for (_, member) in self.roster.members() {
                self.spdy.abort(member.id, ResetStatus::CANCEL);
            }
            self.go_away(GoAwayStatus::PROTOCOL_ERROR);
        }
        error
    }

    /// Behind what was sent on them.
    fn reset<const N: usize>(&mut self, channels: [u8; N]) {
        for member in self.roster.of(channels) {
            self.spdy.reset(member.id, ResetStatus::CANCEL);
        }
    }

    fn go_away(&mut self, status: GoAwayStatus) {
        self.ending = Ending::Over;
        self.spdy.goaway(status);
    }

    /// A server whose command is done: the next step towards the end, if it is time for it (SPE-11). Tells whether there was one.
    fn go_on(&mut self) -> bool {
        match self.ending {
            Ending::Streams if self.roster.is_complete() => {
                OUTPUTS.into_iter().for_each(|output| self.close_channel(output));
                self.ending = Ending::Outputs;
            }
            Ending::Outputs if self.is_laid_out(OUTPUTS) => {
                let status = std::mem::take(&mut self.status);
                if let Some(member) = self.roster.get(channel::ERROR) {
                    let _ = self.spdy.send_bytes(member.id, &status);
                    let _ = self.spdy.finish(member.id);
                }
                self.ending = Ending::Status;
            }
            Ending::Status if self.is_laid_out([channel::ERROR]) => {
                self.reset(INPUTS);
                self.go_away(GoAwayStatus::OK);
            }
            _ => return false,
        }
        true
    }

    /// Whether all that was sent on these streams, and its end, is on its way.
    fn is_laid_out<const N: usize>(&self, channels: [u8; N]) -> bool {
        !self.roster.of(channels).any(|member| self.spdy.holds(member.id))
    }

    /// The stream under the connection ended. What it cut short is not worth an error of its own: that there was no status says it.
    pub(super) fn end(&mut self) {
        let _ = self.spdy.handle_eof();
        self.ending = Ending::Over;
    }

    pub(super) fn is_open(&self) -> bool {
        self.ending != Ending::Over
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.complete_by
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        match self.complete_by {
            Some(by) if now >= by => Err(self.fail(ChannelViolation::StreamsMissing)),
            _ => Ok(()),
        }
    }

    pub(super) fn ping(&mut self) {
        if self.unanswered_pings < PINGS || self.spdy.queued() == 0 {
            self.unanswered_pings += 1;
            self.spdy.ping();
        }
    }

    #[inline(never)]
    pub(super) fn transmit(&mut self) -> &mut Transmit {
        // What is sent is laid out a little at a time, and the end waits for it.
        loop {
            let _ = self.spdy.transmit();
            if !self.go_on() {
                return self.spdy.transmit();
            }
        }
    }
}
