//! What a server says when it does not upgrade, and what a client can make of it.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;

use super::{
    BodyEnd,
    head::{ACCEPTED_VERSIONS, list},
    offer::Asked,
};
use crate::{
    status::Status,
    subprotocol::{Service, Subprotocol, Transport},
};

/// An answer other than 101.
///
/// Its `Display` is one line for people: `403 Forbidden: pods "bb" is forbidden: …`, without control characters,
/// whatever the server sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Refusal {
    /// The status code; any but a 1xx. What is not 101 is no success, a 200 neither.
    pub status: StatusCode,
    /// The header lines.
    pub headers: HeaderMap,
    /// The body, at most `limits.refusal_body` bytes of it.
    pub body: Bytes,
    /// Whether the body is whole.
    pub body_end: BodyEnd,
    /// What was asked for.
    pub service: Service,
    /// What it was to be upgraded to.
    pub transport: Transport,
    /// What was offered.
    pub offered: Vec<Subprotocol>,
    status_object: Option<Box<Status>>,
}

/// What else a client can try after a [`Refusal`] (UPG-19, UPG-27).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fallback {
    /// Offer an older subprotocol, `v4.channel.k8s.io`: container runtimes and clusters before 1.30 do not know v5.
    OlderSubprotocol,
    /// Ask for SPDY: this server, or what stands before it, does no exec or attach over WebSocket, or no tunnel.
    Spdy,
    /// Ask for a port-forward in WebSocket channels, `v4.channel.k8s.io`, for which the ports must be known in advance: this
    /// server, or what stands before it, does no SPDY.
    Channels,
}

impl Refusal {
    pub(super) fn new(head: Response<()>, body: Bytes, body_end: BodyEnd, asked: Asked) -> Self {
        let (head, ()) = head.into_parts();
        let Asked { service, transport, offers: offered } = asked;
        let status_object = parse_status(&body);
        let (status, headers) = (head.status, head.headers);
        Self { status, headers, body, body_end, service, transport, offered, status_object }
    }

    /// The versions that the server has, as it lists them when it refuses SPDY for want of a common one (UPG-23); else none.
    pub fn accepted_versions(&self) -> impl Iterator<Item = &str> {
        list(&self.headers, ACCEPTED_VERSIONS)
    }

    /// The `metav1.Status` in the body, if it is one.
    pub fn status_object(&self) -> Option<&Status> {
        self.status_object.as_deref()
    }

