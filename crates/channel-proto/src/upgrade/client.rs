//! The client's side of an upgrade.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Response, StatusCode, Version, header};

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

    fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Upgraded>, UpgradeError> {
        while let State::AwaitHead = self.state {
            let at = self.head.base();
            let Some(head) = self.head.response(input)? else {
                return Ok(None);
            };
            match head.status() {
                StatusCode::SWITCHING_PROTOCOLS => {
                    let subprotocol = self.check(&head).map_err(|violation| Error::at(at, violation))?;
                    let transport = self.asked.transport;
                    return Ok(Some(Upgraded { transport, subprotocol, response: head }));
                }
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
    let refusal = Refusal::new(std::mem::take(head), body.take_body(), end, asked.clone());
    UpgradeError::Refused(Box::new(refusal))
}

fn already_upgraded() -> UpgradeError {
    Error::from(ErrorKind::Misuse("an upgrade that is done takes no more input")).into()
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
