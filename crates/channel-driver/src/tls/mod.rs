//! TLS, by rustls, over any [`Transport`](crate::runtime::Transport) and without a runtime.
//!
//! A client's side is set with [`Endpoint::tls`](crate::Endpoint::tls); a server's is [`ServerTls`].

mod anybody;
mod certificates;
mod client;
mod error;
mod outgoing;
mod server;
mod stream;

pub use certificates::ClientCertificate;
pub use client::Tls;
pub use error::{TlsError, TlsProblem};
pub use server::{ClientAuth, ServerTls};
pub use stream::{Side, TlsStream};

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

/// What both sides offer in ALPN: an upgrade is a matter of HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// The cryptography: what the program installed for rustls, or else ours.
fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    use rustls::crypto::aws_lc_rs as library;
    #[cfg(not(feature = "aws-lc-rs"))]
    use rustls::crypto::ring as library;
    static OURS: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    match CryptoProvider::get_default() {
        Some(installed) => installed.clone(),
        None => OURS.get_or_init(|| Arc::new(library::default_provider())).clone(),
    }
}
