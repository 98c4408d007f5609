//! From an endpoint to a stream that an upgrade can be asked for on: the socket, a proxy's handshake, TLS.

use std::sync::Arc;

use crate::{
    Endpoint, Error,
    credentials::Identity,
    endpoint::{Scheme, dial_host},
    runtime::{Runtime, Transport},
};

/// Connects to the endpoint's server. How long it may take is the caller's to bound.
pub(crate) async fn connect<R: Runtime>(
    endpoint: &Endpoint,
    _identity: &Identity,
) -> Result<Box<dyn Transport>, Error> {
    if endpoint.scheme != Scheme::Http || endpoint.proxy.is_some() {
        return Err(Error::Usage("TLS and proxies are not there yet".to_owned()));
    }
    let connect = R::connect(dial_host(&endpoint.host), endpoint.port).await;
    let failed = |source| Error::Connect { authority: endpoint.authority(), source: Arc::new(source) };
    Ok(Box::new(connect.map_err(failed)?))
}
