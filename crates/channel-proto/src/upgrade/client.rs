//! The client's side of an upgrade.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Version, header};

use super::{
    Refusal, UpgradeRequest,
    body::{BodyEnd, BodyReader},
    head::{HeadReader, STREAM_VERSION, names_upgrade, single},
    key,
    offer::Asked,
};
use crate::{
    error::{Error, ErrorKind, HeadViolation},
    limits::Limits,
    subprotocol::{Subprotocol, Transport},
};

/// Asks a server for a WebSocket or for SPDY, and judges its answer.
///
/// * output: [`transmit`](Self::transmit), the request to write;
/// * input: [`handle_input`](Self::handle_input) with what was read, until it returns something other than `Ok(None)`;
///   [`handle_eof`](Self::handle_eof) when there is no more.
///
/// Where somebody else's HTTP client sends requests and reads answers, [`http_request`](Self::http_request) is in the place of the one,
/// and [`handle_response`](Self::handle_response) of the other.
///
/// An error sticks: every later call returns it again.
#[derive(Debug)]
pub struct ClientUpgrade {
    request: Bytes,
    accept_key: String,
    asked: Asked,
    head: HeadReader,
    limits: Limits,
    state: State,
}

/// The answer that makes the connection a WebSocket, or one of SPDY.
#[derive(Debug)]
#[non_exhaustive]
pub struct Upgraded {
    /// What was asked for, and now is.
    pub transport: Transport,
    /// What the server chose.
    pub subprotocol: Subprotocol,
    /// The 101, checked.
    pub response: Response<()>,
}

/// Why there is no upgrade.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The server answered, and said no.
    Refused(Box<Refusal>),
    /// There is no answer that can be used.
    Failed(Error),
}

#[derive(Debug)]
enum State {
    AwaitHead,
    AwaitBody { head: Response<()>, body: BodyReader },
    Upgraded,
    Failed(UpgradeError),
}

impl ClientUpgrade {
    /// `nonce` is 16 bytes of fresh randomness for `Sec-WebSocket-Key` (UPG-1). SPDY has no use for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misuse`] for a request that cannot be written: its authority, paths or names are not valid, a header is
    /// one that the handshake writes itself, a bearer token is to travel as the only subprotocol or over SPDY, what is
    /// offered cannot be spoken there (see [`Subprotocol`]), or a port-forward in channels has no ports.
    pub fn new(request: &UpgradeRequest, nonce: [u8; 16], limits: &Limits) -> Result<Self, Error> {
        let (asked, key) = (request.asked(), key::key(nonce));
        Ok(Self {
            request: request.encode(&asked, &key)?,
            accept_key: key::accept(key.as_bytes()),
            asked,
            head: HeadReader::for_response(limits),
            limits: limits.clone(),
            state: State::AwaitHead,
        })
    }

    /// The bytes of the request that are still to be written; the caller advances.
    #[must_use]
    pub fn transmit(&mut self) -> &mut Bytes {
        &mut self.request
    }

    /// Takes what it can of the answer out of `input`. What follows the answer stays there: after success it is the
    /// session's (UPG-16), after a refusal nobody's.
    ///
    /// # Errors
    ///
    /// [`UpgradeError::Refused`] once a refusal is whole, or as long as it may be; [`UpgradeError::Failed`] for an answer
    /// that breaks HTTP, the handshake (UPG-14, UPG-15, UPG-21) or a limit.
    pub fn handle_input(&mut self, input: &mut BytesMut) -> Result<Option<Upgraded>, UpgradeError> {
        let result = self.advance(input);
        match &result {
            Ok(None) => {}
            Ok(Some(_)) => self.state = State::Upgraded,
            Err(error) => self.state = State::Failed(error.clone()),
        }
        result
    }

    /// The connection ended, or the caller will wait no longer: what there is of an answer is all there will be.
    ///
    /// A refusal whose body ends with the connection is complete; any other is marked as [cut](BodyEnd::Cut).
    #[must_use]
    pub fn handle_eof(&mut self) -> UpgradeError {
        let error = match &mut self.state {
            State::AwaitHead => self.head.truncated().into(),
            State::AwaitBody { head, body } => refused(head, body, body.handle_eof(), &self.asked),
            State::Upgraded => already_upgraded(),
            State::Failed(error) => error.clone(),
        };
        self.state = State::Failed(error.clone());
        error
    }

    /// The request, for an HTTP client that knows the server: with a path and query alone, and no `Host`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misuse`] when the request was written already, and for one that `http` cannot hold.
    pub fn http_request(&self) -> Result<Request<()>, Error> {
        let misuse = || Error::from(ErrorKind::Misuse("a request that is written, or that http cannot hold"));
        let mut bytes = BytesMut::from(&self.request[..]);
        // It is ours: no cap for what a peer sends is meant for it.
        let limits = Limits { head: usize::MAX, header_lines: usize::MAX, ..self.limits.clone() };
        let read = HeadReader::for_request(&limits).request(&mut bytes);
        let mut request = read.ok().flatten().ok_or_else(misuse)?;
        request.headers_mut().remove(header::HOST);
        Ok(request)
    }

