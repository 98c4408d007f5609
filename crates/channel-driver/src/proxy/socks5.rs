//! SOCKS5 (RFC 1928), with a name and a password (RFC 1929) if there are such.

use std::net::IpAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Login, Next, ProxyProblem, Steps};
use crate::endpoint::dial_host;

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const BY_PASSWORD: u8 = 2;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

pub(super) struct Socks5 {
    awaits: Awaits,
    login: Option<Bytes>,
    request: Bytes,
}

/// What the proxy says next.
#[derive(Clone, Copy)]
enum Awaits {
    /// Nothing: it is ours to begin.
    Nothing,
    Method,
    LoginAnswer,
    Answer,
}

impl Socks5 {
    /// # Errors
    /// The host's name is longer than can be said.
    pub(super) fn new(login: Option<&Login>, host: &str, port: u16) -> Result<Self, String> {
        let mut request = BytesMut::from(&[VERSION, 1, 0][..]);
        match dial_host(host).parse() {
            Ok(IpAddr::V4(address)) => {
                request.put_u8(IPV4);
                request.put_slice(&address.octets());
            }
            Ok(IpAddr::V6(address)) => {
                request.put_u8(IPV6);
                request.put_slice(&address.octets());
            }
            Err(_) => {
                request.put_u8(NAME);
                put_text(&mut request, host).ok_or_else(|| {
                    format!("the name of the server is too long for a SOCKS5 proxy: {host}")
                })?;
            }
        }
        request.put_u16(port);
        let login = match login {
            Some(Login { user, password }) => {
                let mut login = BytesMut::from(&[1][..]);
                let fits = put_text(&mut login, user).and_then(|()| put_text(&mut login, password));
                fits.ok_or("the login is too long for a SOCKS5 proxy")?;
                Some(login.freeze())
            }
            None => None,
        };
        Ok(Self { awaits: Awaits::Nothing, login, request: request.freeze() })
    }

    fn ask(&mut self) -> Next {
        self.awaits = Awaits::Answer;
        Next::Send(self.request.clone())
    }
}

impl Steps for Socks5 {
    fn next(&mut self, input: &mut BytesMut) -> Result<Next, ProxyProblem> {
        match (self.awaits, &input[..]) {
            (Awaits::Nothing, _) => {
                self.awaits = Awaits::Method;
                Ok(Next::Send(match self.login {
                    Some(_) => Bytes::from_static(&[VERSION, 2, NO_LOGIN, BY_PASSWORD]),
                    None => Bytes::from_static(&[VERSION, 1, NO_LOGIN]),
                }))
            }
            (Awaits::Method, [VERSION, method, ..]) => {
                let method = *method;
                input.advance(2);
                match (method, &self.login) {
                    (NO_LOGIN, _) => Ok(self.ask()),
                    (BY_PASSWORD, Some(login)) => {
                        self.awaits = Awaits::LoginAnswer;
                        Ok(Next::Send(login.clone()))
                    }
                    _ => Err(ProxyProblem::Login),
                }
            }
            (Awaits::LoginAnswer, [_, 0, ..]) => {
                input.advance(2);
                Ok(self.ask())
            }
            (Awaits::LoginAnswer, [_, _, ..]) => Err(ProxyProblem::Login),
            (Awaits::Answer, [VERSION, 0, _, kind, rest @ ..]) => {
                let address = match (*kind, rest) {
                    (IPV4, _) => 4,
                    (IPV6, _) => 16,
                    (NAME, [len, ..]) => 1 + usize::from(*len),
                    (NAME, []) => return Ok(Next::Read),
                    _ => return Err(ProxyProblem::Protocol("an address of an unknown kind")),
                };
                if rest.len() < address + 2 {
                    return Ok(Next::Read);
                }
                input.advance(4 + address + 2);
                Ok(Next::Connected)
            }
            (Awaits::Answer, [VERSION, code, ..]) if *code != 0 => Err(ProxyProblem::Refused(reason(*code))),
            (Awaits::Method | Awaits::Answer, [version, ..]) if *version != VERSION => {
                Err(ProxyProblem::Protocol("its answer is not SOCKS5"))
            }
            _ => Ok(Next::Read),
        }
    }
}

/// A text behind its length, unless that is more than a byte says.
fn put_text(out: &mut BytesMut, text: &str) -> Option<()> {
    out.put_u8(u8::try_from(text.len()).ok()?);
    out.put_slice(text.as_bytes());
    Some(())
}

/// RFC 1928 §6.
fn reason(code: u8) -> String {
    let known = match code {
        1 => "it failed",
        2 => "its rules forbid it",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "connection refused",
        6 => "the time to live expired",
        7 => "it knows no CONNECT",
        8 => "it does not know this kind of address",
        _ => return format!("code {code}"),
    };
    known.to_owned()
}
