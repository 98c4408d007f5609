//! What carries many connections: the tunnel and raw SPDY.

use channel_driver::{Client, Forward, PortForward, runtime::Runtime};
use channel_proto::{Subprotocol, Transport};

/// One of the two.
pub(crate) trait Carrier: Send + 'static {
    const TRANSPORT: Transport;
    const SUBPROTOCOL: Subprotocol;
}

pub(crate) struct Tunnel;

impl Carrier for Tunnel {
    const TRANSPORT: Transport = Transport::WebSocket;
    const SUBPROTOCOL: Subprotocol = Subprotocol::Tunnel;
}

pub(crate) struct RawSpdy;

impl Carrier for RawSpdy {
    const TRANSPORT: Transport = Transport::Spdy;
    const SUBPROTOCOL: Subprotocol = Subprotocol::PortForward;
}

/// A forward to the embedded pod, over this carrier and no other.
pub(crate) async fn forward<C: Carrier, R: Runtime<Timer: Unpin>>(client: &Client<R>) -> Forward<R> {
    start::<C, R>(client.port_forward("default", "embedded")).await
}

pub(crate) async fn start<C: Carrier, R: Runtime<Timer: Unpin>>(request: PortForward<R>) -> Forward<R> {
    let forward = request.transport(C::TRANSPORT).fallbacks([]).start().await.expect("a pod");
    assert_eq!(forward.subprotocol(), C::SUBPROTOCOL);
    forward
}
