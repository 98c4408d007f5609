//! What a server does not know gives way to what it may know: the tunnel, SPDY, channels.

use channel_driver::{Connection, Error};
use channel_proto::{
    Subprotocol, Transport,
    upgrade::{Fallback, Refusal},
};
use channel_suite::behaviour;
use http::Method;

use super::{
    server::{Asked, Server},
    talk,
};
use crate::support::{
    flavour::Flavour,
    streams::{LOOPBACK, connect},
};

const PORTS: [u16; 2] = [80, 443];

fn tunnel() -> Asked {
    (Method::GET, "SPDY/3.1+portforward.k8s.io".into(), None)
}

fn spdy() -> Asked {
    (Method::POST, "portforward.k8s.io".into(), None)
}

fn channels(ports: &str) -> Asked {
    (Method::GET, "v4.channel.k8s.io".into(), Some(ports.into()))
}

fn refused(refusals: &[Refusal]) -> Vec<(Transport, u16)> {
    refusals.iter().map(|refusal| (refusal.transport, refusal.status.as_u16())).collect()
}

const BOTH_REFUSED: [(Transport, u16); 2] = [(Transport::WebSocket, 403), (Transport::Spdy, 403)];

// Holds UPG-27, PFW-1.
#[behaviour]
async fn where_neither_the_tunnel_nor_spdy_is_known_channels_are_taken<F: Flavour>() {
    let server = Server::<F::Runtime>::knowing(Subprotocol::V4).await;
    let forward = server.client.port_forward("ns", "p").ports(PORTS).start().await.unwrap();
    assert_eq!(server.asked(), [tunnel(), spdy(), channels("ports=80&ports=443")]);
    assert_eq!(forward.subprotocol(), Subprotocol::V4);
    assert_eq!(refused(&forward.refusals()), BOTH_REFUSED);
    let mut open: Vec<Connection> = Vec::new();
    for port in PORTS {
        open.push(forward.connect(port).await.unwrap());
    }
    assert_eq!(server.asked(), []);
    // A second one to a port is an upgrade of its own. What is not known is known by now.
    open.push(forward.connect(80).await.unwrap());
    assert_eq!(server.asked(), [channels("ports=80")]);
    let listener = forward.listen(LOOPBACK, 443).await.unwrap();
    talk(&mut connect::<F>(listener.address()).await.unwrap(), b"through a local port").await;
    for connection in &mut open {
        talk(connection, b"over channels").await;
    }
}

// Holds UPG-27.
#[behaviour]
async fn where_the_tunnel_is_not_known_spdy_is_taken<F: Flavour>() {
    let server = Server::<F::Runtime>::knowing(Subprotocol::PortForward).await;
    let forward = server.client.port_forward("ns", "p").ports(PORTS).start().await.unwrap();
    assert_eq!(server.asked(), [tunnel(), spdy()]);
    assert_eq!(forward.subprotocol(), Subprotocol::PortForward);
    assert_eq!(refused(&forward.refusals()), BOTH_REFUSED[..1]);
    for _ in 0..2 {
        talk(&mut forward.connect(80).await.unwrap(), b"over SPDY").await;
    }
    assert_eq!(server.asked(), []);
}

#[behaviour]
async fn where_no_fallback_is_wanted_a_refusal_is_the_end<F: Flavour>() {
    let server = Server::<F::Runtime>::knowing(Subprotocol::V4).await;
    let request = server.client.port_forward("ns", "p").ports(PORTS).fallbacks([]);
    let Err(Error::Refused(refusal)) = request.start().await else { panic!() };
    assert_eq!((refusal.status.as_u16(), &refusal.body[..]), (403, &b"unknown subprotocol"[..]));
    assert_eq!(refusal.fallback(), Some(Fallback::Spdy), "it would have made sense");
    assert_eq!(server.asked(), [tunnel()]);
}

// Holds PFW-1, PFW-2.
#[behaviour]
async fn channels_are_not_tried_for_ports_that_nobody_named<F: Flavour>() {
    let server = Server::<F::Runtime>::knowing(Subprotocol::V4).await;
    let request = || server.client.port_forward("ns", "p");
    for request in [request(), request().ports([]), request().ports(PORTS).fallbacks([Fallback::Spdy])] {
        let error = request.start().await.unwrap_err();
        let Error::FellBack { refusals, error } = &error else { panic!("{error:?}") };
        assert_eq!(refused(refusals), BOTH_REFUSED[..1]);
        let Error::Refused(last) = &**error else { panic!("{error:?}") };
        assert_eq!(last.fallback(), Some(Fallback::Channels));
        assert_eq!(server.asked(), [tunnel(), spdy()]);
    }
}
