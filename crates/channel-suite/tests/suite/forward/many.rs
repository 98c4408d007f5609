//! Port-forward through the embedded pod: real ports, real sockets.

use std::{io, time::Duration};

use channel_driver::{Client, Connection, Endpoint, Error, Forward, ListenerState, PortForward};
use channel_pod::Pod;
use channel_proto::Subprotocol;
use channel_suite::behaviour;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::support::{
    flavour::Flavour,
    pod::{pod, start},
    streams::{LOOPBACK, answer_after_end, closed_port, connect, echo, pattern, port, read_all},
    tasks::{sleep, spawn, timeout},
};

async fn forward<F: Flavour>(client: &Client<F::Runtime>) -> Forward<F::Runtime> {
    client.port_forward("default", "embedded").start().await.expect("a pod")
}

// Holds PFW-10.
#[behaviour]
async fn an_answer_after_the_half_close_arrives<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let forward = forward::<F>(&client).await;
    let mut connection = forward.connect(port::<F, _>(answer_after_end).await).await.unwrap();
    let question = pattern(0, 300_000);
    connection.write_all(&question).await.unwrap();
    connection.close().await.unwrap();
    let answer = read_all(&mut connection).await.unwrap();
    assert!(answer == question);
}

// Holds PFW-4.
#[behaviour]
async fn one_bad_connection_of_a_hundred_harms_no_other<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let forward = forward::<F>(&client).await;
    let (open, closed) = (port::<F, _>(echo).await, closed_port());
    // One is never read (less than stops the connection), one is refused, one is dropped in the middle.
    let mut unread = forward.connect(open).await.unwrap();
    unread.write_all(&pattern(1, 50_000)).await.unwrap();
    let mut refused = forward.connect(closed).await.unwrap();
    let error = refused.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(
        error.to_string().contains(&format!("127.0.0.1:{closed}: connect: connection refused")),
        "{error}"
    );
    assert_eq!(refused.write_all(b"x").await.unwrap_err().to_string(), error.to_string());
    let mut dropped = forward.connect(open).await.unwrap();
    dropped.write_all(b"dropped").await.unwrap();
    dropped.reset();

    let mut good = Vec::new();
    for seed in 0..97 {
        let forward = forward.clone();
        good.push(spawn::<F, _>(async move {
            let mut connection = forward.connect(open).await.unwrap();
            let data = pattern(seed, 20_000 + seed);
            let sent = data.clone();
            connection.write_all(&sent).await.unwrap();
            connection.close().await.unwrap();
            let back = read_all(&mut connection).await.unwrap();
            assert!(back == data, "{seed}");
        }));
    }
    for connection in good {
        connection.await;
    }
}

#[behaviour]
async fn megabytes_go_both_ways_through_a_local_port<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let forward = forward::<F>(&client).await;
    let listener = forward.listen(LOOPBACK, port::<F, _>(echo).await).await.unwrap();
    let (mut read, mut write) = connect::<F>(listener.address()).await.unwrap().split();
    let data = pattern(0, 16 << 20);
    let sent = data.clone();
    let writing = spawn::<F, _>(async move {
        write.write_all(&sent).await.unwrap();
        write.close().await.unwrap();
    });
    let back = read_all(&mut read).await.unwrap();
    writing.await;
    assert!(back == data, "{} of {}", back.len(), data.len());
}

#[behaviour]
async fn a_listener_outlives_the_connection_to_the_pod<F: Flavour>() {
    let target = port::<F, _>(echo).await;
    let first = start(Pod::builder().token("same")).await;
    let address = first.address();
    let client: Client<F::Runtime> = Client::new(Endpoint::new(&first.url()).unwrap().token("same"));
    let forward = forward::<F>(&client).await;
    let listener = forward.listen(LOOPBACK, target).await.unwrap();
    assert_eq!(listener.state(), ListenerState::Connected);

    drop(first);
    let lost = listener.changed(&ListenerState::Connected).await;
    assert!(matches!(lost, ListenerState::Reconnecting { .. }), "{lost:?}");
    // Who connects meanwhile waits.
    let mut local = connect::<F>(listener.address()).await.unwrap();
    local.write_all(b"patience").await.unwrap();
    sleep::<F>(Duration::from_millis(300)).await;

    let _second = start(Pod::builder().listen(address).token("same")).await;
    let mut back = [0; 8];
    local.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"patience");
    let mut state = listener.state();
    while state != ListenerState::Connected {
        state = listener.changed(&state).await;
    }
}

#[behaviour]
async fn dropping_everything_closes_everything<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let forward = forward::<F>(&client).await;
    let listener = forward.listen(LOOPBACK, port::<F, _>(echo).await).await.unwrap();
    let address = listener.address();
    drop((listener, forward));
    let refused = async {
        while connect::<F>(address).await.is_ok() {
            sleep::<F>(Duration::from_millis(10)).await;
        }
    };
    timeout::<F, _>(Duration::from_secs(5), refused).await.expect("the local port is closed");
}

/// Over channels, to these ports.
async fn over_channels<F: Flavour>(request: PortForward<F::Runtime>, ports: [u16; 2]) -> Forward<F::Runtime> {
    request.offer([Subprotocol::V4]).fallbacks([]).ports(ports).start().await.expect("channels")
}

async fn talk(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), word: &[u8]) {
    stream.write_all(word).await.expect("somebody to hear it");
    stream.flush().await.expect("somebody to hear it");
    let mut back = vec![0; word.len()];
    stream.read_exact(&mut back).await.expect("an answer");
    assert_eq!(back, word);
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

// Holds PFW-4.
#[behaviour]
async fn a_reader_that_is_too_slow_is_reset_where_that_is_wanted<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let request = client.port_forward("default", "embedded").reset_slow_readers(Duration::from_millis(100));
    let forward = request.start().await.unwrap();
    let open = port::<F, _>(echo).await;
    let mut slow = forward.connect(open).await.unwrap();
    let mut other = forward.connect(open).await.unwrap();
    talk(&mut other, b"before").await;
    // It asks for more than is kept for it, and reads none of that.
    let asking = async { while slow.write_all(&[7; 64 << 10]).await.is_ok() {} };
    asking.await;
    talk(&mut other, b"after").await;
    let error = slow.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
}
