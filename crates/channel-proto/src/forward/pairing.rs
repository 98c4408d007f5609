//! Server: streams whose other half is still to come (PFW-8).

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::spdy::{Headers, StreamId};

/// How long the second stream of a pair is waited for.
const PAIRING: Duration = Duration::from_secs(30);

/// Which stream of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Data,
}

/// What a stream is for: its type, its port, and the request that it belongs to.
pub(super) struct Wanted {
    pub(super) kind: Kind,
    pub(super) port: u16,
    request: Arc<str>,
}

/// A stream that is alone.
pub(super) struct Lone {
    pub(super) stream: StreamId,
    kind: Kind,
    port: u16,
    request: Arc<str>,
    by: Instant,
    /// What came on it already.
    pub(super) early: Vec<u8>,
    pub(super) fin: bool,
}

/// What a stream means to those that are alone.
pub(super) enum Match {
    /// It completes a pair.
    Pair(Lone),
    /// It is the first of its pair.
    First,
    /// There is one of its kind already, or it wants another port.
    Conflict,
}

/// The streams that are alone.
pub(super) struct Pairing {
    /// Ids rise, so these are in the order in which they came, and fall due.
    lone: BTreeMap<StreamId, Lone>,
    by_request: BTreeMap<Arc<str>, StreamId>,
    /// Bytes of all that came early.
    early: usize,
    early_limit: usize,
}

impl Pairing {
    pub(super) fn new(early_limit: usize) -> Self {
        Self { lone: BTreeMap::new(), by_request: BTreeMap::new(), early: 0, early_limit }
    }

    pub(super) fn len(&self) -> usize {
        self.lone.len()
    }

    /// Looks for the other stream of a pair, which is then no longer alone.
    pub(super) fn find(&mut self, wanted: &Wanted) -> Match {
        let Some(stream) = self.by_request.get(&wanted.request).copied() else { return Match::First };
        match self.lone.get(&stream) {
            Some(first) if first.kind != wanted.kind && first.port == wanted.port => {
                self.remove(stream).map_or(Match::First, Match::Pair)
            }
            _ => Match::Conflict,
        }
    }

    /// The first stream of a pair.
    pub(super) fn insert(&mut self, now: Instant, stream: StreamId, wanted: Wanted, fin: bool) {
        let Wanted { kind, port, request } = wanted;
        self.by_request.insert(request.clone(), stream);
        let lone = Lone { stream, kind, port, request, by: now + PAIRING, early: Vec::new(), fin };
        self.lone.insert(stream, lone);
    }

    /// Something came on a stream that is alone, which is kept as far as there is room. `false` if there is not.
    pub(super) fn keep(&mut self, stream: StreamId, payload: &[u8], fin: bool) -> bool {
        let Some(lone) = self.lone.get_mut(&stream).filter(|lone| lone.kind == Kind::Data) else {
            return true;
        };
        if self.early + payload.len() > self.early_limit {
            return false;
        }
        self.early += payload.len();
        lone.early.extend_from_slice(payload);
        lone.fin |= fin;
        true
    }

    pub(super) fn remove(&mut self, stream: StreamId) -> Option<Lone> {
        let lone = self.lone.remove(&stream)?;
        self.by_request.remove(&lone.request);
        self.early -= lone.early.len();
        Some(lone)
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.lone.first_key_value().map(|(_, lone)| lone.by)
    }

    /// A stream that was alone for too long.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<StreamId> {
        let (stream, lone) = self.lone.first_key_value()?;
        let stream = (lone.by <= now).then_some(*stream)?;
        self.remove(stream).map(|lone| lone.stream)
    }
}

impl Wanted {
    /// Reads it out of headers. Without a request id the error stream of a pair comes first, and the data stream has the next id.
    pub(super) fn read(stream: StreamId, headers: &Headers) -> Option<Self> {
        let kind = match headers.get("streamtype")? {
            "error" => Kind::Error,
            "data" => Kind::Data,
            _ => return None,
        };
        let port = headers.get("port").filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let request = match (headers.get("requestid").filter(|request| !request.is_empty()), kind) {
            (Some(request), _) => format!("r{request}"),
            (None, Kind::Error) => format!("s{}", stream.get()),
            (None, Kind::Data) => format!("s{}", stream.get().checked_sub(2)?),
        };
        Some(Self { kind, port, request: request.into() })
    }
}
