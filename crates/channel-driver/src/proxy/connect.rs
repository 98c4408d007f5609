//! HTTP CONNECT (RFC 9110 §9.3.6).

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderValue, StatusCode};

use super::{Login, Next, ProxyProblem, Steps};
use crate::{credentials::basic, endpoint::join};

/// More header lines than any proxy sends.
const HEADERS: usize = 64;

/// More answers before the last one than any proxy has to give.
const MOST_INTERIM: u32 = 8;

pub(super) struct Connect {
    request: Option<Bytes>,
    interim: u32,
}

impl Connect {
    pub(super) fn new(login: Option<&Login>, host: &str, port: u16) -> Self {
        let authority = join(host, port);
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
        if let Some(Login { user, password }) = login {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(HeaderValue::as_bytes(&basic(user, password)));
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        Self { request: Some(request.into()), interim: 0 }
    }
}

impl Steps for Connect {
    fn next(&mut self, input: &mut BytesMut) -> Result<Next, ProxyProblem> {
        if let Some(request) = self.request.take() {
            return Ok(Next::Send(request));
        }
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS];
            let mut answer = httparse::Response::new(&mut headers);
            let parsed = answer.parse(input).map_err(|_| ProxyProblem::Protocol("its answer is not HTTP"))?;
            let httparse::Status::Complete(len) = parsed else { return Ok(Next::Read) };
            // Complete, so there is a code.
            let code = answer.code.unwrap_or_default();
            match StatusCode::from_u16(code) {
                Ok(status) if status.is_success() => {
                    input.advance(len);
                    return Ok(Next::Connected);
                }
                Ok(status) if status.is_informational() => {
                    input.advance(len);
                    self.interim += 1;
                    if self.interim > MOST_INTERIM {
                        return Err(ProxyProblem::Protocol("it answers without coming to an end"));
                    }
                }
                // 401 is what tinyproxy says to a wrong one.
                Ok(StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED) => {
                    return Err(ProxyProblem::Login);
                }
                _ => {
                    let reason = answer.reason.unwrap_or_default();
                    return Err(ProxyProblem::Refused(format!("{code} {reason}").trim_end().to_owned()));
                }
            }
        }
    }
}
