//! Connections as pairs of SPDY streams: an error stream and a data stream each (PFW-5).

mod ends;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use bytes::Bytes;

use super::{
    ConnectionId, ForwardError, ForwardEvent, Unsent, Worth,
    connection::{Connection, Peer, Reply, Writer},
    pairing::{Kind, Match, Pairing, Wanted},
};
use ends::{Ends, Verdict};

use crate::{
    limits::Limits,
    spdy::{Connection as Spdy, Event, Headers, Priority, ResetStatus, StreamError, StreamId},
    websocket::Role,
};

/// Bytes kept of the text with which a connection fails; the longest recorded has 407. [`Limits::status`] may make it less.
pub(super) const MOST_TEXT: usize = 16 << 10;

/// What is said of a connection that failed for no reason that was given: without a text it would seem to have ended well.
pub(super) const NO_REASON: &str = "the connection failed";

type Events = VecDeque<ForwardEvent>;

/// The connections of a forward.
pub(super) struct Streams {
    role: Role,
    /// By id; `None` is free to be used again.
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    by_stream: BTreeMap<StreamId, (ConnectionId, Kind)>,
    pairing: Pairing,
    /// Whose verdict falls due when.
    verdicts: BTreeSet<(Instant, ConnectionId)>,
    /// Those who wait for room.
    blocked: VecDeque<ConnectionId>,
    next_request: u32,
    limit: usize,
    text_limit: usize,
}

