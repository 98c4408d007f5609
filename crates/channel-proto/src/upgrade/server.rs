//! The server's side of an upgrade.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, Version, header};

use super::{
    head::{HeadReader, list, mark_secrets, names_upgrade, single},
    respond::{respond, text_response},
};
use crate::{
    error::{Error, ErrorKind, HeadViolation},
    limits::Limits,
    request::{Action, PodRequest, RequestError},
    subprotocol::{BearerToken, Transport},
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
    /// The head of a request that somebody else's HTTP server read. Its body, of which an upgrade has none, is left alone.
    pub fn of<B>(request: &Request<B>) -> Self {
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        *head.version_mut() = request.version();
        *head.headers_mut() = request.headers().clone();
        mark_secrets(head.headers_mut());
        Self { request: head }
    }

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

    /// The ports of a port-forward in its path, for [`accept_port_forward`](Self::accept_port_forward); none of anything else.
    pub fn ports(&self) -> Vec<u16> {
        match self.pod_request().ok().flatten().map(|request| request.action) {
            Some(Action::PortForward { ports }) => ports,
            _ => Vec::new(),
        }
    }

    /// What this asks to be upgraded to, if anything. An HTTP/1.0 request never does (RFC 9110 §7.8).
    pub fn transport(&self) -> Option<Transport> {
        let can = self.request.version() == Version::HTTP_11;
        [Transport::WebSocket, Transport::Spdy]
            .into_iter()
            .find(|transport| can && names_upgrade(self.headers(), *transport))
    }

    /// Whether this asks for a WebSocket.
    pub fn is_websocket_upgrade(&self) -> bool {
        self.transport() == Some(Transport::WebSocket)
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

    /// Whether nothing at all is offered as a subprotocol. A client that offers nothing but a token offers something: it must not be
    /// taken for one that offers nothing.
    pub(super) fn offers_nothing(&self) -> bool {
        self.protocols().next().is_none()
    }

    fn protocols(&self) -> impl Iterator<Item = &str> {
        list(self.headers(), header::SEC_WEBSOCKET_PROTOCOL)
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }
}

/// The token in an `Authorization` value, as the API server splits it: the scheme in any case, then the second word.
fn bearer_of(value: &str) -> Option<BearerToken> {
    let mut words = value.trim().split(' ');
    let is_bearer = words.next()?.eq_ignore_ascii_case("bearer");
    let token = words.next().filter(|token| is_bearer && !token.is_empty())?;
    Some(BearerToken::new(token))
}

impl fmt::Display for InvalidBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bearer token is not valid")
    }
}

impl std::error::Error for InvalidBearer {}
