//! Where the API server is, and who we are to it.

use std::{fmt, sync::Arc};

use http::{HeaderMap, Uri, header::AUTHORIZATION, uri::Authority};

#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::{
    Error,
    credentials::{Authorization, Credentials, Identity},
    proxy::{Environment, Proxy},
};

/// A Kubernetes API server, or anything that serves its exec and attach: `kubectl proxy`, an embedded pod.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) scheme: Scheme,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) prefix: String,
    pub(crate) headers: HeaderMap,
    pub(crate) credentials: Arc<dyn Credentials>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Tls,
    pub(crate) proxy: Option<Proxy>,
}

/// How the server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    #[cfg(feature = "tls")]
    Https,
}

impl Endpoint {
    /// A server by its URL: `http://127.0.0.1:8001`, `https://10.0.0.1:6443` (with the feature `tls`), with a path prefix if it has one.
    ///
    /// # Errors
    /// Not such a URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        // A password before the `@` is nobody's to see, nor a token in the path.
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let shown = rest.rsplit('@').next().unwrap_or_default();
        let shown = shown.split(['/', '?', '#']).next().unwrap_or_default();
        let shown = if scheme.is_empty() { shown.to_owned() } else { format!("{scheme}://{shown}") };
        let usage = |why: &str| Error::Usage(format!("the server's URL {shown:?} {why}"));
        let uri: Uri = url.parse().map_err(|error| usage(&format!("cannot be read: {error}")))?;
        let (scheme, port) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            #[cfg(feature = "tls")]
            Some("https") => (Scheme::Https, 443),
            #[cfg(not(feature = "tls"))]
            Some("https") => return Err(usage("is https, and this program was built without TLS")),
            _ => return Err(usage("must begin with http:// or https://")),
        };
        if uri.query().is_some() {
            return Err(usage("must have no query"));
        }
        let authority = uri.authority().ok_or_else(|| usage("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(usage("must carry no user; give credentials instead"));
        }
        if authority.host().is_empty() {
            return Err(usage("names no host"));
        }
        Ok(Self {
            scheme,
            host: authority.host().to_owned(),
            port: port_of(authority, port).ok_or_else(|| usage("has a port that is none"))?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            headers: HeaderMap::new(),
            credentials: Arc::new(Identity::anonymous()),
            #[cfg(feature = "tls")]
            tls: Tls::new(),
            proxy: None,
        })
    }

    /// The server of a URL that a kubelet or a container runtime hands out for one session, `http://127.0.0.1:34567/exec/TOKEN`, and
    /// the rest of that URL, for [`Client::exec_at`](crate::Client::exec_at) and its like.
    ///
    /// # Errors
    /// Not such a URL. The error does not show the rest: whoever has that has the session.
    pub fn split_url(url: &str) -> Result<(Self, String), Error> {
        let Some(authority) = url.find("://").map(|at| at + "://".len()) else {
            return Err(Error::Usage("the URL must begin with http://".to_owned()));
        };
        let (server, path_and_query) = match url[authority..].find(['/', '?', '#']) {
            Some(length) => url.split_at(authority + length),
            None => (url, ""),
        };
        let endpoint = Self::new(server)?;
        if matches!(path_and_query, "" | "/") || !path_and_query.starts_with('/') {
            return Err(Error::Usage(format!("the URL at {server} has no path")));
        }
        if !path_and_query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(Error::Usage(format!("the URL at {server} is not percent-encoded")));
        }
        Ok((endpoint, path_and_query.to_owned()))
    }

    /// Authenticates with a bearer token that stays the same; for others see [`credentials`](Self::credentials).
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        self.credentials(Identity::anonymous().token(token))
    }

    /// Asks for the client's identity before each connection: an [`Identity`] that stays the same, or any other source of
    /// [`Credentials`]. The last one that is set counts.
    #[must_use]
    pub fn credentials(mut self, credentials: impl Credentials) -> Self {
        self.credentials = Arc::new(credentials);
        self
    }

    /// Sends these header lines with every upgrade: `Impersonate-User`, …
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// How an `https://` server is known, and the client's certificate; by the system's roots and none unless said.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Connects through this proxy, wherever the server is.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Connects through the proxy that the process's environment names for this server: `HTTPS_PROXY`, or for an `http://` server `HTTP_PROXY`, else
    /// `ALL_PROXY`, in capitals or not; unless `NO_PROXY` speaks of the server, or it is this machine. As kubectl does.
    ///
    /// # Errors
    /// The variable that counts holds no URL of a proxy.
    pub fn proxy_from_environment(mut self) -> Result<Self, Error> {
        let environment = Environment(|name: &str| std::env::var(name).ok());
        self.proxy = environment.proxy(self.scheme, &self.host, self.port)?;
        Ok(self)
    }

    /// Asks for the client's identity now, so that a plugin which leads somebody through a login has all the time that it takes. Otherwise this
    /// is part of the first connection, and has to be done within its time.
    ///
    /// # Errors
    /// There is no identity to be had.
    pub async fn authenticate(&self) -> Result<(), Error> {
        self.identity().await.map(|_| ())
    }

    pub(crate) async fn identity(&self) -> Result<Identity, Error> {
        self.credentials.identity().await.map_err(|error| Error::Credentials(error.into()))
    }

    /// The header lines to send as `identity`, but for the bearer token.
    pub(crate) fn headers_as(&self, identity: &Identity) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let Some(Authorization::Basic(value)) = &identity.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        headers
    }

    /// `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        join(&self.host, self.port)
    }
}

/// The port of an authority, or this one where none is given. `None` if one is given that is none: it must not come to be another.
pub(crate) fn port_of(authority: &Authority, default: u16) -> Option<u16> {
    let host_and_port = authority.as_str().rsplit('@').next().unwrap_or_default();
    if host_and_port.len() == authority.host().len() { Some(default) } else { authority.port_u16() }
}

/// A host as a URL has it, and a port.
pub(crate) fn join(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// The host to connect to: an IPv6 address without its brackets.
pub(crate) fn dial_host(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Endpoint");
        debug.field("scheme", &self.scheme).field("host", &self.host).field("port", &self.port);
        // The prefix may hold a token, as that of the embedded pod does.
        debug.field("proxy", &self.proxy);
        #[cfg(feature = "tls")]
        debug.field("tls", &self.tls);
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_none_does_not_become_another() {
        for url in ["http://host:80800", "http://host:", "http://[::1]:99999", "http://host:8x"] {
            let error = Endpoint::new(url).expect_err(url).to_string();
            assert!(error.contains("host") || error.contains("[::1]"), "{error}");
        }
        for (url, authority) in
            [("http://host", "host:80"), ("http://[::1]", "[::1]:80"), ("http://host:8", "host:8")]
        {
            assert_eq!(Endpoint::new(url).expect(url).authority(), authority);
        }
    }

    #[test]
    fn a_token_in_the_path_is_shown_nowhere() {
        let endpoint = Endpoint::new("http://host/token/secret").expect("a URL");
        assert!(!format!("{endpoint:?}").contains("secret"));
        let error =
            Endpoint::new("http://user:secret@host:x/token/secret?secret").expect_err("no URL").to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
