//! An HTTP/1.1 head, found in input of any granularity and read.

use bytes::{Buf, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    header::AsHeaderName,
};

use crate::{
    error::{Error, ErrorKind, HeadViolation},
    limits::Limits,
    subprotocol::Transport,
};

/// The header that offers versions over SPDY, a line for each, and names the chosen one (UPG-20).
pub(super) const STREAM_VERSION: &str = "x-stream-protocol-version";

/// The header in which a server that knows none of the offered versions lists its own, a line for each (UPG-23).
pub(super) const ACCEPTED_VERSIONS: &str = "x-accepted-stream-protocol-versions";

/// Finds the end of a head and hands it to the parser. Every byte is looked at once by the search and once by the
/// parser, however small the pieces are that it comes in. Caps hold before anything is allocated.
#[derive(Debug, Clone)]
pub(super) struct HeadReader {
    expected: Expected,
    /// Bytes that all heads of one answer may have together, so that interim ones cannot go on forever.
    limit: usize,
    line_limit: usize,
    /// Bytes of the peer's stream before the head being read.
    base: u64,
    /// Bytes of the current head that were searched.
    searched: usize,
    /// Where the line in progress began.
    line_start: usize,
    /// Lines that are not blank, the first line included.
    lines: usize,
}

#[derive(Debug, Clone, Copy)]
enum Expected {
    Request,
    Response,
}

impl HeadReader {
    pub(super) fn for_request(limits: &Limits) -> Self {
        Self::new(Expected::Request, limits)
    }

    pub(super) fn for_response(limits: &Limits) -> Self {
        Self::new(Expected::Response, limits)
    }

    fn new(expected: Expected, limits: &Limits) -> Self {
        let (limit, line_limit) = (limits.head, limits.header_lines);
        Self { expected, limit, line_limit, base: 0, searched: 0, line_start: 0, lines: 0 }
    }

    /// Takes a response's head out of `input` once it is whole.
    pub(super) fn response(&mut self, input: &mut BytesMut) -> Result<Option<Response<()>>, Error> {
        self.read(input, parse_response)
    }

    /// Takes a request's head out of `input` once it is whole.
    pub(super) fn request(&mut self, input: &mut BytesMut) -> Result<Option<Request<()>>, Error> {
        self.read(input, parse_request)
    }

    /// The offset of the head in progress in the peer's stream.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Whether something of the head in progress has come.
    pub(super) fn is_inside(&self) -> bool {
        self.searched > 0
    }

    /// The error for a stream that ends here.
    pub(super) fn truncated(&self) -> Error {
        Error::at(self.base + self.searched as u64, HeadViolation::Truncated)
    }

    fn read<T>(
        &mut self,
        input: &mut BytesMut,
        parse: fn(&[u8], usize) -> Result<T, ErrorKind>,
    ) -> Result<Option<T>, Error> {
        let Some(end) = self.find_end(input)? else {
            return Ok(None);
        };
        let head = parse(&input[..end], self.lines).map_err(|kind| Error::at(self.base, kind))?;
        input.advance(end);
        self.base += end as u64;
        (self.searched, self.line_start, self.lines) = (0, 0, 0);
        Ok(Some(head))
    }

    /// The index after the blank line. Lines end with LF, before which a CR is dropped (RFC 9112 §2.2); blank lines
    /// before the first line are part of the head, and skipped by the parser.
    fn find_end(&mut self, input: &[u8]) -> Result<Option<usize>, Error> {
        let budget = self.limit.saturating_sub(usize::try_from(self.base).unwrap_or(usize::MAX));
        let window = &input[..input.len().min(budget)];
        while let Some(&byte) = window.get(self.searched) {
            let at = self.searched;
            if byte != b'\n' {
                if self.lines == 0 && !self.expected.may_have(byte, at - self.line_start) {
                    return Err(Error::at(self.base + at as u64, HeadViolation::Syntax));
                }
                self.searched += 1;
                continue;
            }
            let blank = matches!(window[self.line_start..at], [] | [b'\r']);
            if blank && self.lines > 0 {
                return Ok(Some(at + 1));
            }
            // The line limit counts header lines; the first line is none.
            if !blank && self.lines > self.line_limit {
                return Err(self.over("header_lines: lines of an HTTP head", self.line_limit));
            }
            self.lines += usize::from(!blank);
            self.searched += 1;
            self.line_start = self.searched;
        }
        if self.searched == budget {
            return Err(self.over("head: bytes of HTTP heads", self.limit));
        }
        Ok(None)
    }

