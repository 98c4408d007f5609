//! Over channels: one connection for each port and upgrade.

use channel_driver::{Connection, Error, Forward, ListenerState, PortForward};
use channel_proto::Subprotocol;
use channel_suite::behaviour;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::talk;
use crate::support::{
    flavour::Flavour,
    pod::pod,
    streams::{LOOPBACK, connect, echo, port, read_all},
    tasks::until,
};

/// Over channels, to these ports.
async fn over_channels<F: Flavour>(request: PortForward<F::Runtime>, ports: [u16; 2]) -> Forward<F::Runtime> {
    request.offer([Subprotocol::V4]).fallbacks([]).ports(ports).start().await.expect("channels")
}

// Holds PFW-12.
#[behaviour]
async fn over_channels_connections_are_as_many_as_wanted<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let ports = [port::<F, _>(echo).await, port::<F, _>(echo).await];
    let forward = over_channels::<F>(client.port_forward("default", "embedded"), ports).await;
    let mut open: Vec<Connection> = Vec::new();
    for target in [ports[0], ports[0], ports[1], ports[0], ports[1]] {
        open.push(forward.connect(target).await.unwrap());
    }
    for connection in &mut open {
        talk(connection, b"each").await;
    }
    drop(open);
    let listener = forward.listen(LOOPBACK, ports[0]).await.unwrap();
    for _ in 0..3 {
        let mut one = connect::<F>(listener.address()).await.unwrap();
        let mut other = connect::<F>(listener.address()).await.unwrap();
        talk(&mut one, b"one").await;
        talk(&mut other, b"other").await;
    }
    assert_eq!(listener.state(), ListenerState::Connected, "there is none to lose");
}

// Holds PFW-12.
#[behaviour]
async fn over_channels_a_url_is_good_for_the_ports_it_stands_for<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let ports = [port::<F, _>(echo).await, port::<F, _>(echo).await];
    let at = format!("/api/v1/namespaces/default/pods/embedded/portforward?ports={},{}", ports[0], ports[1]);
    let forward = over_channels::<F>(client.port_forward_at(at), ports).await;
    let mut first = forward.connect(ports[0]).await.unwrap();
    assert!(matches!(forward.connect(ports[0]).await, Err(Error::Forward(_))));
    talk(&mut first, b"goes on").await;
    talk(&mut forward.connect(ports[1]).await.unwrap(), b"the other").await;
    // What cannot be connected is told, and hung up on.
    let listener = forward.listen(LOOPBACK, ports[0]).await.unwrap();
    let mut local = connect::<F>(listener.address()).await.unwrap();
    assert_eq!(local.read(&mut [0]).await.unwrap_or_default(), 0);
    let failures = listener.take_failures();
    assert!(failures[0].contains("channels have one connection for each port"), "{failures:?}");
}

// Holds PFW-13.
#[behaviour]
async fn an_end_that_channels_cannot_pass_on_is_told_behind_the_answer<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let ports = [port::<F, _>(echo).await, port::<F, _>(echo).await];
    let forward = over_channels::<F>(client.port_forward("default", "embedded"), ports).await;
    let listener = forward.listen(LOOPBACK, ports[0]).await.unwrap();
    let mut local = connect::<F>(listener.address()).await.unwrap();
    local.write_all(b"question").await.unwrap();
    local.close().await.unwrap();
    // It goes on until nothing has come for 5 s.
    assert_eq!(read_all(&mut local).await.unwrap(), b"question");
    let mut failures = Vec::new();
    until::<F>("it is told", || {
        failures.extend(listener.take_failures());
        !failures.is_empty()
    })
    .await;
    assert!(failures[0].contains("channels cannot end one direction"), "{failures:?}");
}
