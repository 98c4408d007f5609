//! What a client asks for, and the request head that says so.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority};

use super::head::{STREAM_VERSION, mark_secrets};
use crate::{
    error::{Error, ErrorKind},
    request::{Action, PodRequest},
    subprotocol::{BearerToken, Service, Subprotocol, Transport},
};

/// What a client asks a server for. It is checked when [`ClientUpgrade::new`](super::ClientUpgrade::new) takes it, and
/// can be used for any number of upgrades.
#[derive(Debug, Clone)]
pub struct UpgradeRequest {
    authority: String,
    prefix: String,
    target: Target,
    headers: HeaderMap,
    bearer: Option<(BearerToken, BearerIn)>,
    service: Service,
    transport: Transport,
    /// `None` until the caller says, so that it does not matter in which order he does.
    offers: Option<Vec<Subprotocol>>,
}

/// What a request asks for, to judge its answer by.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) service: Service,
    pub(super) transport: Transport,
    pub(super) offers: Vec<Subprotocol>,
}

/// Where a bearer token travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerIn {
    /// In an `Authorization` header.
    Header,
    /// As a subprotocol beside the real ones (UPG-11), for clients and gateways that can set no header. Over WebSocket only.
    Subprotocol,
}

#[derive(Debug, Clone)]
enum Target {
    Pod(PodRequest),
    PathAndQuery(String),
}

impl UpgradeRequest {
    /// An exec, attach or port-forward in a pod. `authority` is `host` or `host:port`, for the `Host` header.
    ///
    /// Names that would change the meaning of the path (empty, `.`, `..`, or with a `/` or `%`) are refused by
    /// [`ClientUpgrade::new`](super::ClientUpgrade::new). The ports of a port-forward are sent only where channels are offered (PFW-1),
    /// so that one request serves all three ways to forward.
    pub fn for_pod(authority: impl Into<String>, pod: PodRequest) -> Self {
        let service = pod.action.service();
        Self { service, ..Self::to(authority.into(), Target::Pod(pod)) }
    }

    /// Any other path and query, already percent-encoded: the ones of a kubelet or a container runtime. It counts as an exec or
    /// attach, unless [`service`](Self::service) says otherwise.
    pub fn new(authority: impl Into<String>, path_and_query: impl Into<String>) -> Self {
        Self::to(authority.into(), Target::PathAndQuery(path_and_query.into()))
    }

    fn to(authority: String, target: Target) -> Self {
        Self {
            authority,
            prefix: String::new(),
            target,
            headers: HeaderMap::new(),
            bearer: None,
            service: Service::RemoteCommand,
            transport: Transport::WebSocket,
            offers: None,
        }
    }

