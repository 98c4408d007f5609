//! Who a client is to the server, asked at every connect.

use std::{error, fmt, future::Future, pin::Pin, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use channel_proto::BearerToken;
use http::HeaderValue;

#[cfg(feature = "tls")]
use crate::tls::ClientCertificate;

/// What asking for an [`Identity`] gives, in time. No runtime is named: whoever implements [`Credentials`] may use its own.
pub type IdentityFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Identity, Box<dyn error::Error + Send + Sync>>> + Send + 'a>>;

/// Where the client's identity comes from: a token that is fixed, a file that is read again, a plugin that is run.
///
/// It is asked before each connection, within the client's connect timeout, so an implementation keeps what is still good. Its
/// errors come out as [`Error::Credentials`](crate::Error::Credentials), and must hold no secret.
pub trait Credentials: Send + Sync + 'static {
    /// The identity to connect with.
    fn identity(&self) -> IdentityFuture<'_>;

    /// The server answered 401 to an identity that was given. What was kept of that one is not good any more.
    fn rejected(&self, _identity: &Identity) -> AfterRejection {
        AfterRejection::GiveUp
    }
}

/// What a client does with a 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterRejection {
    /// Tell it to the application.
    GiveUp,
    /// Ask for an identity again, and try once more.
    AskAgain,
}

/// An identity: none, or what shows it to the server.
#[derive(Clone, Default)]
pub struct Identity {
    pub(crate) authorization: Option<Authorization>,
    #[cfg(feature = "tls")]
    pub(crate) certificate: Option<ClientCertificate>,
    /// Which run of a plugin gave it, so that another one is not thrown away in its place.
    #[cfg(feature = "kubeconfig")]
    pub(crate) run: u64,
}

/// What stands in the `Authorization` header.
#[derive(Clone)]
pub(crate) enum Authorization {
    Bearer(BearerToken),
    /// A header's value, made of a name and a password.
    Basic(HeaderValue),
}

impl Identity {
    /// No identity: for `kubectl proxy`, which has one of its own.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// A bearer token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.authorization = Some(Authorization::Bearer(BearerToken::new(token)));
        self
    }

    /// A name and a password, for the gateways that still take them.
    #[must_use]
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        self.authorization = Some(Authorization::Basic(basic(user, password)));
        self
    }

    /// A certificate, shown to the server in the TLS handshake, in the place of the one in the [endpoint's TLS settings](crate::tls::Tls).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn certificate(mut self, certificate: ClientCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }
}

/// The value of an `Authorization` or `Proxy-Authorization` header (RFC 7617).
pub(crate) fn basic(user: &str, password: &str) -> HeaderValue {
    let value = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    let mut value = HeaderValue::try_from(value).expect("base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// The same identity every time.
impl Credentials for Identity {
    fn identity(&self) -> IdentityFuture<'_> {
        Box::pin(std::future::ready(Ok(self.clone())))
    }
}

impl<C: Credentials + ?Sized> Credentials for Arc<C> {
    fn identity(&self) -> IdentityFuture<'_> {
        (**self).identity()
    }

    fn rejected(&self, identity: &Identity) -> AfterRejection {
        (**self).rejected(identity)
    }
}
