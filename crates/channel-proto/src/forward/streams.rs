//! Connections as pairs of SPDY streams: an error stream and a data stream each (PFW-5).

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    ConnectionId, ForwardError, ForwardEvent,
    connection::{Connection, ErrorStream, Peer, Writer},
};
use crate::{
    limits::Limits,
    spdy::{Connection as Spdy, Event, Headers, Priority, ResetStatus, StreamError, StreamId},
    websocket::Role,
};

/// How long the word of the error stream is waited for, once the data stream has ended.
const GRACE: Duration = Duration::from_millis(500);

/// How long the second stream of a pair is waited for (PFW-8).
const PAIRING: Duration = Duration::from_secs(30);

/// The connections of a forward.
pub(super) struct Streams {
    role: Role,
    /// By id; `None` is free to be used again.
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    by_stream: BTreeMap<StreamId, (ConnectionId, Kind)>,
    /// Server: streams whose other half is still to come, by request id.
    unpaired: BTreeMap<String, Unpaired>,
    /// What falls due when, in order: one queue for each length of time.
    verdicts: VecDeque<(Instant, ConnectionId)>,
    pairings: VecDeque<(Instant, String)>,
    /// Those who wait for room.
    blocked: VecDeque<ConnectionId>,
    next_request: u32,
    limit: usize,
    text_limit: usize,
}

/// Which stream of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Error,
    Data,
}

struct Unpaired {
    stream: StreamId,
    kind: Kind,
    port: u16,
    by: Instant,
}