    /// Judges the answer that an HTTP client read: a 101, or another with as much of its body as `limits.refusal_body` allows, and
    /// how that ended.
    ///
    /// # Errors
    ///
    /// Those of [`handle_input`](Self::handle_input).
    pub fn handle_response(
        &mut self,
        response: Response<Bytes>,
        end: BodyEnd,
    ) -> Result<Upgraded, UpgradeError> {
        match &self.state {
            State::AwaitHead => {}
            State::Failed(error) => return Err(error.clone()),
            State::AwaitBody { .. } | State::Upgraded => return Err(already_upgraded()),
        }
        let (head, mut body) = response.into_parts();
        let head = Response::from_parts(head, ());
        let over = body.len() > self.limits.refusal_body;
        body.truncate(self.limits.refusal_body);
        let end = if over { BodyEnd::OverLimit } else { end };
        let result = match head.status() {
            StatusCode::SWITCHING_PROTOCOLS => self.switched(head, 0),
            _ => Err(Refusal::new(head, body, end, self.asked.clone()).into()),
        };
        self.state = match &result {
            Ok(_) => State::Upgraded,
            Err(error) => State::Failed(error.clone()),
        };
        result
    }

    fn switched(&self, response: Response<()>, at: u64) -> Result<Upgraded, UpgradeError> {
        let subprotocol = self.check(&response).map_err(|violation| Error::at(at, violation))?;
        Ok(Upgraded { transport: self.asked.transport, subprotocol, response })
    }

    fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Upgraded>, UpgradeError> {
        while let State::AwaitHead = self.state {
            let at = self.head.base();
            let Some(head) = self.head.response(input)? else {
                return Ok(None);
            };
            match head.status() {
                StatusCode::SWITCHING_PROTOCOLS => return self.switched(head, at).map(Some),
                // 100, 103 and whatever else announces the real answer (RFC 9110 §15.2).
                status if status.is_informational() => {}
                _ => {
                    let body = BodyReader::new(&head, self.limits.refusal_body, self.limits.head);
                    self.state = State::AwaitBody { head, body };
                }
            }
        }
        match &mut self.state {
            State::AwaitBody { head, body } => match body.handle_input(input) {
                Some(end) => Err(refused(head, body, end, &self.asked)),
                None => Ok(None),
            },
            State::Failed(error) => Err(error.clone()),
            State::AwaitHead | State::Upgraded => Err(already_upgraded()),
        }
    }

    /// The checks on a 101 (UPG-14, UPG-21), and what it chose.
    fn check(&self, head: &Response<()>) -> Result<Subprotocol, HeadViolation> {
        if head.version() != Version::HTTP_11 {
            return Err(HeadViolation::Version);
        }
        if !names_upgrade(head.headers(), self.asked.transport) {
            return Err(HeadViolation::NotUpgrade);
        }
        let chosen = match self.asked.transport {
            Transport::WebSocket => {
                self.check_websocket(head.headers())?;
                self.chosen(head.headers(), header::SEC_WEBSOCKET_PROTOCOL)
            }
            Transport::Spdy => self.chosen(head.headers(), HeaderName::from_static(STREAM_VERSION)),
        };
        chosen.ok_or(HeadViolation::Subprotocol)
    }

    /// What RFC 6455 §4.1 asks of a 101 besides.
    fn check_websocket(&self, headers: &HeaderMap) -> Result<(), HeadViolation> {
        let answer = single(headers, header::SEC_WEBSOCKET_ACCEPT);
        if answer.is_none_or(|answer| answer.as_bytes() != self.accept_key.as_bytes()) {
            return Err(HeadViolation::AcceptKey);
        }
        if headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter().any(|line| !line.is_empty()) {
            return Err(HeadViolation::Extension);
        }
        Ok(())
    }

    /// What the server chose, if it may (UPG-15, UPG-21). RFC 6455 would let it choose nothing of what was offered; that would turn a
    /// session with exit codes silently into one without. Real servers do so only where nothing was offered, with an
    /// empty header line (UPG-9); over SPDY there is always something offered.
    fn chosen(&self, headers: &HeaderMap, line: HeaderName) -> Option<Subprotocol> {
        let name = match headers.contains_key(&line) {
            true => single(headers, line)?.to_str().ok()?,
            false => "",
        };
        let offers = &self.asked.offers;
        if name.is_empty() {
            let may = offers.is_empty() || offers.contains(&Subprotocol::Unnamed);
            return may.then_some(Subprotocol::Unnamed);
        }
        Subprotocol::named(name, offers)
    }
}

/// Moves a refusal out of the state, which an error replaces at once.
fn refused(head: &mut Response<()>, body: &mut BodyReader, end: BodyEnd, asked: &Asked) -> UpgradeError {
    Refusal::new(std::mem::take(head), body.take_body(), end, asked.clone()).into()
}

fn already_upgraded() -> UpgradeError {
    Error::from(ErrorKind::Misuse("an upgrade that is done takes no more input")).into()
}

impl From<Refusal> for UpgradeError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<Error> for UpgradeError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "the upgrade was refused: {refusal}"),
            Self::Failed(error) => write!(f, "the upgrade failed: {error}"),
        }
    }
}

impl std::error::Error for UpgradeError {}
