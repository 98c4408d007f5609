//! What a client asks for, and the request head that says so.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority};

use super::{head::is_secret, key};
use crate::{
    error::{Error, ErrorKind},
    request::PodRequest,
    subprotocol::{BearerToken, Subprotocol},
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
    offers: Vec<Subprotocol>,
}

/// Where a bearer token travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerIn {
    /// In an `Authorization` header.
    Header,
    /// As a subprotocol beside the real ones (UPG-11), for clients and gateways that can set no header.
    Subprotocol,
}

#[derive(Debug, Clone)]
enum Target {
    Pod(PodRequest),
    PathAndQuery(String),
}

impl UpgradeRequest {
    /// An exec or attach in a pod. `authority` is `host` or `host:port`, for the `Host` header.
    ///
    /// Names that would change the meaning of the path (empty, `.`, `..`, or with a `/` or `%`) are refused by
    /// [`ClientUpgrade::new`](super::ClientUpgrade::new).
    pub fn for_pod(authority: impl Into<String>, pod: PodRequest) -> Self {
        Self::to(authority.into(), Target::Pod(pod))
    }

    /// Any other path and query, already percent-encoded: the ones of a kubelet or a container runtime.
    pub fn new(authority: impl Into<String>, path_and_query: impl Into<String>) -> Self {
        Self::to(authority.into(), Target::PathAndQuery(path_and_query.into()))
    }

    fn to(authority: String, target: Target) -> Self {
        let offers = Subprotocol::DEFAULT_OFFER.to_vec();
        Self { authority, prefix: String::new(), target, headers: HeaderMap::new(), bearer: None, offers }
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
        for (name, value) in &mut self.headers {
            value.set_sensitive(value.is_sensitive() || is_secret(name));
        }
        self
    }

    /// Authenticates with a bearer token.
    #[must_use]
    pub fn bearer(mut self, token: BearerToken, place: BearerIn) -> Self {
        self.bearer = Some((token, place));
        self
    }

    /// The subprotocols to offer, best first; [`Subprotocol::DEFAULT_OFFER`] unless told otherwise.
    ///
    /// With [`Unnamed`](Subprotocol::Unnamed) among them a server may choose none; with nothing else, no header is sent.
    #[must_use]
    pub fn offers(mut self, offers: impl IntoIterator<Item = Subprotocol>) -> Self {
        self.offers.clear();
        for offer in offers {
            if !self.offers.contains(&offer) {
                self.offers.push(offer);
            }
        }
        self
    }

    pub(super) fn offered(&self) -> &[Subprotocol] {
        &self.offers
    }

    /// The request head, blank line included, with this value of `Sec-WebSocket-Key`. No string of the caller gets into it
    /// that could end a line or a word of it.
    pub(super) fn encode(&self, key: &str) -> Result<Bytes, Error> {
        let mut head = format!(
            "GET {}{} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n",
            self.checked_prefix()?,
            self.checked_target()?,
            self.checked_authority()?,
        )
        .into_bytes();
        if let Some(protocols) = self.protocols()? {
            push_line(&mut head, "Sec-WebSocket-Protocol", protocols.as_bytes());
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

    fn checked_authority(&self) -> Result<&str, Error> {
        let valid = self.authority.parse::<Authority>().is_ok() && !self.authority.contains('@');
        if valid { Ok(&self.authority) } else { Err(misuse("an authority that is not host or host:port")) }
    }

    fn checked_prefix(&self) -> Result<&str, Error> {
        let is_path = is_target(&self.prefix) && !self.prefix.contains('?');
        let valid = self.prefix.is_empty() || is_path;
        if valid { Ok(&self.prefix) } else { Err(misuse("a path prefix that is not a percent-encoded path")) }
    }

    fn checked_target(&self) -> Result<String, Error> {
        match &self.target {
            Target::Pod(pod) if is_name(&pod.namespace) && is_name(&pod.pod) => Ok(pod.path_and_query()),
            Target::Pod(_) => Err(misuse("a namespace or a pod that cannot be a name in a path")),
            Target::PathAndQuery(target) if is_target(target) => Ok(target.clone()),
            Target::PathAndQuery(_) => Err(misuse("a path and query that is not percent-encoded")),
        }
    }

    /// The value of `Sec-WebSocket-Protocol`: all offers in one line, for a real server looks at no other (UPG-2).
    fn protocols(&self) -> Result<Option<String>, Error> {
        let mut line = String::new();
        for offer in self.offers.iter().filter(|offer| **offer != Subprotocol::Unnamed) {
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
        || [header::HOST, header::UPGRADE, header::CONNECTION].contains(name)
        || [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::TE, header::TRAILER].contains(name)
        || *name == header::EXPECT
}

/// What [`encode`](UpgradeRequest::encode) says for these 16 random bytes, and the `Sec-WebSocket-Accept` to expect.
pub(super) fn encode_with_nonce(request: &UpgradeRequest, nonce: [u8; 16]) -> Result<(Bytes, String), Error> {
    let key = key::key(nonce);
    Ok((request.encode(&key)?, key::accept(key.as_bytes())))
}
