//! How a client knows its server, and shows itself.

use std::{
    fmt,
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore, client::UnbufferedClientConnection, pki_types::ServerName, version,
};

use super::{
    ALPN, TlsError, TlsStream,
    anybody::Anybody,
    certificates::{self, ClientCertificate},
    provider,
};
use crate::{Error, runtime::Transport};

/// How to know a server by its certificate, and which one to show to it. By default, by the roots that the system trusts, and none.
#[derive(Clone, Default)]
pub struct Tls {
    trust: Trust,
    certificate: Option<ClientCertificate>,
    server_name: Option<ServerName<'static>>,
    /// Made of the above when it is first needed, which for the system's roots means to read them. It also keeps what resumes sessions.
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

/// Which servers are believed.
#[derive(Clone, Default)]
enum Trust {
    /// Those that an authority vouches for which the system knows.
    #[default]
    System,
    /// Those that one of these vouches for.
    Authorities(Arc<RootCertStore>),
    /// Whoever answers.
    Anybody,
    /// Those that this says.
    Configured(Arc<ClientConfig>),
}

impl Tls {
    /// The system's roots, and no client certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Believes these authorities, in PEM, in the place of the system's.
    ///
    /// # Errors
    /// There is no certificate in it, or one that cannot be read.
    pub fn authorities(self, pem: &[u8]) -> Result<Self, Error> {
        let authorities = certificates::authorities(pem, "certificate authority")?;
        Ok(self.trust(Trust::Authorities(authorities)))
    }

    /// As [`authorities`](Self::authorities), from a file.
    ///
    /// # Errors
    /// As `authorities`, and if the file cannot be read.
    pub fn authorities_file(self, file: &Path) -> Result<Self, Error> {
        self.authorities(&certificates::read(file)?)
    }

    /// Takes any certificate from whoever answers, expired or made up, and thereby gives token and data to anybody between here and the
    /// server. What `insecure-skip-tls-verify` says in a kubeconfig.
    #[must_use]
    pub fn danger_accept_any_certificate(self) -> Self {
        self.trust(Trust::Anybody)
    }

    fn trust(self, trust: Trust) -> Self {
        Self { trust, config: Arc::default(), ..self }
    }

    /// Shows this certificate to a server that asks for one. That of an [`Identity`](crate::Identity) comes before it.
    #[must_use]
    pub fn client_certificate(self, certificate: ClientCertificate) -> Self {
        Self { certificate: Some(certificate), ..self }
    }

    /// Expects the server's certificate to be for this name or IP address, in the place of the one in its URL.
    ///
    /// # Errors
    /// Neither a name nor an address.
    pub fn server_name(self, name: &str) -> Result<Self, Error> {
        Ok(Self { server_name: Some(parse(name)?), ..self })
    }

    /// Shakes hands with the server at `host` over `transport`, with `certificate` if there is one, or else that of these settings. How long it may take is
    /// the caller's to bound.
    ///
    /// # Errors
    /// [`Error::Tls`], among them that the server is not who it should be.
    pub async fn connect<T: Transport>(
        &self,
        transport: T,
        host: &str,
        certificate: Option<&ClientCertificate>,
    ) -> Result<TlsStream<T, UnbufferedClientConnection>, Error> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => parse(host)?,
        };
        let mut config = self.config()?;
        if let Some(certificate) = certificate.or(self.certificate.as_ref()) {
            // A copy of many references. Sessions are resumed only with the certificate that they began with; rustls sees to it.
            let config = Arc::make_mut(&mut config);
            config.client_auth_cert_resolver = certificate.resolver.clone();
        }
        let connection = UnbufferedClientConnection::new(config, name);
        let connection = connection.map_err(|error| TlsError::new(host, error))?;
        let mut stream = TlsStream::new(transport, connection, host);
        stream.handshake().await?;
        Ok(stream)
    }

    fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|error| Error::Usage(format!("the cryptography installed cannot do TLS: {error}")))?;
        let builder = match &self.trust {
            Trust::Configured(config) => return Ok(config.clone()),
            Trust::System => builder.with_root_certificates(system_roots()?),
            Trust::Authorities(roots) => builder.with_root_certificates(roots.clone()),
            Trust::Anybody => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider())))
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(self.config.get_or_init(|| Arc::new(config)).clone())
    }
}

/// Whatever rustls can do: a verifier of the platform, other versions, a key in hardware. Its ALPN should be `http/1.1`, or nothing.
impl From<Arc<ClientConfig>> for Tls {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self::default().trust(Trust::Configured(config))
    }
}

/// The authorities that the system trusts, or those in the environment's `SSL_CERT_FILE` and `SSL_CERT_DIR`.
fn system_roots() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let why = loaded.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(Error::Usage(format!(
            "the system's certificate authorities cannot be read ({why}); name some"
        )));
    }
    Ok(roots)
}

/// A name, or an IP address with or without brackets.
fn parse(host: &str) -> Result<ServerName<'static>, Error> {
    let bare = crate::endpoint::dial_host(host);
    let parsed = ServerName::try_from(bare.to_owned());
    parsed.map_err(|_| Error::Usage(format!("{host:?} cannot be the name of a TLS server")))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trust = match &self.trust {
            Trust::System => "the system's authorities",
            Trust::Authorities(_) => "given authorities",
            Trust::Anybody => "anybody",
            Trust::Configured(_) => "as configured",
        };
        f.debug_struct("Tls")
            .field("trust", &trust)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
