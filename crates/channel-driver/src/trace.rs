//! What goes to `tracing` with the feature of that name, and nowhere without it. All of it is here, to see that none of it is a secret or
//! somebody's data: no header, token, path, argument or payload, and nothing that a peer put into words.

use std::{fmt, future::Future, net::SocketAddr, time::Duration};

use channel_proto::{PodRequest, Subprotocol, upgrade::Refusal};
use http::StatusCode;

use crate::{
    Error,
    fallback::{Agreed, Attempt, Target},
    machine::EndKind,
};

/// An event, of values that are displayed. They are not even looked at where nobody listens.
macro_rules! event {
    ($level:ident, $message:literal $(, $name:ident = $value:expr)*) => {{
        #[cfg(feature = "tracing")]
        tracing::event!(target: "channel", tracing::Level::$level, $($name = %$value,)* $message);
        #[cfg(not(feature = "tracing"))]
        { $(let _ = &$value;)* }
    }};
}

/// What the events of something belong to.
#[derive(Clone)]
pub(crate) struct Span(#[cfg(feature = "tracing")] tracing::Span);

impl Span {
    /// The application's, wherever it is now.
    pub(crate) fn current() -> Self {
        Self(
            #[cfg(feature = "tracing")]
            tracing::Span::current(),
        )
    }

    /// A client's search for a connection to what it wants.
    pub(crate) fn upgrade(server: &str, target: &Target) -> Self {
        let named = match target {
            Target::Pod(PodRequest { namespace, pod, .. }) => Some((namespace, pod)),
            // It may be as good as a token.
            Target::At(..) => None,
        };
        #[cfg(feature = "tracing")]
        {
            let service = tracing::field::debug(target.service());
            let span = tracing::debug_span!(
                target: "channel", "upgrade", server, service,
                namespace = tracing::field::Empty, pod = tracing::field::Empty
            );
            if let Some((namespace, pod)) = named {
                span.record("namespace", &**namespace).record("pod", &**pod);
            }
            Self(span)
        }
        #[cfg(not(feature = "tracing"))]
        {
            let _ = (server, named);
            Self()
        }
    }

    /// A local port that leads to one of a pod.
    pub(crate) fn listener(address: SocketAddr, port: u16) -> Self {
        #[cfg(feature = "tracing")]
        {
            Self(tracing::debug_span!(target: "channel", "listener", %address, port))
        }
        #[cfg(not(feature = "tracing"))]
        {
            let _ = (address, port);
            Self()
        }
    }

    /// Everything that `future` does belongs to it.
    pub(crate) fn of<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        #[cfg(feature = "tracing")]
        {
            tracing::Instrument::instrument(future, self.0)
        }
        #[cfg(not(feature = "tracing"))]
        {
            future
        }
    }

    /// A session is over.
    pub(crate) fn ended(&self, ended: Result<EndKind, &Error>) {
        #[cfg(feature = "tracing")]
        let _entered = self.0.enter();
        match ended {
            Ok(kind) => event!(DEBUG, "ended", how = kind),
            Err(error) => event!(DEBUG, "broke off", why = Why(error)),
        }
    }

    /// Nobody wants a session any more that is not over.
    pub(crate) fn dropped(&self) {
        #[cfg(feature = "tracing")]
        let _entered = self.0.enter();
        event!(DEBUG, "dropped");
    }
}

/// A client asks.
pub(crate) fn asking(attempt: &Attempt) {
    event!(DEBUG, "asking", transport = attempt.transport, offers = Names(&attempt.offer));
}

/// It got what it asked for, perhaps not at once.
pub(crate) fn upgraded(agreed: &Agreed) {
    let Agreed { transport, subprotocol, refusals } = agreed;
    event!(DEBUG, "upgraded", transport = transport, subprotocol = subprotocol, refusals = refusals.len());
}

/// It was refused, and does this about it.
pub(crate) fn refused(refusal: &Refusal, next: Option<&Attempt>) {
    let status = refusal.status.as_u16();
    match next {
        Some(Attempt { transport, offer }) => {
            event!(
                DEBUG,
                "refused, falling back",
                status = status,
                transport = transport,
                offers = Names(offer)
            );
        }
        None => event!(DEBUG, "refused", status = status),
    }
}

/// It was not even refused.
pub(crate) fn failed(error: &Error) {
    event!(DEBUG, "no answer", why = Why(error));
}

/// A server begins a session or a forward.
pub(crate) fn serving(subprotocol: Subprotocol) {
    event!(DEBUG, "serving", subprotocol = subprotocol);
}

/// A server answers something else.
pub(crate) fn turned_away(status: StatusCode) {
    event!(DEBUG, "answered without an upgrade", status = status.as_u16());
}

/// A forward's connection to the pod is to be opened again after `delay`.
pub(crate) fn reconnecting(attempts: u32, delay: Duration) {
    event!(INFO, "lost, connecting again", attempts = attempts, delay_ms = delay.as_millis());
}

/// It is there again.
pub(crate) fn connected_again(attempts: u32) {
    event!(INFO, "connected again", attempts = attempts);
}

/// The names of subprotocols, of which a list is offered.
struct Names<'a>(&'a [Subprotocol]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|name| name.name())).finish()
    }
}

/// An error, in our words alone.
struct Why<'a>(&'a Error);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            error @ (Error::Connect { .. } | Error::Io(_) | Error::Protocol(_)) => error.fmt(f),
            #[cfg(feature = "tls")]
            // Its text has the names in the peer's certificate.
            Error::Tls(error) => write!(f, "TLS with {} failed: {:?}", error.host(), error.problem()),
            Error::Proxy { authority, .. } => write!(f, "the proxy {authority} does not lead to the server"),
            Error::Usage(_) | Error::Forward(_) => f.write_str("it cannot be asked for"),
            Error::Credentials(_) => f.write_str("no credentials"),
            Error::HttpClient(_) => f.write_str("the HTTP client failed"),
            Error::Refused(refusal) => write!(f, "refused with {}", refusal.status.as_u16()),
            Error::FellBack { error, .. } => Why(error).fmt(f),
        }
    }
}
