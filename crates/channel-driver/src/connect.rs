//! From an endpoint to a stream that an upgrade can be asked for on: the socket, a proxy's handshake, TLS.

use std::{fmt, sync::Arc};

use http::HeaderMap;

use crate::{
    Endpoint, Error,
    credentials::Identity,
    endpoint::{Scheme, dial_host, join},
    proxy::{Proxy, ProxyKind},
    runtime::{Runtime, Transport},
};

/// Connects to the endpoint's server. How long it may take is the caller's to bound.
pub(crate) async fn connect<R: Runtime>(
    endpoint: &Endpoint,
    identity: &Identity,
) -> Result<Box<dyn Transport>, Error> {
    let Endpoint { host, port, .. } = endpoint;
    let stream = match &endpoint.proxy {
        None => dial::<R>(host, *port).await?,
        Some(proxy) => {
            let mut stream = reach::<R>(proxy).await?;
            proxy.ask(&mut stream, host, *port).await?;
            stream
        }
    };
    match endpoint.scheme {
        Scheme::Http => {
            // A certificate can only be shown in TLS.
            let _ = identity;
            Ok(stream)
        }
        #[cfg(feature = "tls")]
        Scheme::Https => {
            let certificate = identity.certificate.as_ref();
            Ok(Box::new(endpoint.tls.connect(stream, host, certificate).await?))
        }
    }
}

async fn reach<R: Runtime>(proxy: &Proxy) -> Result<Box<dyn Transport>, Error> {
    let stream = dial::<R>(&proxy.host, proxy.port).await?;
    match proxy.kind {
        ProxyKind::Http | ProxyKind::Socks5 => Ok(stream),
        #[cfg(feature = "tls")]
        ProxyKind::Https => Ok(Box::new(proxy.tls.connect(stream, &proxy.host, None).await?)),
    }
}

async fn dial<R: Runtime>(host: &str, port: u16) -> Result<Box<dyn Transport>, Error> {
    let failed = |source| Error::Connect { authority: join(host, port), source: Arc::new(source) };
    Ok(Box::new(R::connect(dial_host(host), port).await.map_err(failed)?))
}

/// A connection that a [`Client`](crate::Client) has [opened](crate::Client::open), and what a request on it has to say.
#[non_exhaustive]
pub struct Open {
    /// The connection.
    pub stream: Box<dyn Transport>,
    /// The header lines that say who we are, secrets among them.
    pub headers: HeaderMap,
    /// What goes into `Host`.
    pub authority: String,
    /// What the path has to begin with.
    pub prefix: String,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("authority", &self.authority).finish_non_exhaustive()
    }
}