    /// What the path of [`UpgradeRequest::new`] serves; of a pod's request it is known.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        if let Target::PathAndQuery(_) = self.target {
            self.service = service;
        }
        self
    }

    /// What to upgrade to; [`WebSocket`](Transport::WebSocket) unless told otherwise.
    #[must_use]
    pub fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// What stands before the path, as where a gateway mounts a cluster: `/k8s/clusters/c-1`. A `/` at its end is dropped.
    #[must_use]
    pub fn path_prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.trim_end_matches('/').to_owned();
        self
    }

    /// Header lines to send besides the handshake's own: `User-Agent`, `Impersonate-User`, …
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        mark_secrets(&mut self.headers);
        self
    }

    /// Authenticates with a bearer token.
    #[must_use]
    pub fn bearer(mut self, token: BearerToken, place: BearerIn) -> Self {
        self.bearer = Some((token, place));
        self
    }

    /// The subprotocols to offer, best first; [`Subprotocol::default_offer`] unless told otherwise.
    ///
    /// With [`Unnamed`](Subprotocol::Unnamed) among them a server may choose none; with nothing else, no header is sent.
    #[must_use]
    pub fn offers(mut self, offers: impl IntoIterator<Item = Subprotocol>) -> Self {
        let mut each_once = Vec::new();
        for offer in offers {
            if !each_once.contains(&offer) {
                each_once.push(offer);
            }
        }
        self.offers = Some(each_once);
        self
    }

    pub(super) fn asked(&self) -> Asked {
        let Self { service, transport, offers, .. } = self;
        let offers = match offers {
            Some(offers) => offers.clone(),
            None => Subprotocol::default_offer(*service, *transport).to_vec(),
        };
        Asked { service: *service, transport: *transport, offers }
    }

    /// The request head, blank line included, with this value of `Sec-WebSocket-Key`. No string of the caller gets into it
    /// that could end a line or a word of it.
    pub(super) fn encode(&self, asked: &Asked, key: &str) -> Result<Bytes, Error> {
        asked.check()?;
        let method = match asked.transport {
            Transport::WebSocket => "GET",
            Transport::Spdy => "POST",
        };
        let mut head = format!(
            "{method} {}{} HTTP/1.1\r\nHost: {}\r\n",
            self.checked_prefix()?,
            self.checked_target(asked)?,
            self.checked_authority()?,
        )
        .into_bytes();
        match asked.transport {
            Transport::WebSocket => self.push_websocket(&mut head, asked, key)?,
            Transport::Spdy => self.push_spdy(&mut head, asked)?,
        }
        if let Some((token, BearerIn::Header)) = &self.bearer {
            if self.headers.contains_key(header::AUTHORIZATION) {
                return Err(misuse("a bearer token and an Authorization header"));
            }
            push_line(&mut head, "Authorization", bearer_value(token)?.as_bytes());
        }
        for (name, value) in &self.headers {
            if is_ours(name) {
                return Err(misuse("an extra header that belongs to the handshake"));
            }
            push_line(&mut head, name.as_str(), value.as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        Ok(head.into())
    }

    /// The lines of RFC 6455 §4.1 (UPG-1).
    fn push_websocket(&self, head: &mut Vec<u8>, asked: &Asked, key: &str) -> Result<(), Error> {
        push_line(head, "Upgrade", b"websocket");
        push_line(head, "Connection", b"Upgrade");
        push_line(head, "Sec-WebSocket-Version", b"13");
        push_line(head, "Sec-WebSocket-Key", key.as_bytes());
        if let Some(protocols) = self.protocols(asked)? {
            push_line(head, "Sec-WebSocket-Protocol", protocols.as_bytes());
        }
        Ok(())
    }

    /// The lines of an upgrade to SPDY, as kubectl sends them (UPG-20).
    fn push_spdy(&self, head: &mut Vec<u8>, asked: &Asked) -> Result<(), Error> {
        if let Some((_, BearerIn::Subprotocol)) = self.bearer {
            return Err(misuse(
                "a bearer token among the versions of SPDY: only WebSocket has a place for it",
            ));
        }
        push_line(head, "Connection", b"Upgrade");
        push_line(head, "Upgrade", b"SPDY/3.1");
        asked
            .offers
            .iter()
            .for_each(|offer| push_line(head, "X-Stream-Protocol-Version", offer.name().as_bytes()));
        push_line(head, "Content-Length", b"0");
        Ok(())
    }

    fn checked_authority(&self) -> Result<&str, Error> {
        let valid = self.authority.parse::<Authority>().is_ok() && !self.authority.contains('@');
        if valid { Ok(&self.authority) } else { Err(misuse("an authority that is not host or host:port")) }
    }

    fn checked_prefix(&self) -> Result<&str, Error> {
        let is_path = is_target(&self.prefix) && !self.prefix.contains('?');
        let valid = self.prefix.is_empty() || is_path;
        if valid { Ok(&self.prefix) } else { Err(misuse("a path prefix that is not a percent-encoded path")) }
    }

    fn checked_target(&self, asked: &Asked) -> Result<String, Error> {
        match &self.target {
            Target::Pod(pod) if !is_name(&pod.namespace) || !is_name(&pod.pod) => {
                Err(misuse("a namespace or a pod that cannot be a name in a path"))
            }
            Target::Pod(pod) => match &pod.action {
                Action::PortForward { .. } if !asked.offers_forward_channels() => {
                    let action = Action::PortForward { ports: Vec::new() };
                    Ok(PodRequest { action, ..pod.clone() }.path_and_query())
                }
                Action::PortForward { ports } if ports.is_empty() || ports.contains(&0) => {
                    Err(misuse("a port-forward in WebSocket channels without ports, or of port 0 (PFW-2)"))
                }
                _ => Ok(pod.path_and_query()),
            },
            Target::PathAndQuery(target) if is_target(target) => Ok(target.clone()),
            Target::PathAndQuery(_) => Err(misuse("a path and query that is not percent-encoded")),
        }
    }

    /// The value of `Sec-WebSocket-Protocol`: all offers in one line, for a real server looks at no other (UPG-2).
    fn protocols(&self, asked: &Asked) -> Result<Option<String>, Error> {
        let mut line = String::new();
        for offer in asked.offers.iter().filter(|offer| **offer != Subprotocol::Unnamed) {
            let separator = if line.is_empty() { "" } else { ", " };
            // Writing to a `String` cannot fail.
            let _ = write!(line, "{separator}{}", offer.name());
        }
        if let Some((token, BearerIn::Subprotocol)) = &self.bearer {
            if line.is_empty() {
                return Err(misuse("a bearer token as the only subprotocol: servers answer 401 (UPG-11)"));
            }
            let _ = write!(line, ", {}", token.to_subprotocol());
        }
        Ok(Some(line).filter(|line| !line.is_empty()))
    }
}

impl Asked {
    /// Whether what is offered can be spoken there (UPG-26).
    fn check(&self) -> Result<(), Error> {
        let spoken = Subprotocol::spoken(self.service, self.transport);
        if !self.offers.iter().all(|offer| spoken.contains(offer)) {
            return Err(misuse("an offer that this service does not have over this transport"));
        }
        if self.transport == Transport::Spdy && self.offers.is_empty() {
            return Err(misuse("an upgrade to SPDY that offers nothing: servers answer 400 (UPG-22)"));
        }
        Ok(())
    }

    /// Whether the server may choose a port-forward in WebSocket channels; no offers at all stand for those too.
    fn offers_forward_channels(&self) -> bool {
        let only_tunnel = self.offers == [Subprotocol::Tunnel];
        self.service == Service::PortForward && self.transport == Transport::WebSocket && !only_tunnel
    }
}

fn misuse(what: &'static str) -> Error {
    ErrorKind::Misuse(what).into()
}

fn push_line(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}

fn bearer_value(token: &BearerToken) -> Result<HeaderValue, Error> {
    let token = token.secret();
    // RFC 6750 §2.1: a token is visible ASCII without spaces.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(misuse("a bearer token that cannot stand in a header"));
    }
    HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| misuse("a bearer token that cannot stand in a header"))
}

/// Whether `target` is a path, with a query perhaps, as a request line takes it.
fn is_target(target: &str) -> bool {
    target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// Whether `name` keeps its meaning as a segment of a path. Kubernetes allows no other names.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '%'])
}

/// Whether a header is written by the handshake, or would give the request a body.
fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with("sec-websocket-")
        || name.as_str() == STREAM_VERSION
        || [header::HOST, header::UPGRADE, header::CONNECTION].contains(name)
        || [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::TE, header::TRAILER].contains(name)
        || *name == header::EXPECT
}
