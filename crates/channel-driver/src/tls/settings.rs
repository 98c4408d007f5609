//! How a client knows its server, and shows itself.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName},
};

use super::certificates::{ClientCertificate, certificates, read};
use crate::Error;

/// How to know a server by its certificate, and which one to show to it. By default, by the roots that the system trusts, and none.
#[derive(Clone, Default)]
pub struct Tls {
    trust: Trust,
    certificate: Option<ClientCertificate>,
    server_name: Option<ServerName<'static>>,
}

/// Which servers are believed.
#[derive(Clone, Default)]
enum Trust {
    /// Those that an authority vouches for which the system knows.
    #[default]
    System,
    /// Those that one of these vouches for.
    Authorities(Arc<[CertificateDer<'static>]>),
    /// Whoever answers.
    Anybody,
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
    pub fn authorities(mut self, pem: &[u8]) -> Result<Self, Error> {
        self.trust = Trust::Authorities(certificates(pem, "the certificate authority")?.into());
        Ok(self)
    }

    /// As [`authorities`](Self::authorities), from a file.
    ///
    /// # Errors
    /// As `authorities`, and if the file cannot be read.
    pub fn authorities_file(self, file: &Path) -> Result<Self, Error> {
        self.authorities(&read(file)?)
    }

    /// Shows this certificate to a server that asks for one. That of an [`Identity`](crate::Identity) comes before it.
    #[must_use]
    pub fn client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Expects the server's certificate to be for this name or IP address, in the place of the one in its URL.
    ///
    /// # Errors
    /// Neither a name nor an address.
    pub fn server_name(mut self, name: &str) -> Result<Self, Error> {
        let parsed = ServerName::try_from(name.to_owned());
        self.server_name =
            Some(parsed.map_err(|_| Error::Usage(format!("{name:?} cannot be the name of a TLS server")))?);
        Ok(self)
    }

    /// Takes any certificate from whoever answers, expired or made up, and thereby gives token and data to anybody between here and the
    /// server. What `insecure-skip-tls-verify` says in a kubeconfig.
    #[must_use]
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.trust = Trust::Anybody;
        self
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trust = match &self.trust {
            Trust::System => "the system's authorities",
            Trust::Authorities(_) => "given authorities",
            Trust::Anybody => "anybody",
        };
        f.debug_struct("Tls")
            .field("trust", &trust)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// The cryptography: what the program installed for rustls, or else ours.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static OURS: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    #[cfg(feature = "aws-lc-rs")]
    use rustls::crypto::aws_lc_rs as library;
    #[cfg(not(feature = "aws-lc-rs"))]
    use rustls::crypto::ring as library;
    match CryptoProvider::get_default() {
        Some(installed) => installed.clone(),
        None => OURS.get_or_init(|| Arc::new(library::default_provider())).clone(),
    }
}