impl Streams {
    pub(super) fn new(role: Role, limits: &Limits) -> Self {
        Self {
            role,
            connections: Vec::new(),
            free: Vec::new(),
            by_stream: BTreeMap::new(),
            unpaired: BTreeMap::new(),
            verdicts: VecDeque::new(),
            pairings: VecDeque::new(),
            blocked: VecDeque::new(),
            next_request: 0,
            limit: limits.spdy_streams / 2,
            text_limit: limits.status,
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    /// Client: opens both streams of a connection, the error stream first, and ends our half of that at once (PFW-6).
    pub(super) fn connect(&mut self, port: u16, spdy: &mut Spdy) -> Result<ConnectionId, ForwardError> {
        if self.connections() >= self.limit {
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
    pub(super) fn handle(
        &mut self,
        now: Instant,
        event: Event,
        spdy: &mut Spdy,
        out: &mut VecDeque<ForwardEvent>,
    ) {
        match event {
            Event::Opened { id, headers, fin, .. } => self.opened(now, id, &headers, fin, spdy, out),
            Event::Data { id, payload, fin } => match self.by_stream.get(&id).copied() {
                Some((id, Kind::Data)) => {
                    if !payload.is_empty() {
                        out.push_back(ForwardEvent::Data(id, payload));
                    }
                    if fin {
                        self.ends(now, id, Ends::Fin, spdy, out);
                    }
                }
                Some((id, Kind::Error)) => {
                    if let Some(connection) = self.connections[id.index()].as_mut() {
                        let room = self.text_limit.saturating_sub(connection.text.len());
                        connection.text.extend_from_slice(&payload[..payload.len().min(room)]);
                    }
                    if !payload.is_empty() && self.role == Role::Client {
                        self.ends(now, id, Ends::Text, spdy, out);
                    }
                    if fin {
                        self.error_ended(id, spdy, out);
                    }
                }
                None => {}
            },
            Event::Replied { id, fin, .. } | Event::Headers { id, fin, .. } => {
                if fin {
                    let end = Event::Data { id, payload: bytes::Bytes::new(), fin };
                    self.handle(now, end, spdy, out);
                }
            }
            Event::Reset { id, .. } | Event::Faulted { id, .. } => match self.by_stream.get(&id).copied() {
                Some((id, Kind::Data)) => self.ends(now, id, Ends::Reset, spdy, out),
                Some((id, Kind::Error)) => self.error_ended(id, spdy, out),
                None => {}
            },
            Event::GoAway { .. } => out.push_back(ForwardEvent::GoingAway),
            Event::Pong { .. } => {}
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
        out: &mut VecDeque<ForwardEvent>,
    ) {
        let wanted = (self.role == Role::Server).then(|| wanted(stream, headers)).flatten();
        let Some((kind, port, request)) = wanted else { return spdy.reset(stream, ResetStatus::CANCEL) };
        if fin && kind == Kind::Data || self.connections() + self.unpaired.len() / 2 >= self.limit {
            return spdy.reset(stream, ResetStatus::CANCEL);
        }
        match self.unpaired.get(&request) {
            None => {
                let by = now + PAIRING;
                self.pairings.push_back((by, request.clone()));
                self.unpaired.insert(request, Unpaired { stream, kind, port, by });
                let _ = spdy.reply(stream);
            }
            Some(first) if first.kind != kind && first.port == port => {
                let (error, data) = match kind {
                    Kind::Error => (stream, first.stream),
                    Kind::Data => (first.stream, stream),
                };
                self.unpaired.remove(&request);
                let _ = spdy.reply(stream);
                let id = self.insert(Connection::new(error, data));
                out.push_back(ForwardEvent::Connect(id, port));
            }
            Some(_) => spdy.reset(stream, ResetStatus::CANCEL),
        }
    }

    /// The peer's half of a data stream is over in one way or another, or a text says that the connection failed.
    fn ends(
        &mut self,
        now: Instant,
        id: ConnectionId,
        how: Ends,
        spdy: &mut Spdy,
        out: &mut VecDeque<ForwardEvent>,
    ) {
        let server = self.role == Role::Server;
        let Some(connection) = self.get(id) else { return };
        let first = connection.peer == Peer::Sending;
        connection.ends(now + GRACE, how == Ends::Reset);
        // Only a server has something to add.
        if server {
            connection.error_stream = ErrorStream::Ended;
        }
        if connection.is_known() {
            self.settle(id, spdy, out);
        } else if first {
            self.verdicts.push_back((now + GRACE, id));
        }
    }

    fn error_ended(&mut self, id: ConnectionId, spdy: &mut Spdy, out: &mut VecDeque<ForwardEvent>) {
        if self.role == Role::Server {
            return;
        }
        if let Some(connection) = self.get(id) {
            connection.error_stream = ErrorStream::Ended;
            if connection.is_known() {
                self.settle(id, spdy, out);
            }
        }
    }

    fn settle(&mut self, id: ConnectionId, spdy: &mut Spdy, out: &mut VecDeque<ForwardEvent>) {
        let Some(connection) = self.get(id) else { return };
        let Some(event) = connection.settle(id) else { return };
        if event != ForwardEvent::End(id) {
            let (error, data) = (connection.error, connection.data);
            // What waits to be sent has nowhere to go.
            spdy.abort(data, ResetStatus::CANCEL);
            spdy.reset(error, ResetStatus::CANCEL);
        }
        out.push_back(event);
    }

    /// When something falls due.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let verdict = self.verdicts.front().map(|(by, _)| *by);
        let pairing = self.pairings.front().map(|(by, _)| *by);
        verdict.into_iter().chain(pairing).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, spdy: &mut Spdy, out: &mut VecDeque<ForwardEvent>) {
        while let Some((_, id)) = pop_due(&mut self.verdicts, now) {
            // The id may by now be another connection's, which is due later.
            if self.get(id).is_some_and(
                |connection| matches!(connection.peer, Peer::AwaitVerdict { by, .. } if by <= now),
            ) {
                self.settle(id, spdy, out);
            }
        }
        while let Some((by, request)) = pop_due(&mut self.pairings, now) {
            if self.unpaired.get(&request).is_some_and(|unpaired| unpaired.by == by)
                && let Some(unpaired) = self.unpaired.remove(&request)
            {
                spdy.reset(unpaired.stream, ResetStatus::CANCEL);
            }
        }
    }

    /// Puts data on a connection; `send` puts it on the stream.
    pub(super) fn write<T>(
        &mut self,
        id: ConnectionId,
        send: impl FnOnce(StreamId) -> Result<T, StreamError>,
    ) -> Result<T, ForwardError> {
        let Some(connection) = self.get(id) else { return Err(ForwardError::Gone) };
        match send(connection.data) {
            Ok(sent) => Ok(sent),
            Err(StreamError::Blocked) => {
                if connection.writer == Writer::Free {
                    connection.writer = Writer::Blocked;
                    self.blocked.push_back(id);
                }
                Err(ForwardError::Blocked)
            }
            Err(StreamError::Finished) => Err(ForwardError::Finished),
            Err(_) => Err(ForwardError::Gone),
        }
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
            if room == 0 || queued > room {
                self.blocked.push_back(id);
                continue;
            }
            connection.writer = Writer::Free;
            return Some(id);
        }
        None
    }

    pub(super) fn finish(&mut self, id: ConnectionId, spdy: &mut Spdy) {
        let server = self.role == Role::Server;
        let Some(connection) = self.get(id) else { return };
        // Neither matters if the stream is gone already.
        let _ = spdy.finish(connection.data);
        if server {
            // That nothing went wrong is said at once: a client waits for it before it takes the end for one.
            let _ = spdy.finish(connection.error);
        }
    }

    /// Server: says why, and then ends the data.
    pub(super) fn fail(&mut self, id: ConnectionId, why: &str, spdy: &mut Spdy) {
        let Some(connection) = self.get(id) else { return };
        // One text of ours is shorter than what a stream may hold, and nothing was sent on this one before.
        let _ = spdy.send(connection.error, why.as_bytes());
        let _ = spdy.finish(connection.error);
        let _ = spdy.finish(connection.data);
    }

    pub(super) fn reset(&mut self, id: ConnectionId, spdy: &mut Spdy) {
        if let Some(connection) = self.get(id) {
            connection.peer = Peer::Settled;
            let (error, data) = (connection.error, connection.data);
            spdy.abort(data, ResetStatus::CANCEL);
            spdy.reset(error, ResetStatus::CANCEL);
        }
    }

    pub(super) fn forget(&mut self, id: ConnectionId, spdy: &mut Spdy) {
        let Some(connection) = self.connections.get_mut(id.index()).and_then(Option::take) else { return };
        for stream in [connection.data, connection.error] {
            self.by_stream.remove(&stream);
        }
        // Streams that both ends finished are gone already; what we finished is still sent.
        if spdy.state(connection.data).may_send() {
            spdy.abort(connection.data, ResetStatus::CANCEL);
        } else {
            spdy.reset(connection.data, ResetStatus::CANCEL);
        }
        spdy.reset(connection.error, ResetStatus::CANCEL);
        self.free.push(id.0);
    }
}

fn pop_due<T>(queue: &mut VecDeque<(Instant, T)>, now: Instant) -> Option<(Instant, T)> {
    queue.front().is_some_and(|(by, _)| *by <= now).then(|| queue.pop_front())?
}

/// How the peer's half of a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Fin,
    Reset,
    Text,
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

/// What a stream is for: its type, its port, and the request that it belongs to. Without a request id the error stream of a pair comes first, and
/// the data stream has the next id (PFW-8).
fn wanted(stream: StreamId, headers: &Headers) -> Option<(Kind, u16, String)> {
    let kind = match headers.get("streamtype")? {
        "error" => Kind::Error,
        "data" => Kind::Data,
        _ => return None,
    };
    let port = headers.get("port")?.parse().ok().filter(|port| *port != 0)?;
    let request = match (headers.get("requestid"), kind) {
        (Some(request), _) => format!("r{request}"),
        (None, Kind::Error) => format!("s{}", stream.get()),
        (None, Kind::Data) => format!("s{}", stream.get().checked_sub(2)?),
    };
    Some((kind, port, request))
}