impl Streams {
    pub(super) fn new(role: Role, limits: &Limits) -> Self {
        Self {
            role,
            connections: Vec::new(),
            free: Vec::new(),
            by_stream: BTreeMap::new(),
            pairing: Pairing::new(limits.forward_early),
            verdicts: BTreeSet::new(),
            blocked: VecDeque::new(),
            next_request: 0,
            limit: limits.spdy_streams / 2,
            text_limit: limits.status.min(MOST_TEXT),
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    /// Client: opens both streams of a connection, the error stream first, and ends our half of that at once (PFW-6).
    pub(super) fn connect(&mut self, port: u16, spdy: &mut Spdy) -> Result<ConnectionId, ForwardError> {
        if self.role == Role::Server {
            return Err(ForwardError::ServerSide);
        }
        if spdy.is_going_away() {
            return Err(ForwardError::GoingAway);
        }
        if self.connections() >= self.limit || !spdy.wants_input() {
            return Err(ForwardError::TooMany);
        }
        let request = self.next_request.to_string();
        let error = open(spdy, "error", port, &request)?;
        let data = open(spdy, "data", port, &request);
        // It was opened just now: it is there to be ended.
        let _ = spdy.finish(error);
        let data = data.inspect_err(|_| spdy.reset(error, ResetStatus::CANCEL))?;
        self.next_request = self.next_request.wrapping_add(1);
        Ok(self.insert(Connection::new(error, data)))
    }

    fn insert(&mut self, connection: Connection) -> ConnectionId {
        let (error, data) = (connection.error, connection.data);
        let id = match self.free.pop() {
            Some(index) => {
                self.connections[index as usize] = Some(connection);
                ConnectionId(index)
            }
            None => {
                self.connections.push(Some(connection));
                // No more than half of `limits.spdy_streams`, which fits.
                ConnectionId(u32::try_from(self.connections.len() - 1).unwrap_or(u32::MAX))
            }
        };
        self.by_stream.insert(error, (id, Kind::Error));
        self.by_stream.insert(data, (id, Kind::Data));
        id
    }

    fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(id.index())?.as_mut()
    }

    /// Something happened on a stream, or to the connection under all of them.
    pub(super) fn handle(&mut self, now: Instant, event: Event, spdy: &mut Spdy, out: &mut Events) -> Worth {
        match event {
            Event::Opened { id, headers, fin, .. } => return self.opened(now, id, &headers, fin, spdy, out),
            Event::Data { id, payload, fin } => self.data(now, id, payload, fin, spdy, out),
            Event::Replied { id, fin, .. } => {
                if let Some((connection, Kind::Data)) = self.by_stream.get(&id).copied()
                    && let Some(connection) = self.get(connection)
                {
                    connection.reply = Reply::Came;
                }
                self.data(now, id, Bytes::new(), fin, spdy, out);
            }
            // They say nothing that anybody needs, and a block of many KiB is a few bytes on the wire.
            Event::Headers { fin: false, .. } => return Worth::Nothing,
            Event::Headers { id, .. } => self.data(now, id, Bytes::new(), true, spdy, out),
            Event::Reset { id, .. } => self.broken(now, id, Verdict::Reset, spdy, out),
            Event::Faulted { id, .. } => self.broken(now, id, Verdict::Lost, spdy, out),
            Event::GoAway { last, .. } => {
                out.push_back(ForwardEvent::GoingAway);
                self.give_up_beyond(last, now, spdy, out);
            }
            Event::Pong { .. } => {}
        }
        Worth::Something
    }

    fn data(
        &mut self,
        now: Instant,
        stream: StreamId,
        payload: Bytes,
        fin: bool,
        spdy: &mut Spdy,
        out: &mut Events,
    ) {
        match self.by_stream.get(&stream).copied() {
            Some((id, Kind::Data)) => {
                if !payload.is_empty() {
                    out.push_back(ForwardEvent::Data(id, payload));
                }
                if fin {
                    self.ends(now, id, Ends::Fin, spdy, out);
                }
            }
            // A client has nothing to say there (PFW-6).
            Some((_, Kind::Error)) if self.role == Role::Server => {}
            Some((id, Kind::Error)) => {
                let limit = self.text_limit;
                if let Some(connection) = self.get(id).filter(|_| !payload.is_empty()) {
                    let room = limit.saturating_sub(connection.text.len());
                    connection.text.extend_from_slice(&payload[..payload.len().min(room)]);
                    self.ends(now, id, Ends::Text, spdy, out);
                }
                if fin {
                    self.error_ended(now, id, Verdict::Said, spdy, out);
                }
            }
            None => {
                if !self.pairing.keep(stream, &payload, fin) {
                    self.pairing.remove(stream);
                    spdy.reset(stream, ResetStatus::CANCEL);
                }
            }
        }
    }

    /// A stream was reset, by the peer or for what the peer did on it.
    fn broken(&mut self, now: Instant, stream: StreamId, how: Verdict, spdy: &mut Spdy, out: &mut Events) {
        match self.by_stream.get(&stream).copied() {
            Some((id, Kind::Data)) => self.ends(now, id, Ends::Reset, spdy, out),
            Some((id, Kind::Error)) => self.error_ended(now, id, how, spdy, out),
            None => {
                self.pairing.remove(stream);
                spdy.reset(stream, ResetStatus::CANCEL);
            }
        }
    }

    /// Server: one stream of a pair. It is accepted at once, as the real servers do (PFW-8).
    fn opened(
        &mut self,
        now: Instant,
        stream: StreamId,
        headers: &Headers,
        fin: bool,
        spdy: &mut Spdy,
        out: &mut Events,
    ) -> Worth {
        let wanted = (self.role == Role::Server).then(|| Wanted::read(stream, headers)).flatten();
        // Nothing can be said on a stream of one direction.
        let Some(wanted) = wanted.filter(|_| spdy.state(stream).may_send()) else {
            spdy.reset(stream, ResetStatus::CANCEL);
            return Worth::Nothing;
        };
        match self.pairing.find(&wanted) {
            Match::Pair(first) => {
                let (error, data) = match wanted.kind {
                    Kind::Error => (stream, first.stream),
                    Kind::Data => (first.stream, stream),
                };
                let _ = spdy.reply(stream);
                let fin = if wanted.kind == Kind::Data { fin } else { first.fin };
                let id = self.insert(Connection::new(error, data));
                out.push_back(ForwardEvent::Connect(id, wanted.port));
                self.data(now, data, first.early.into(), fin, spdy, out);
            }
            Match::First if self.connections() + self.pairing.len() >= self.limit => {
                spdy.reset(stream, ResetStatus::REFUSED_STREAM);
                return Worth::Nothing;
            }
            Match::First => {
                self.pairing.insert(now, stream, wanted, fin);
                let _ = spdy.reply(stream);
            }
            Match::Conflict => {
                spdy.reset(stream, ResetStatus::CANCEL);
                return Worth::Nothing;
            }
        }
        Worth::Something
    }

    /// When something falls due. A verdict does not while nothing is read: it may have come already.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let verdict = self.verdicts.first().map(|(by, _)| *by);
        verdict.into_iter().chain(self.pairing.timeout()).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, spdy: &mut Spdy, out: &mut Events) {
        while let Some((_, id)) = self.verdicts.first().copied().filter(|(by, _)| *by <= now) {
            self.settle(id, spdy, out);
        }
        while let Some(stream) = self.pairing.overdue(now) {
            spdy.reset(stream, ResetStatus::CANCEL);
        }
    }

