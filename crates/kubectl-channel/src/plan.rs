//! What to ask a server for, when the flags say it.

use channel_proto::Service;
use channel_tokio::{Subprotocol, Transport};

use crate::{
    cli::{TransportName, UpgradeFlags},
    exit::Failure,
};

/// What the flags say to ask for. Who says it wants that and nothing else: there is no fallback from it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) transport: Transport,
    pub(crate) offer: Vec<Subprotocol>,
}

impl Plan {
    /// Of a service; `None` if nothing is said, so that a refusal may lead to something else.
    ///
    /// # Errors
    /// It is not spoken.
    pub(crate) fn of(flags: &UpgradeFlags, service: Service) -> Result<Option<Self>, Failure> {
        let UpgradeFlags { transport, subprotocols } = flags;
        if transport.is_none() && subprotocols.is_empty() {
            return Ok(None);
        }
        let transport = match transport {
            None | Some(TransportName::Websocket) => Transport::WebSocket,
            Some(TransportName::Spdy) => Transport::Spdy,
        };
        let offer = match subprotocols.is_empty() {
            true => Subprotocol::default_offer(service, transport).to_vec(),
            false => subprotocols.clone(),
        };
        let spoken = |transport| Subprotocol::spoken(service, transport);
        match offer.iter().find(|offer| !spoken(transport).contains(offer)) {
            None => Ok(Some(Self { transport, offer })),
            Some(wrong) if transport != Transport::Spdy && spoken(Transport::Spdy).contains(wrong) => {
                Err(Failure::usage(format!("{wrong} is spoken over SPDY only: say --transport spdy")))
            }
            Some(wrong) => {
                let what = match service {
                    Service::RemoteCommand => "exec and attach",
                    Service::PortForward => "port-forward",
                };
                Err(Failure::usage(format!("{wrong} is not spoken over {transport} by {what}")))
            }
        }
    }
}

/// Makes a request ask for what a plan says, if there is one.
macro_rules! planned {
    ($request:expr, $plan:expr) => {
        match $plan {
            Some(plan) => {
                let offer = plan.offer.iter().copied();
                $request.transport(plan.transport).offer(offer).fallbacks([])
            }
            None => $request,
        }
    };
}

pub(crate) use planned;
