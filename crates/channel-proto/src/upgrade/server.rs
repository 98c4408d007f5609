//! The server's side of an upgrade.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};

use super::{
    head::{HeadReader, list, names_websocket, single},
    key,
    respond::{respond, status_response, text_response},
};
use crate::{
    error::{Error, ErrorKind, HeadViolation},
    limits::Limits,
    request::{PodRequest, RequestError},
    status::Status,
    subprotocol::{BearerToken, Subprotocol},
};

/// Reads one request head.
///
/// [`handle_input`](Self::handle_input) with what was read, until it returns something other than `Ok(None)`;
/// [`handle_eof`](Self::handle_eof) when there is no more. An error sticks.
#[derive(Debug)]
pub struct ServerUpgrade {
    head: HeadReader,
    state: State,
}

#[derive(Debug)]
enum State {
    AwaitHead,
    Done,
    Failed(Error),
}

/// A request that came: an upgrade to be [accepted](Self::accept) or refused, or any other that the caller may answer
/// with [`respond`](super::respond).
#[derive(Debug, Clone)]
pub struct Incoming {
    request: Request<()>,
}

/// An upgrade that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// What was chosen.
    pub subprotocol: Subprotocol,
    /// The 101, to be written before anything else.
    pub head: Bytes,
}

/// A request claims a bearer token that cannot be one. To be answered with 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidBearer;

impl ServerUpgrade {
    /// For one connection.
    pub fn new(limits: &Limits) -> Self {
        Self { head: HeadReader::for_request(limits), state: State::AwaitHead }
    }

    /// Takes a request's head out of `input` once it is whole. What follows stays there: frames of a client that is in a
    /// hurry (UPG-16), or the body of a request that has one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Head`] and [`ErrorKind::Limit`] for what cannot be read, to be answered with
    /// [`answer_to`](Self::answer_to); [`ErrorKind::Misuse`] after a request was returned.
    pub fn handle_input(&mut self, input: &mut BytesMut) -> Result<Option<Incoming>, Error> {
        match &self.state {
            State::AwaitHead => {}
            State::Done => {
                return Err(ErrorKind::Misuse("a request that was returned takes no more input").into());
            }
            State::Failed(error) => return Err(error.clone()),
        }
        let result = self.head.request(input);
        match &result {
            Ok(None) => {}
            Ok(Some(_)) => self.state = State::Done,
            Err(error) => self.state = State::Failed(error.clone()),
        }
        Ok(result?.map(|request| Incoming { request }))
    }

    /// The connection ended. Before the first byte of a request that is normal.
    ///
    /// # Errors
    ///
    /// [`HeadViolation::Truncated`] inside a head, or the error that was returned before.
    pub fn handle_eof(&mut self) -> Result<(), Error> {
        match &self.state {
            State::AwaitHead if self.head.is_inside() => {
                let error = self.head.truncated();
                self.state = State::Failed(error.clone());
                Err(error)
            }
            State::AwaitHead | State::Done => Ok(()),
            State::Failed(error) => Err(error.clone()),
        }
    }

    /// The answer to a request that could not be read: 431, 505 or 400.
    #[must_use]
    pub fn answer_to(error: &Error) -> Bytes {
        let status = match error.kind() {
            ErrorKind::Limit { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            ErrorKind::Head(HeadViolation::Version) => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            _ => StatusCode::BAD_REQUEST,
        };
        respond(text_response(status, error.kind().to_string()))
    }
}

impl Incoming {
    /// The request as it came. `Debug` does not show its credentials.
    pub fn request(&self) -> &Request<()> {
        &self.request
    }

    /// What to do in which pod; `None` for any other path.
    ///
    /// # Errors
    ///
    /// [`RequestError`], to be answered with 400 and its text.
    pub fn pod_request(&self) -> Result<Option<PodRequest>, RequestError> {
        PodRequest::parse(self.request.uri())
    }

    /// Whether this asks for a WebSocket. An HTTP/1.0 request never does (RFC 9110 §7.8).
    pub fn is_websocket_upgrade(&self) -> bool {
        self.request.version() == Version::HTTP_11 && names_websocket(self.headers())
    }

    /// The names offered as subprotocols, in order, all header lines together, without the bearer token among them (UPG-10).
    pub fn offers(&self) -> impl Iterator<Item = &str> {
        self.protocols().filter(|name| !BearerToken::is_subprotocol(name))
    }

    /// The bearer token, from the `Authorization` header or else, on an upgrade, from among the subprotocols (UPG-11,
    /// UPG-12). `None` is a request without one: another authorization scheme counts as that.
    ///
    /// # Errors
    ///
    /// [`InvalidBearer`] for two `Authorization` lines, and for a subprotocol that is not unpadded base64url of UTF-8, is
    /// empty, comes twice, or has no real subprotocol beside it.
    pub fn bearer(&self) -> Result<Option<BearerToken>, InvalidBearer> {
        let headers = self.headers();
        if headers.contains_key(header::AUTHORIZATION) {
            let line = single(headers, header::AUTHORIZATION).and_then(|line| line.to_str().ok());
            if let Some(token) = bearer_of(line.ok_or(InvalidBearer)?) {
                return Ok(Some(token));
            }
        }
        let mut tokens = self.protocols().filter(|name| BearerToken::is_subprotocol(name));
        let (Some(name), true) = (tokens.next(), self.is_websocket_upgrade()) else {
            return Ok(None);
        };
        if tokens.next().is_some() || self.offers().next().is_none() {
            return Err(InvalidBearer);
        }
        let token = BearerToken::from_subprotocol(name).ok_or(InvalidBearer)?;
        if token.secret().is_empty() { Err(InvalidBearer) } else { Ok(Some(token)) }
    }

