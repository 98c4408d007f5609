//! From flags to TLS.

use channel_tokio::tls::{ClientCertificate, Tls};

use crate::{cli::TlsFlags, exit::Failure};

/// How to know the server, as the flags say.
///
/// # Errors
/// A file cannot be read, or holds something else.
pub(crate) fn settings(flags: &TlsFlags) -> Result<Tls, Failure> {
    let mut tls = Tls::new();
    if let Some(file) = &flags.certificate_authority {
        tls = tls.authorities_file(file)?;
    }
    if flags.insecure_skip_tls_verify {
        tls = tls.danger_accept_any_certificate();
    }
    if let (Some(certificate), Some(key)) = (&flags.client_certificate, &flags.client_key) {
        tls = tls.client_certificate(ClientCertificate::from_files(certificate, key)?);
    }
    if let Some(name) = &flags.tls_server_name {
        tls = tls.server_name(name)?;
    }
    Ok(tls)
}
