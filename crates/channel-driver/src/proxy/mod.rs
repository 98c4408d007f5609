//! Proxies between a client and its server.
//!
//! What is said to a proxy is a small machine for each protocol, fed with what comes in pieces of any size; one loop drives them.

mod connect;
mod environment;
mod socks5;

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::Uri;
use percent_encoding::percent_decode_str;

#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::{
    Error,
    endpoint::{join, port_of},
    handshake,
    runtime::Transport,
};

pub(crate) use environment::Environment;

/// A proxy that connections to a server go through.
#[derive(Clone)]
pub struct Proxy {
    pub(crate) kind: ProxyKind,
    pub(crate) host: String,
    pub(crate) port: u16,
    login: Option<Login>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Tls,
}

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    /// HTTP CONNECT, in the clear.
    Http,
    /// HTTP CONNECT within TLS.
    #[cfg(feature = "tls")]
    Https,
    /// SOCKS5.
    Socks5,
}

/// Name and password for a proxy.
#[derive(Clone)]
struct Login {
    user: String,
    password: String,
}

/// Why a proxy does not lead to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyProblem {
    /// It wants a name and a password, or others than it was given.
    Login,
    /// It says that it cannot or will not, in its words.
    Refused(String),
    /// It does not speak as such a proxy does.
    Protocol(&'static str),
}

impl fmt::Display for ProxyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login => f.write_str("wants a name and a password, or others than it was given"),
            Self::Refused(why) => write!(f, "does not connect to the server: {why}"),
            Self::Protocol(what) => write!(f, "does not speak as such a proxy does: {what}"),
        }
    }
}

impl std::error::Error for ProxyProblem {}

impl Proxy {
    /// A proxy by its URL: `http://`, `https://` (with the feature `tls`), `socks5://` or `socks5h://`, with `user:password@` before the host if it wants
    /// them, percent-encoded. Without a scheme it is `http://`. It is always the proxy that resolves the server's name.
    ///
    /// # Errors
    /// Not such a URL. The error does not repeat it, since there may be a password in it.
    pub fn new(url: &str) -> Result<Self, Error> {
        let usage = |why: &str| Error::Usage(format!("the proxy's URL {why}"));
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: Uri = with_scheme.parse().map_err(|error| usage(&format!("cannot be read: {error}")))?;
        let (kind, port) = match uri.scheme_str() {
            Some("http") => (ProxyKind::Http, 80),
            #[cfg(feature = "tls")]
            Some("https") => (ProxyKind::Https, 443),
            Some("socks5" | "socks5h") => (ProxyKind::Socks5, 1080),
            _ => return Err(usage("must begin with http://, https:// or socks5://")),
        };
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or_else(|| usage("names no host"))?;
        let login = match authority.as_str().rsplit_once('@') {
            Some((login, _)) => Some(Login::parse(login).ok_or_else(|| usage(BAD_LOGIN))?),
            None => None,
        };
        if kind == ProxyKind::Socks5 && login.as_ref().is_some_and(|login| !login.fits_socks5()) {
            return Err(usage(BAD_LOGIN));
        }
        Ok(Self {
            kind,
            host: authority.host().to_owned(),
            port: port_of(authority, port).ok_or_else(|| usage("has a port that is none"))?,
            login,
            #[cfg(feature = "tls")]
            tls: Tls::default(),
        })
    }

    /// How an `https://` proxy is known; by the system's roots unless said.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        join(&self.host, self.port)
    }

    /// Asks the proxy at the other end of `stream` for a connection to a server, which is what `stream` is from then on. How long it may take is the
    /// caller's to bound.
    pub(crate) async fn ask(&self, stream: &mut impl Transport, host: &str, port: u16) -> Result<(), Error> {
        let login = self.login.as_ref();
        match self.kind {
            ProxyKind::Socks5 => {
                self.drive(stream, socks5::Socks5::new(login, host, port).map_err(Error::Usage)?).await
            }
            _ => self.drive(stream, connect::Connect::new(login, host, port)).await,
        }
    }

    async fn drive(&self, stream: &mut impl Transport, mut steps: impl Steps) -> Result<(), Error> {
        let failed = |problem| Error::Proxy { authority: self.authority(), problem };
        let mut input = BytesMut::new();
        loop {
            match steps.next(&mut input).map_err(failed)? {
                Next::Send(mut data) => handshake::write_all(stream, &mut data).await?,
                Next::Read if input.len() >= MOST_READ => {
                    return Err(failed(ProxyProblem::Protocol("an endless answer")));
                }
                Next::Read => {
                    if handshake::read(stream, &mut input).await? == 0 {
                        return Err(failed(ProxyProblem::Protocol("it ended the connection")));
                    }
                }
                // A server does not speak before it is spoken to.
                Next::Connected if input.is_empty() => return Ok(()),
                Next::Connected => {
                    return Err(failed(ProxyProblem::Protocol("data before it was asked for")));
                }
            }
        }
    }
}

const BAD_LOGIN: &str = "has a user or password that cannot be sent";

/// No answer of a proxy is longer than this.
const MOST_READ: usize = 16 << 10;

/// What is said to a proxy.
trait Steps {
    /// What to do next. Takes what it can of `input`, and leaves the rest.
    fn next(&mut self, input: &mut BytesMut) -> Result<Next, ProxyProblem>;
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Send(Bytes),
    Read,
    Connected,
}

impl Login {
    fn parse(login: &str) -> Option<Self> {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let decode = |text| percent_decode_str(text).decode_utf8().ok();
        Some(Self { user: decode(user)?.into_owned(), password: decode(password)?.into_owned() })
    }

    /// RFC 1929 gives each of them a byte for its length, which is not 0.
    fn fits_socks5(&self) -> bool {
        [&self.user, &self.password].into_iter().all(|text| (1..=255).contains(&text.len()))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