    /// Judges the upgrade as the real server does, in its order, and chooses the subprotocol: v5 wherever it stands, else the
    /// first of the client's that is `supported` (UPG-6); without an offer [`Unnamed`](Subprotocol::Unnamed), if that is supported.
    ///
    /// Who asks is not judged here: authenticate first, so that a bad token is a 401 whatever else is wrong.
    ///
    /// # Errors
    ///
    /// The refusal to be written with [`respond`](super::respond):
    ///
    /// | status | body | for |
    /// |---|---|---|
    /// | 400 | Status `Upgrade request required` | no upgrade at all, or one to SPDY |
    /// | 405 | `bad method` | another method than GET (UPG-3) |
    /// | 400 | `mismatch challenge/response` | no key, or one that is not 16 bytes in base64 (UPG-5) |
    /// | 400 | `missing or bad WebSocket Version` | another version than 13 (UPG-4) |
    /// | 400 | `an upgrade request cannot have a body` | a body, whose bytes would be taken for frames |
    /// | 403 | empty | no subprotocol in common (UPG-8) |
    pub fn accept(&self, supported: &[Subprotocol]) -> Result<Accepted, Box<Response<Bytes>>> {
        self.judge(supported).map_err(Box::new)
    }

    #[allow(clippy::result_large_err)] // Boxed where it leaves.
    fn judge(&self, supported: &[Subprotocol]) -> Result<Accepted, Response<Bytes>> {
        if !self.is_websocket_upgrade() {
            let status = Status::refusal(400, "BadRequest", "Upgrade request required");
            return Err(status_response(&status));
        }
        if self.request.method() != Method::GET {
            let mut refusal = text_response(StatusCode::METHOD_NOT_ALLOWED, "bad method");
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
            return Err(refusal);
        }
        let headers = self.headers();
        let key = single(headers, header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let Some(key) = key.filter(|key| key::is_key(key)) else {
            return Err(text_response(StatusCode::BAD_REQUEST, "mismatch challenge/response"));
        };
        if single(headers, header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            let mut refusal = text_response(StatusCode::BAD_REQUEST, "missing or bad WebSocket Version");
            refusal.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return Err(refusal);
        }
        if has_body(headers) {
            return Err(text_response(StatusCode::BAD_REQUEST, "an upgrade request cannot have a body"));
        }
        match self.choose(supported) {
            Some(subprotocol) => Ok(Accepted { subprotocol, head: switching(key, subprotocol) }),
            None => Err(text_response(StatusCode::FORBIDDEN, "")),
        }
    }

    fn choose(&self, supported: &[Subprotocol]) -> Option<Subprotocol> {
        // A client that offers nothing but a token offers something: it must not be taken for one that offers nothing.
        if self.protocols().next().is_none() {
            return supported.contains(&Subprotocol::Unnamed).then_some(Subprotocol::Unnamed);
        }
        let is_supported =
            |name: &&str| Subprotocol::from_name(name).is_some_and(|offer| supported.contains(&offer));
        Subprotocol::choose(self.offers().filter(is_supported))
            .filter(|chosen| *chosen != Subprotocol::Unnamed)
    }

    fn protocols(&self) -> impl Iterator<Item = &str> {
        list(self.headers(), header::SEC_WEBSOCKET_PROTOCOL)
    }

    fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }
}

/// The 101. The real server answers "nothing offered" (UPG-9) with an empty `Sec-WebSocket-Protocol` line; we send none, because
/// RFC 6455 §11.3.4 has no empty value, and browsers fail a connection that answers what they did not ask.
fn switching(key: &[u8], subprotocol: Subprotocol) -> Bytes {
    let protocol = match subprotocol {
        Subprotocol::Unnamed => String::new(),
        named => format!("Sec-WebSocket-Protocol: {named}\r\n"),
    };
    let accept = key::accept(key);
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
    );
    head.into()
}

/// The token in an `Authorization` value, as the API server splits it: the scheme in any case, then the second word.
fn bearer_of(value: &str) -> Option<BearerToken> {
    let mut words = value.trim().split(' ');
    let is_bearer = words.next()?.eq_ignore_ascii_case("bearer");
    let token = words.next().filter(|token| is_bearer && !token.is_empty())?;
    Some(BearerToken::new(token))
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get_all(header::CONTENT_LENGTH).iter().any(|length| length != "0")
}

impl fmt::Display for InvalidBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bearer token is not valid")
    }
}

impl std::error::Error for InvalidBearer {}
