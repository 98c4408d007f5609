//! TLS, by rustls, over any [`Transport`](crate::runtime::Transport).

mod certificates;
mod settings;

pub use certificates::ClientCertificate;
pub use settings::Tls;
