//! What can go wrong between the application and the pod.

use std::{fmt, io, sync::Arc};

use channel_proto::{forward::ForwardError, upgrade::Refusal};

use crate::proxy::ProxyProblem;
#[cfg(feature = "tls")]
use crate::tls::TlsError;

/// Why a session could not begin, or broke off. A normal end, successful or not, is an [`Outcome`](channel_proto::Outcome) and no error.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// The endpoint, or what was asked for, cannot be used.
    Usage(String),
    /// No connection to the server.
    Connect {
        /// The host and the port that were tried.
        authority: String,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// TLS failed: mostly because the server is not who it should be.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// A proxy does not lead to the server.
    Proxy {
        /// The proxy's host and port.
        authority: String,
        /// Why not.
        problem: ProxyProblem,
    },
    /// The client's identity could not be had: its [`Credentials`](crate::Credentials) failed.
    Credentials(Arc<dyn std::error::Error + Send + Sync>),
    /// The HTTP client that was to reach the server failed.
    HttpClient(Arc<dyn std::error::Error + Send + Sync>),
    /// The server answered, and did not upgrade.
    Refused(Box<Refusal>),
    /// The server refused, and something else that was worth trying did not work either.
    FellBack {
        /// What it refused before, in order.
        refusals: Vec<Refusal>,
        /// What became of the last attempt.
        error: Box<Error>,
    },
    /// A port-forward cannot do what was asked.
    Forward(ForwardError),
    /// The peer broke the protocol, went silent, or went over a limit.
    Protocol(channel_proto::Error),
    /// The connection failed while the session was under way.
    Io(Arc<io::Error>),
}

impl Error {
    /// The last refusal, if that is what it came to.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::FellBack { error, .. } => error.refusal(),
            _ => None,
        }
    }

    fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Usage(_) | Self::Forward(_) => io::ErrorKind::InvalidInput,
            Self::Connect { source, .. } | Self::Io(source) => source.kind(),
            Self::Credentials(_) | Self::Refused(_) => io::ErrorKind::PermissionDenied,
            Self::FellBack { error, .. } => error.io_kind(),
            Self::Proxy { problem: ProxyProblem::Login, .. } => io::ErrorKind::PermissionDenied,
            Self::Proxy { .. } => io::ErrorKind::ConnectionRefused,
            #[cfg(feature = "tls")]
            Self::Tls(_) => io::ErrorKind::InvalidData,
            Self::Protocol(_) => io::ErrorKind::InvalidData,
            Self::HttpClient(_) => io::ErrorKind::Other,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => f.write_str(what),
            Self::Connect { authority, source } => write!(f, "cannot connect to {authority}: {source}"),
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.fmt(f),
            Self::Proxy { authority, problem } => write!(f, "the proxy {authority} {problem}"),
            Self::Credentials(error) => write!(f, "no credentials for the server: {error}"),
            Self::HttpClient(error) => write!(f, "the HTTP client failed: {error}"),
            Self::Refused(refusal) => write!(f, "the server refused: {refusal}"),
            Self::FellBack { refusals, error } => {
                write!(f, "{error} (before that it refused")?;
                for (index, refusal) in refusals.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ";" };
                    write!(f, "{separator} {}: {refusal}", refusal.transport)?;
                }
                f.write_str(")")
            }
            Self::Forward(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::Io(error) => write!(f, "the connection failed: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect { source, .. } | Self::Io(source) => Some(source),
            Self::Credentials(error) | Self::HttpClient(error) => Some(&**error),
            Self::Protocol(error) => Some(error),
            Self::FellBack { error, .. } => Some(&**error),
            Self::Forward(error) => Some(error),
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            Self::Proxy { problem, .. } => Some(problem),
            Self::Usage(_) | Self::Refused(_) => None,
        }
    }
}

impl From<channel_proto::Error> for Error {
    fn from(error: channel_proto::Error) -> Self {
        Self::Protocol(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        #[cfg(feature = "tls")]
        if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<TlsError>()) {
            return Self::Tls(error.clone());
        }
        Self::Io(Arc::new(error))
    }
}

#[cfg(feature = "tls")]
impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.io_kind(), error)
    }
}
