//! Proxies between a client and its server.

use std::fmt;

use http::Uri;
use percent_encoding::percent_decode_str;

use crate::Error;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// A proxy that connections to a server go through.
#[derive(Clone)]
pub struct Proxy {
    pub(crate) kind: ProxyKind,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) login: Option<Login>,
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
    /// SOCKS5. The proxy resolves the server's name.
    Socks5,
}

/// Name and password for a proxy.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Proxy {
    /// A proxy by its URL: `http://`, `https://` (with the feature `tls`), `socks5://` or `socks5h://`, with `user:password@` before the host if it wants
    /// them. Without a scheme it is `http://`. Names are resolved by the proxy, whichever it is.
    ///
    /// # Errors
    /// Not such a URL. It is not repeated in the error, since there may be a password in it.
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
            Some((login, _)) => Some(Login::parse(login).ok_or_else(|| usage("has a strange user in it"))?),
            None => None,
        };
        Ok(Self {
            kind,
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(port),
            login,
            #[cfg(feature = "tls")]
            tls: Tls::default(),
        })
    }

    /// How to know an `https://` proxy; by the system's roots unless said.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }
}

impl Login {
    fn parse(login: &str) -> Option<Self> {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let decode = |text| percent_decode_str(text).decode_utf8().ok();
        Some(Self { user: decode(user)?.into_owned(), password: decode(password)?.into_owned() })
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
