//! How the server is known, and the client to it: kubectl's own flags.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct TlsFlags {
    /// A file with the certificates of the authorities that may vouch for the server, as PEM [default: the system's].
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate_authority: Option<PathBuf>,
    /// A file with the certificate to show to the server, as PEM.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// A file with the key of that certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    pub(crate) client_key: Option<PathBuf>,
    /// The name or address that the server's certificate has to be for [default: the host in the server's URL].
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// Take any certificate: whoever stands between here and the server then has the token and sees all data.
    #[arg(long, conflicts_with = "certificate_authority")]
    pub(crate) insecure_skip_tls_verify: bool,
}
