//! Where the API server is, and who we are to it.

use std::fmt;

use channel_proto::BearerToken;
use http::{HeaderMap, Uri, uri::Scheme};

use crate::Error;

/// A Kubernetes API server, or anything that serves its exec and attach: `kubectl proxy`, an embedded pod.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) prefix: String,
    pub(crate) token: Option<BearerToken>,
    pub(crate) headers: HeaderMap,
}

impl Endpoint {
    /// A server by its URL: `http://127.0.0.1:8001`, with a path prefix if it has one.
    ///
    /// # Errors
    /// Not such a URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        // A password before the `@` is nobody's to see.
        let shown = url.rsplit('@').next().unwrap_or_default();
        let usage = |why: &str| Error::Usage(format!("the server's URL {shown:?} {why}"));
        let uri: Uri = url.parse().map_err(|error| usage(&format!("cannot be read: {error}")))?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => {}
            Some(scheme) if *scheme == Scheme::HTTPS => {
                return Err(usage(
                    "is https, which is not supported yet; put `kubectl proxy` in front of it",
                ));
            }
            _ => return Err(usage("must begin with http://")),
        }
        if uri.query().is_some() {
            return Err(usage("must have no query"));
        }
        let authority = uri.authority().ok_or_else(|| usage("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(usage("must carry no user; give a token instead"));
        }
        if authority.host().is_empty() {
            return Err(usage("names no host"));
        }
        Ok(Self {
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(80),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            token: None,
            headers: HeaderMap::new(),
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

    /// Authenticates with a bearer token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(BearerToken::new(token));
        self
    }

    /// Sends these header lines with every upgrade: `Impersonate-User`, …
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The host to connect to: an IPv6 address without its brackets.
    pub(crate) fn dial_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