    fn over(&self, what: &'static str, limit: usize) -> Error {
        Error::at(self.base + self.searched as u64, ErrorKind::Limit { what, limit: limit as u64 })
    }
}

impl Expected {
    /// Whether `byte` may stand at `index` of the first line. It tells at once what could never become a head (TLS on a
    /// plain connection, another protocol), where waiting for its blank line would last forever.
    fn may_have(self, byte: u8, index: usize) -> bool {
        match self {
            _ if byte == b'\r' && index == 0 => true,
            Self::Request => index > 0 || byte.is_ascii_graphic(),
            Self::Response => b"HTTP/".get(index).is_none_or(|expected| *expected == byte),
        }
    }
}

fn parse_response(head: &[u8], lines: usize) -> Result<Response<()>, ErrorKind> {
    let mut headers = vec![httparse::EMPTY_HEADER; lines];
    let mut parsed = httparse::Response::new(&mut headers);
    let whole = parsed.parse(head).map_err(violation)?.is_complete();
    let (true, Some(code), Some(version)) = (whole, parsed.code, parsed.version) else {
        return Err(HeadViolation::Syntax.into());
    };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(code).map_err(|_| HeadViolation::Syntax)?;
    *response.version_mut() = http_version(version);
    *response.headers_mut() = header_map(parsed.headers)?;
    Ok(response)
}

fn parse_request(head: &[u8], lines: usize) -> Result<Request<()>, ErrorKind> {
    let mut headers = vec![httparse::EMPTY_HEADER; lines];
    let mut parsed = httparse::Request::new(&mut headers);
    let whole = parsed.parse(head).map_err(violation)?.is_complete();
    let (true, Some(method), Some(target), Some(version)) =
        (whole, parsed.method, parsed.path, parsed.version)
    else {
        return Err(HeadViolation::Syntax.into());
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| HeadViolation::Syntax)?;
    *request.uri_mut() = Uri::try_from(target).map_err(|_| HeadViolation::Syntax)?;
    *request.version_mut() = http_version(version);
    *request.headers_mut() = header_map(parsed.headers)?;
    Ok(request)
}

fn violation(error: httparse::Error) -> HeadViolation {
    match error {
        httparse::Error::Version => HeadViolation::Version,
        _ => HeadViolation::Syntax,
    }
}

/// httparse knows 1.0 and 1.1, as 0 and 1.
fn http_version(minor: u8) -> Version {
    if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 }
}

fn header_map(headers: &[httparse::Header<'_>]) -> Result<HeaderMap, ErrorKind> {
    let mut map = HeaderMap::new();
    for line in headers {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| HeadViolation::Syntax)?;
        let mut value = HeaderValue::from_bytes(line.value).map_err(|_| HeadViolation::Syntax)?;
        value.set_sensitive(is_secret(&name));
        // Only a `header_lines` beyond what `http` can hold, 32,768, gets here.
        map.try_append(name, value).map_err(|_| HeadViolation::Syntax)?;
    }
    Ok(map)
}

/// Whether a header can carry a credential, and its value must not show in `Debug`. Offers can: a bearer token may be one.
fn is_secret(name: &HeaderName) -> bool {
    let secret = [
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::COOKIE,
        header::SET_COOKIE,
        header::SEC_WEBSOCKET_PROTOCOL,
    ];
    secret.contains(name)
}

/// Keeps what can carry a credential out of `Debug`.
pub(super) fn mark_secrets(headers: &mut HeaderMap) {
    for (name, value) in headers {
        value.set_sensitive(value.is_sensitive() || is_secret(name));
    }
}

/// The items of a comma-separated header, all its lines together, in order and without the empty ones (RFC 9110
/// §5.6.1). A line that is not visible ASCII has none.
pub(super) fn list<N: AsHeaderName>(headers: &HeaderMap, name: N) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|item| item.trim_matches([' ', '\t']))
        .filter(|item| !item.is_empty())
}

/// The value of a header that must come in exactly one line.
pub(super) fn single(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(name).into_iter();
    let line = lines.next()?;
    lines.next().is_none().then_some(line)
}

/// Whether these headers ask for, or grant, this upgrade (RFC 6455 §4.1, §4.2.1; UPG-20).
pub(super) fn names_upgrade(headers: &HeaderMap, transport: Transport) -> bool {
    let protocol = match transport {
        Transport::WebSocket => "websocket",
        Transport::Spdy => "SPDY/3.1",
    };
    single(headers, header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(protocol.as_bytes()))
        && list(headers, header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}