    /// What the server says (UPG-18): the message of its Status, or else the body as text; empty if there is none.
    pub fn message(&self) -> Cow<'_, str> {
        match &self.status_object {
            Some(status) if !status.message.is_empty() => Cow::Borrowed(&status.message),
            Some(status) => Cow::Borrowed(&status.reason),
            None => match String::from_utf8_lossy(&self.body) {
                Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
                Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
            },
        }
    }

    /// What may succeed where this failed (UPG-19, UPG-27). An exec or attach goes from v5 to v4 to SPDY, a port-forward from the
    /// tunnel to SPDY to channels:
    ///
    /// | asked for | answer without a `metav1.Status` | fallback |
    /// |---|---|---|
    /// | exec or attach, WebSocket, v5 only | 400 or 403 | older subprotocol: it may be a container runtime that does not know v5 |
    /// | exec or attach, WebSocket, others | 403 without a body | SPDY: the server knows none of the offers (UPG-8) |
    /// | exec or attach, SPDY, v5 only | 403 that lists other versions (UPG-23) | older subprotocol |
    /// | port-forward, the tunnel | 400 or 403 | SPDY: the server does not know the tunnel, and may miss the ports (PFW-2) |
    /// | port-forward, SPDY | 400, 403 or 405 | channels: the server does no SPDY, or takes no POST |
    /// | port-forward, channels only | any | none: there is nothing left |
    ///
    /// A `metav1.Status` means none, whatever its code: the API server understood, and says what is wrong. There is one exception. To a
    /// port-forward over SPDY it says `Upgrade request required` when a proxy dropped the upgrade; a WebSocket may
    /// pass there.
    pub fn fallback(&self) -> Option<Fallback> {
        let understood = self.status_object.is_some() && !self.lost_on_its_way();
        let (bad, forbidden) = (self.status == StatusCode::BAD_REQUEST, self.status == StatusCode::FORBIDDEN);
        match (self.service, self.transport) {
            _ if understood => None,
            (Service::RemoteCommand, Transport::WebSocket) if self.offered_only(Subprotocol::V5) => {
                (bad || forbidden).then_some(Fallback::OlderSubprotocol)
            }
            (Service::RemoteCommand, Transport::WebSocket) => {
                (forbidden && self.body.is_empty()).then_some(Fallback::Spdy)
            }
            (Service::RemoteCommand, Transport::Spdy) => {
                let older = self.accepted_versions().any(|version| version == Subprotocol::V4.name());
                (forbidden && older && self.offered_only(Subprotocol::V5))
                    .then_some(Fallback::OlderSubprotocol)
            }
            (Service::PortForward, Transport::WebSocket) => {
                let tunnel = self.offered.contains(&Subprotocol::Tunnel);
                (tunnel && (bad || forbidden)).then_some(Fallback::Spdy)
            }
            (Service::PortForward, Transport::Spdy) => {
                let no_post = self.status == StatusCode::METHOD_NOT_ALLOWED;
                (bad || forbidden || no_post).then_some(Fallback::Channels)
            }
        }
    }

    fn offered_only(&self, subprotocol: Subprotocol) -> bool {
        let mut named = self.offered.iter().filter(|offer| **offer != Subprotocol::Unnamed).peekable();
        named.peek().is_some() && named.all(|offer| *offer == subprotocol)
    }

    /// Whether the server saw no upgrade in a port-forward over SPDY, in the words of kube-apiserver.
    fn lost_on_its_way(&self) -> bool {
        let forward = (self.service, self.transport) == (Service::PortForward, Transport::Spdy);
        forward && self.status == StatusCode::BAD_REQUEST && self.message() == "Upgrade request required"
    }

    /// The permission that a 403 most likely misses: before Kubernetes 1.35 `get` alone was asked for.
    fn hint(&self) -> Option<&'static str> {
        const HINT: &str = "exec and attach over WebSocket need the verb \"get\" and, from Kubernetes 1.35 on, \
                            also \"create\" on pods/exec and pods/attach";
        let message = self.message();
        let misses_verb = ["get", "create"].into_iter().any(|verb| {
            ["exec", "attach"].into_iter().any(|subresource| {
                message.contains(&format!("cannot {verb} resource \"pods/{subresource}\""))
            })
        });
        let websocket = self.transport == Transport::WebSocket;
        (self.status == StatusCode::FORBIDDEN && websocket && misses_verb).then_some(HINT)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        if let Some(reason) = self.status.canonical_reason() {
            write!(f, " {reason}")?;
        }
        let message = self.message();
        if message.is_empty() {
            f.write_str(", and no reason given; offered: ")?;
            list_offers(f, &self.offered)?;
        } else {
            f.write_str(": ")?;
            write_line(f, &message)?;
        }
        f.write_str(match self.body_end {
            BodyEnd::Complete => "",
            BodyEnd::OverLimit => " (the rest of the body was dropped)",
            BodyEnd::Cut => " (the connection ended inside the body)",
            BodyEnd::Broken(_) => " (the rest of the body cannot be read)",
        })?;
        self.hint().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// The first 500 characters, white space and control characters as single spaces: a page of HTML in one line, and nothing
/// in it that a terminal obeys.
fn write_line(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    const SHOWN: usize = 500;
    let blank = |character: char| character.is_whitespace() || character.is_control();
    let words = text.split(blank).filter(|word| !word.is_empty());
    let mut left = SHOWN;
    for (index, word) in words.enumerate() {
        if index > 0 {
            f.write_str(" ")?;
        }
        match word.char_indices().nth(left) {
            Some((end, _)) => return write!(f, "{}…", &word[..end]),
            None => f.write_str(word)?,
        }
        left = left.saturating_sub(word.chars().count() + 1);
    }
    Ok(())
}

fn list_offers(f: &mut fmt::Formatter<'_>, offers: &[Subprotocol]) -> fmt::Result {
    match offers {
        [] => f.write_str("nothing"),
        [first, rest @ ..] => {
            write!(f, "{first}")?;
            rest.iter().try_for_each(|offer| write!(f, ", {offer}"))
        }
    }
}

fn parse_status(body: &[u8]) -> Option<Box<Status>> {
    #[derive(Deserialize)]
    struct Kinded {
        kind: String,
        #[serde(flatten)]
        status: Status,
    }
    // Gateways have JSON errors of their own, some with the same fields.
    let body: Kinded = serde_json::from_slice(body).ok()?;
    (body.kind == "Status").then(|| Box::new(body.status))
}
