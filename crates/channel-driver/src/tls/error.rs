//! What goes wrong in TLS, in words that tell what to do.

use std::{fmt, io, sync::Arc};

use channel_proto::rfc3339;
use rustls::{AlertDescription, CertificateError, pki_types::UnixTime};

/// TLS failed with a peer: mostly because it is not who it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError {
    host: Arc<str>,
    problem: TlsProblem,
    text: Arc<str>,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsProblem {
    /// The peer's certificate is for other names.
    WrongName,
    /// The peer's certificate was valid until some time ago.
    Expired,
    /// The peer's certificate will be valid later; or the clock here is wrong.
    NotYetValid,
    /// Nobody who is believed vouches for the peer's certificate.
    UnknownAuthority,
    /// The peer's certificate is bad in another way.
    BadCertificate,
    /// The peer wants a certificate of ours, or another one.
    OurCertificate,
    /// Anything else: no TLS at all, nothing that both can speak, or bytes changed on the way.
    Protocol,
}

impl TlsError {
    pub(super) fn new(host: &str, error: rustls::Error) -> Self {
        let (problem, text) = explain(error);
        Self { host: host.into(), problem, text: text.into() }
    }

    /// The peer, by the name it was expected to have; for a server, its client.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What kind of failure it is.
    pub fn problem(&self) -> TlsProblem {
        self.problem
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS with {}: {}", self.host, self.text)
    }
}

impl std::error::Error for TlsError {}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

fn explain(error: rustls::Error) -> (TlsProblem, String) {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(why) => explain_certificate(why),
        Tls::AlertReceived(alert) if is_about_our_certificate(alert) => (
            TlsProblem::OurCertificate,
            format!("it does not take our certificate, or misses one ({alert:?})"),
        ),
        Tls::NoCertificatesPresented => (TlsProblem::BadCertificate, "it showed no certificate".to_owned()),
        Tls::AlertReceived(alert) => {
            (TlsProblem::Protocol, format!("it broke the handshake off ({alert:?})"))
        }
        Tls::InvalidMessage(_) => (
            TlsProblem::Protocol,
            format!("what it sends is not TLS ({error}); is it a port for plain http?"),
        ),
        error => (TlsProblem::Protocol, error.to_string()),
    }
}

fn explain_certificate(error: CertificateError) -> (TlsProblem, String) {
    use CertificateError as Why;
    let moment = |time: UnixTime| rfc3339(time.as_secs());
    match error {
        Why::ExpiredContext { not_after, time } => {
            let what =
                format!("its certificate expired at {} (now it is {})", moment(not_after), moment(time));
            (TlsProblem::Expired, what)
        }
        Why::NotValidYetContext { not_before, time } => {
            let what = format!(
                "its certificate is not valid before {} (now it is {})",
                moment(not_before),
                moment(time)
            );
            (TlsProblem::NotYetValid, what)
        }
        Why::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            let what = match presented.is_empty() {
                true => format!("its certificate is for no name, so not for {expected}"),
                false => format!("its certificate is for {}, not for {expected}", presented.join(", ")),
            };
            (TlsProblem::WrongName, what)
        }
        Why::UnknownIssuer => {
            let what = "its certificate is signed by an authority that is not trusted here";
            (TlsProblem::UnknownAuthority, what.to_owned())
        }
        Why::BadSignature => {
            // Every cluster of kubeadm's has a "kubernetes" for its authority.
            let what = "its certificate is signed by an authority that has the name of a trusted one, but is another";
            (TlsProblem::UnknownAuthority, what.to_owned())
        }
        Why::Expired => (TlsProblem::Expired, "its certificate has expired".to_owned()),
        Why::NotValidYet => (TlsProblem::NotYetValid, "its certificate is not valid yet".to_owned()),
        Why::NotValidForName => (TlsProblem::WrongName, "its certificate is for another name".to_owned()),
        error => (TlsProblem::BadCertificate, format!("its certificate is bad: {error}")),
    }
}

/// The alerts of RFC 8446 §6.2 that a server sends for a client's certificate, or for its signature.
fn is_about_our_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::CertificateRequired
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::DecryptError
    )
}