    /// Puts data on a connection; `send` puts it on the stream.
    pub(super) fn write<T>(
        &mut self,
        id: ConnectionId,
        send: impl FnOnce(StreamId) -> Result<T, StreamError>,
    ) -> Result<T, ForwardError> {
        let Some(connection) = self.get(id) else { return Err(ForwardError::Gone) };
        let sent = match connection.reply {
            Reply::AwaitedByWriter => Err(StreamError::Blocked),
            Reply::Awaited | Reply::Came => send(connection.data),
        };
        match sent {
            Ok(sent) => Ok(sent),
            Err(StreamError::Blocked) => {
                self.block(id);
                Err(ForwardError::Blocked)
            }
            Err(StreamError::Finished) => Err(ForwardError::Finished),
            Err(_) => Err(ForwardError::Gone),
        }
    }

    fn block(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get(id).filter(|connection| connection.writer == Writer::Free) {
            connection.writer = Writer::Blocked;
            self.blocked.push_back(id);
        }
    }

    /// Client: nothing is to be written before the peer has accepted the connection, unless it has. Whether it has.
    pub(super) fn await_reply(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.get(id) else { return true };
        if connection.reply == Reply::Came {
            return true;
        }
        connection.reply = Reply::AwaitedByWriter;
        self.block(id);
        false
    }

    /// A connection that waited for room and has it now. Each is looked at once, in turn, so that none is passed over for ever.
    pub(super) fn writable(&mut self, spdy: &Spdy) -> Option<ConnectionId> {
        for _ in 0..self.blocked.len() {
            let id = self.blocked.pop_front()?;
            let Some(connection) = self.get(id).filter(|connection| connection.writer == Writer::Blocked)
            else {
                continue;
            };
            let (room, queued) = (spdy.room(connection.data), spdy.queued_on(connection.data));
            if !spdy.state(connection.data).may_send() {
                connection.writer = Writer::Free;
                continue;
            }
            if room == 0 || queued > room || connection.reply == Reply::AwaitedByWriter {
                self.blocked.push_back(id);
                continue;
            }
            connection.writer = Writer::Free;
            return Some(id);
        }
        None
    }

    pub(super) fn finish(&mut self, id: ConnectionId, spdy: &mut Spdy) -> Result<(), ForwardError> {
        let server = self.role == Role::Server;
        let connection = self.get(id).ok_or(ForwardError::Gone)?;
        // Neither matters if the stream is gone already.
        let _ = spdy.finish(connection.data);
        if server {
            // That nothing went wrong is said at once: a client waits for it before it takes the end for one.
            let _ = spdy.finish(connection.error);
        }
        Ok(())
    }

    /// Server: says why, and then ends the data.
    pub(super) fn fail(&mut self, id: ConnectionId, why: &str, spdy: &mut Spdy, out: &mut Events) {
        let Some(connection) = self.get(id) else { return };
        let why = if why.is_empty() { NO_REASON } else { why };
        // There is room for a KiB at least, as nothing was sent on this stream before.
        match spdy.send(connection.error, why.as_bytes()) {
            Ok(_) => {
                let _ = spdy.finish(connection.error);
                let _ = spdy.finish(connection.data);
            }
            // It cannot be said any more. What must not be is that it seems to have ended well.
            Err(_) => {
                let waits = !matches!(connection.peer, Peer::Ended | Peer::Over);
                self.reset(id, Unsent::Dropped, spdy);
                if waits {
                    // Nothing more comes that could end it.
                    out.push_back(ForwardEvent::Reset(id));
                }
            }
        }
    }

    pub(super) fn reset(&mut self, id: ConnectionId, unsent: Unsent, spdy: &mut Spdy) {
        let Some(connection) = self.get(id) else { return };
        let peer = std::mem::replace(&mut connection.peer, Peer::Over);
        match unsent {
            Unsent::Dropped => connection.break_off(spdy),
            Unsent::Sent => connection.break_off_behind(spdy),
        }
        if let Peer::AwaitVerdict { by, .. } = peer {
            self.verdicts.remove(&(by, id));
        }
    }

    pub(super) fn forget(&mut self, id: ConnectionId, spdy: &mut Spdy) {
        let Some(connection) = self.connections.get_mut(id.index()).and_then(Option::take) else { return };
        for stream in [connection.data, connection.error] {
            self.by_stream.remove(&stream);
        }
        if let Peer::AwaitVerdict { by, .. } = connection.peer {
            self.verdicts.remove(&(by, id));
        }
        connection.leave(spdy);
        self.free.push(id.0);
    }
}

fn open(spdy: &mut Spdy, kind: &str, port: u16, request: &str) -> Result<StreamId, ForwardError> {
    let mut headers = Headers::new();
    let header = |headers: &mut Headers, name, value: &str| headers.insert(name, value).is_ok();
    let whole = header(&mut headers, "streamtype", kind)
        && header(&mut headers, "port", &port.to_string())
        && header(&mut headers, "requestid", request);
    debug_assert!(whole, "three names, all different");
    spdy.open(headers, Priority::default()).map_err(|_| ForwardError::GoingAway)
}
