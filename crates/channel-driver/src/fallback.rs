//! What a client asks for, and what else when that is refused.

use std::sync::Arc;

use channel_proto::{
    PodRequest, Service, Subprotocol, Transport,
    upgrade::{Fallback, Refusal, UpgradeRequest},
};

use crate::{
    Error,
    client::Client,
    handshake::{Upgraded, timeout},
    runtime::Runtime,
    trace::{self, Span},
};

/// Where a client asks.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// For something in a pod, in the paths of an API server.
    Pod(PodRequest),
    /// At a path and query as it is, which stands for all of it.
    At(String, Service),
}

/// How a client asks: for what first, and what may follow a refusal.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) transport: Transport,
    /// What to offer first; [`Subprotocol::default_offer`] unless the application said it.
    pub(crate) offer: Option<Vec<Subprotocol>>,
    /// The steps that may be taken.
    pub(crate) fallbacks: Vec<Fallback>,
}

/// One request for an upgrade.
pub(crate) struct Attempt {
    pub(crate) transport: Transport,
    pub(crate) offer: Vec<Subprotocol>,
}

/// What both ends agreed on.
#[derive(Debug, Clone)]
pub(crate) struct Agreed {
    pub(crate) transport: Transport,
    pub(crate) subprotocol: Subprotocol,
    /// What the server refused before, in order.
    pub(crate) refusals: Arc<[Refusal]>,
}

impl Agreed {
    /// At the first attempt, or by somebody else.
    pub(crate) fn at_once(transport: Transport, subprotocol: Subprotocol) -> Self {
        Self { transport, subprotocol, refusals: Arc::new([]) }
    }
}

impl Target {
    pub(crate) fn request(&self, authority: &str, attempt: &Attempt) -> UpgradeRequest {
        match self {
            Self::Pod(request) => UpgradeRequest::for_pod(authority, request.clone()),
            Self::At(path_and_query, service) => {
                UpgradeRequest::new(authority, path_and_query).service(*service)
            }
        }
        .over(attempt.transport)
        .offers(attempt.offer.iter().copied())
    }

    pub(crate) fn service(&self) -> Service {
        match self {
            Self::Pod(request) => request.action.service(),
            Self::At(_, service) => *service,
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        let fallbacks = vec![Fallback::OlderSubprotocol, Fallback::Spdy, Fallback::Channels];
        Self { transport: Transport::WebSocket, offer: None, fallbacks }
    }
}

impl Plan {
    fn first(&self, service: Service) -> Attempt {
        let default = || Subprotocol::default_offer(service, self.transport).to_vec();
        Attempt { transport: self.transport, offer: self.offer.clone().unwrap_or_else(default) }
    }

    /// What to try after a refusal, if its reason makes it worth trying (UPG-19, UPG-27) and the application allows it. It never leads back:
    /// each step offers less than the one before, or goes on to another transport.
    fn after(&self, refusal: &Refusal) -> Option<Attempt> {
        let step = refusal.fallback().filter(|step| self.fallbacks.contains(step))?;
        let (transport, offer) = match step {
            Fallback::OlderSubprotocol => (refusal.transport, vec![Subprotocol::V4]),
            Fallback::Spdy => {
                let offer = Subprotocol::default_offer(refusal.service, Transport::Spdy);
                (Transport::Spdy, offer.to_vec())
            }
            Fallback::Channels => (Transport::WebSocket, vec![Subprotocol::V4]),
            _ => return None,
        };
        Some(Attempt { transport, offer })
    }
}

impl<R: Runtime<Timer: Unpin>> Client<R> {
    /// Connects and asks, and asks for something else as long as a refusal says that this makes sense.
    pub(crate) async fn negotiate(&self, target: &Target, plan: &Plan) -> Result<Upgraded, Error> {
        let server = self.authority();
        let span = Span::upgrade(&server, target);
        let negotiated = async {
            let mut attempt = plan.first(target.service());
            let mut refusals = Vec::new();
            loop {
                trace::asking(&attempt);
                let error = match self.upgrade_with_identity(target, &attempt).await {
                    Ok(mut upgraded) => {
                        upgraded.agreed.refusals = refusals.into();
                        trace::upgraded(&upgraded.agreed);
                        return Ok(upgraded);
                    }
                    Err(error) => error,
                };
                let next = match &error {
                    Error::Refused(refusal) => {
                        let next = plan.after(refusal);
                        trace::refused(refusal, next.as_ref());
                        next
                    }
                    _ => None,
                };
                match (next, error) {
                    (Some(next), Error::Refused(refusal)) => {
                        refusals.push(*refusal);
                        attempt = next;
                    }
                    (_, error) if refusals.is_empty() => return Err(error),
                    (_, error) => return Err(Error::FellBack { refusals, error: Box::new(error) }),
                }
            }
        };
        let in_time = async {
            let result = timeout::<R, _>(self.connect_time(), &server, negotiated).await;
            if let Err(error) = &result
                && error.refusal().is_none()
            {
                trace::failed(error);
            }
            result
        };
        span.of(in_time).await
    }
}

/// The settings of a [`Plan`], for everything that is started by a client.
macro_rules! plan_settings {
    ($self:ident => $plan:expr) => {
        /// What to upgrade the connection to first: WebSocket unless said.
        pub fn transport(mut $self, transport: channel_proto::Transport) -> Self {
            $plan.transport = transport;
            $self
        }

        /// The subprotocols to offer first, best first, in the place of [`Subprotocol::default_offer`](channel_proto::Subprotocol::default_offer). What is
        /// offered after a refusal is a matter of [`fallbacks`](Self::fallbacks).
        pub fn offer(mut $self, offer: impl IntoIterator<Item = channel_proto::Subprotocol>) -> Self {
            $plan.offer = Some(offer.into_iter().collect());
            $self
        }

        /// What may be tried after a refusal that makes it [worth trying](channel_proto::upgrade::Refusal::fallback): all of it
        /// unless said, nothing with `[]`.
        pub fn fallbacks(mut $self, steps: impl IntoIterator<Item = channel_proto::upgrade::Fallback>) -> Self {
            $plan.fallbacks = steps.into_iter().collect();
            $self
        }
    };
}

pub(crate) use plan_settings;
