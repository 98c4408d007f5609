//! What a server says when it does not upgrade, and what a client can make of it.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;

use super::BodyEnd;
use crate::{status::Status, subprotocol::Subprotocol};

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
    /// What was offered.
    pub offered: Vec<Subprotocol>,
    status_object: Option<Box<Status>>,
}

/// What else a client can try after a [`Refusal`] (UPG-19).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fallback {
    /// Offer an older subprotocol, `v4.channel.k8s.io`: container runtimes and clusters before 1.30 do not know v5.
    OlderSubprotocol,
    /// This server, or what stands before it, does no exec or attach over WebSocket. A client that speaks SPDY can try that;
    /// this crate does not.
    Spdy,
}

impl Refusal {
    pub(super) fn new(head: Response<()>, body: Bytes, body_end: BodyEnd, offered: Vec<Subprotocol>) -> Self {
        let (head, ()) = head.into_parts();
        let status_object = parse_status(&body);
        Self { status: head.status, headers: head.headers, body, body_end, offered, status_object }
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

    /// What may succeed where this failed (UPG-19): an older subprotocol if v5 was all that was offered, else SPDY.
    ///
    /// | answer | fallback |
    /// |---|---|
    /// | a `metav1.Status`, whatever its code | none: the API server understood, and says what is wrong |
    /// | 403 without a body | yes: the server knows none of the offers (UPG-8) |
    /// | 400, or 403 with a text | if v5 was all that was offered: it may be a container runtime that does not know it |
    /// | any other | none |
    pub fn fallback(&self) -> Option<Fallback> {
        let mut named = self.offered.iter().filter(|offer| **offer != Subprotocol::Unnamed).peekable();
        let only_v5 = named.peek().is_some() && named.all(|offer| *offer == Subprotocol::V5);
        match self.status {
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN if self.status_object.is_some() => None,
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN if only_v5 => Some(Fallback::OlderSubprotocol),
            StatusCode::FORBIDDEN if self.body.is_empty() => Some(Fallback::Spdy),
            _ => None,
        }
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
        (self.status == StatusCode::FORBIDDEN && misses_verb).then_some(HINT)
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
