//! How a server shows itself, and knows its clients.

use std::{fmt, io, sync::Arc};

use rustls::{
    ServerConfig,
    server::{UnbufferedServerConnection, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::SingleCertAndKey,
    version,
};

use super::{
    ALPN, TlsError, TlsStream,
    certificates::{authorities, certified},
    provider,
};
use crate::{Error, runtime::Transport};

/// The TLS side of a server: its certificate, and whether it asks for its clients'. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
}

/// Whether a client has to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// It may: one that has none may be known by a token.
    Optional,
    /// Without one the handshake fails.
    Required,
}

impl ServerTls {
    /// A server with this chain of certificates, its own first, and this key: both as PEM. It asks clients for nothing.
    ///
    /// # Errors
    /// One of them cannot be read, or the key is not that of the certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        Self::new(certified(chain, key, "server's certificate")?, WebPkiClientVerifier::no_client_auth())
    }

    /// As [`from_pem`](Self::from_pem), and asks clients for a certificate that one of these authorities, in PEM, vouches for. One
    /// that they do not vouch for is refused in any case.
    ///
    /// # Errors
    /// As `from_pem`.
    pub fn with_client_authorities(
        chain: &[u8],
        key: &[u8],
        client_authorities: &[u8],
        wanted: ClientAuth,
    ) -> Result<Self, Error> {
        let roots = authorities(client_authorities, "authority of client certificates")?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let verifier = match wanted {
            ClientAuth::Required => verifier,
            ClientAuth::Optional => verifier.allow_unauthenticated(),
        };
        let verifier = verifier.build().map_err(|error| Error::Usage(error.to_string()))?;
        Self::new(certified(chain, key, "server's certificate")?, verifier)
    }

    fn new(certificate: Arc<SingleCertAndKey>, verifier: Arc<dyn ClientCertVerifier>) -> Result<Self, Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|error| Error::Usage(format!("the cryptography installed cannot do TLS: {error}")))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificate);
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { config: Arc::new(config) })
    }

    /// Shakes hands with a client that just connected. How long it may take is the caller's to bound.
    ///
    /// # Errors
    /// The client is gone, or [`TlsError`], which the client was told.
    pub async fn accept<T: Transport>(
        &self,
        transport: T,
    ) -> io::Result<TlsStream<T, UnbufferedServerConnection>> {
        let connection = UnbufferedServerConnection::new(self.config.clone());
        let connection = connection.map_err(|error| TlsError::new(CLIENT, error))?;
        let mut stream = TlsStream::new(transport, connection, CLIENT);
        match stream.handshake().await {
            Ok(()) => Ok(stream),
            Err(error) => {
                let _ = stream.linger().await;
                Err(error)
            }
        }
    }
}

/// Whatever rustls can do: other versions, a certificate for each name. Its ALPN should be `http/1.1`, or nothing.
impl From<Arc<ServerConfig>> for ServerTls {
    fn from(mut config: Arc<ServerConfig>) -> Self {
        if config.max_early_data_size > 0 {
            // Whoever replays early data runs a command again.
            Arc::make_mut(&mut config).max_early_data_size = 0;
        }
        Self { config }
    }
}

/// What a client is called in errors.
const CLIENT: &str = "the client";

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls(…)")
    }
}
