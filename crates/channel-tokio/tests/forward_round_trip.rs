//! How many round trips a new connection of an open forward takes: counted by a relay that lets one direction through at a time.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod support;

use std::{
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    task::Poll,
    time::Duration,
};

use channel_pod::Pod;
use channel_tokio::{Client, Endpoint, Forward, PortForward};
use support::bounded;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
};

/// Which way bytes may go on the forward's own connection. The others wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Both,
    ToPod,
    FromPod,
}

/// A forward through a relay, and the relay's gate.
struct Gated {
    _pod: Pod,
    forward: Forward,
    gate: watch::Sender<Open>,
}

impl Gated {
    async fn start() -> Self {
        Self::start_with(|request| request).await
    }

    async fn start_with(set: impl FnOnce(PortForward) -> PortForward) -> Self {
        let pod = Pod::builder().start().await.expect("a free port");
        let (gate, opened) = watch::channel(Open::Both);
        let relay = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let url = format!("http://{}", relay.local_addr().expect("a bound port"));
        let address = pod.address();
        tokio::spawn(async move {
            while let Ok((near, _)) = relay.accept().await {
                let far = TcpStream::connect(address).await.expect("the pod");
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_read, far_write, opened.clone(), Open::ToPod));
                tokio::spawn(carry(far_read, near_write, opened.clone(), Open::FromPod));
            }
        });
        let client = Client::new(Endpoint::new(&url).expect("a URL").token(pod.token()));
        let forward = set(client.port_forward("default", "embedded")).start().await.expect("a pod");
        Self { _pod: pod, forward, gate }
    }
}

/// Carries one direction, while the gate lets it.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: watch::Receiver<Open>, way: Open) {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if gate.wait_for(|open| *open == Open::Both || *open == way).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// A port that answers the first byte of each connection, and tells that it came.
async fn port() -> (u16, mpsc::UnboundedReceiver<u8>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("a bound port").port();
    let (tell, came) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let byte = stream.read_u8().await.expect("a byte");
            tell.send(byte).expect("somebody to tell");
            stream.write_u8(byte + 1).await.expect("somebody to answer");
        }
    });
    (port, came)
}

/// There with nothing from the pod, and back with nothing to it: the bytes went once each way.
async fn one_round_trip<S: AsyncRead + AsyncWrite + Unpin>(
    gate: &watch::Sender<Open>,
    came: &mut mpsc::UnboundedReceiver<u8>,
    connect: impl Future<Output = S>,
) {
    gate.send_replace(Open::ToPod);
    let mut connection = connect.await;
    connection.write_u8(7).await.expect("a connection");
    connection.flush().await.expect("a connection");
    assert_eq!(came.recv().await, Some(7));
    gate.send_replace(Open::FromPod);
    assert_eq!(connection.read_u8().await.expect("an answer"), 8);
    gate.send_replace(Open::Both);
}

// Holds PFW-9.
#[tokio::test]
async fn the_first_byte_of_a_connection_is_back_after_one_round_trip() {
    bounded(async {
        let gated = Gated::start().await;
        let (port, mut came) = port().await;
        for _ in 0..3 {
            let connect = async { gated.forward.connect(port).await.unwrap() };
            one_round_trip(&gated.gate, &mut came, connect).await;
        }
    })
    .await;
}

// Holds PFW-9.
#[tokio::test]
async fn the_first_byte_through_a_local_port_is_back_after_one_round_trip() {
    bounded(async {
        let gated = Gated::start().await;
        let (port, mut came) = port().await;
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = gated.forward.listen(local, port).await.unwrap();
        for _ in 0..3 {
            let connect = async { TcpStream::connect(listener.address()).await.unwrap() };
            one_round_trip(&gated.gate, &mut came, connect).await;
        }
    })
    .await;
}

// Holds PFW-9.
#[tokio::test]
async fn a_connection_that_is_to_be_accepted_first_waits_for_that() {
    bounded(async {
        let gated = Gated::start_with(PortForward::wait_until_accepted).await;
        let (port, mut came) = port().await;
        gated.gate.send_replace(Open::ToPod);
        let mut connect = pin!(gated.forward.connect(port));
        let early = tokio::time::timeout(Duration::from_millis(200), &mut connect).await;
        assert!(early.is_err(), "nothing came back yet");
        gated.gate.send_replace(Open::Both);
        let connection = connect.await.unwrap();
        one_round_trip(&gated.gate, &mut came, async { connection }).await;
        // Of one that cannot be had, the pod says so behind that it was accepted. Here both have come when it is looked at.
        let mut connect = pin!(gated.forward.connect(1));
        assert!(poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx).is_pending())).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut refused = connect.await.unwrap();
        assert!(refused.read_u8().await.unwrap_err().to_string().contains("connection refused"));
        // Through a local port it fails alone, too.
        let listener = gated.forward.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1).await.unwrap();
        let mut local = TcpStream::connect(listener.address()).await.unwrap();
        assert!(local.read_u8().await.is_err());
        let mut failures = Vec::new();
        while failures.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            failures = listener.take_failures();
        }
        assert!(failures[0].contains("connection refused"), "{failures:?}");
    })
    .await;
}

/// Whoever speaks second waits for no write: the request for a connection goes out by itself.
#[tokio::test]
async fn a_connection_that_is_not_written_to_is_opened() {
    bounded(async {
        let gated = Gated::start().await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let _connection = gated.forward.connect(port).await.unwrap();
        listener.accept().await.unwrap();
    })
    .await;
}
