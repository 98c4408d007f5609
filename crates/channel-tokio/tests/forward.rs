//! Port-forward through the embedded pod: real ports, real sockets.

mod common;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use channel_tokio::{Client, Connection, Endpoint, Error, Forward, ListenerState, PortForward, Subprotocol};
use common::{bounded, pod};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

/// A port of this machine where every connection is served by `serve`.
async fn port<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("a bound port").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

/// Answers with everything, but only after the end of the question.
async fn answer_after_end(mut stream: TcpStream) {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.expect("a question");
    stream.write_all(&all).await.expect("somebody to answer");
}

async fn echo(mut stream: TcpStream) {
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
}

async fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    listener.local_addr().expect("a bound port").port()
}

async fn forward(client: &Client) -> Forward {
    client.port_forward("default", "embedded").start().await.expect("a pod")
}

fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (seed..seed + len).map(|at| (at * 31 / 7).to_le_bytes()[0]).collect()
}

// Holds PFW-10.
#[tokio::test]
async fn an_answer_after_the_half_close_arrives() {
    bounded(async {
        let (_pod, client) = pod().await;
        let forward = forward(&client).await;
        let mut connection = forward.connect(port(answer_after_end).await).await.unwrap();
        let question = pattern(0, 300_000);
        connection.write_all(&question).await.unwrap();
        connection.shutdown().await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        assert!(answer == question);
    })
    .await;
}

// Holds PFW-4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_connection_of_a_hundred_harms_no_other() {
    bounded(async {
        let (_pod, client) = pod().await;
        let forward = forward(&client).await;
        let (open, closed) = (port(echo).await, closed_port().await);
        // One is never read (less than stops the connection), one is refused, one is dropped in the middle.
        let mut unread = forward.connect(open).await.unwrap();
        unread.write_all(&pattern(1, 50_000)).await.unwrap();
        let mut refused = forward.connect(closed).await.unwrap();
        let error = refused.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(
            error.to_string().contains(&format!("127.0.0.1:{closed}: connect: connection refused")),
            "{error}"
        );
        assert_eq!(refused.write_all(b"x").await.unwrap_err().to_string(), error.to_string());
        let mut dropped = forward.connect(open).await.unwrap();
        dropped.write_all(b"dropped").await.unwrap();
        dropped.reset();

        let mut good = JoinSet::new();
        for seed in 0..97 {
            let forward = forward.clone();
            good.spawn(async move {
                let mut connection = forward.connect(open).await.unwrap();
                let data = pattern(seed, 20_000 + seed);
                let sent = data.clone();
                connection.write_all(&sent).await.unwrap();
                connection.shutdown().await.unwrap();
                let mut back = Vec::new();
                connection.read_to_end(&mut back).await.unwrap();
                assert!(back == data, "{seed}");
            });
        }
        assert_eq!(good.join_all().await.len(), 97);
    })
    .await;
}

#[tokio::test]
async fn megabytes_go_both_ways_through_a_local_port() {
    bounded(async {
        let (_pod, client) = pod().await;
        let forward = forward(&client).await;
        let listener =
            forward.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), port(echo).await).await.unwrap();
        let local = TcpStream::connect(listener.address()).await.unwrap();
        let (mut read, mut write) = local.into_split();
        let data = pattern(0, 16 << 20);
        let sent = data.clone();
        let writing = tokio::spawn(async move {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        });
        let mut back = Vec::new();
        read.read_to_end(&mut back).await.unwrap();
        writing.await.unwrap();
        assert!(back == data, "{} of {}", back.len(), data.len());
    })
    .await;
}

#[tokio::test]
async fn a_listener_outlives_the_connection_to_the_pod() {
    bounded(async {
        let target = port(echo).await;
        let first = channel_pod::Pod::builder().token("same").start().await.unwrap();
        let address = first.address();
        let client = Client::new(Endpoint::new(&first.url()).unwrap().token("same"));
        let forward = forward(&client).await;
        let listener = forward.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), target).await.unwrap();
        assert_eq!(listener.state(), ListenerState::Connected);

        drop(first);
        let lost = listener.changed(&ListenerState::Connected).await;
        assert!(matches!(lost, ListenerState::Reconnecting { .. }), "{lost:?}");
        // Who connects meanwhile waits.
        let mut local = TcpStream::connect(listener.address()).await.unwrap();
        local.write_all(b"patience").await.unwrap();
        sleep(Duration::from_millis(300)).await;

        let _second = channel_pod::Pod::builder().listen(address).token("same").start().await.unwrap();
        let mut back = [0; 8];
        local.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"patience");
        let mut state = listener.state();
        while state != ListenerState::Connected {
            state = listener.changed(&state).await;
        }
    })
    .await;
}

#[tokio::test]
async fn dropping_everything_closes_everything() {
    bounded(async {
        let (_pod, client) = pod().await;
        let forward = forward(&client).await;
        let listener =
            forward.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), port(echo).await).await.unwrap();
        let address = listener.address();
        drop((listener, forward));
        let refused = async {
            while TcpStream::connect(address).await.is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(5), refused).await.expect("the local port is closed");
    })
    .await;
}

/// Over channels, to these ports.
async fn over_channels(request: PortForward, ports: [u16; 2]) -> Forward {
    request.offer([Subprotocol::V4]).fallbacks([]).ports(ports).start().await.expect("channels")
}

async fn talk(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), word: &[u8]) {
    stream.write_all(word).await.expect("somebody to hear it");
    let mut back = vec![0; word.len()];
    stream.read_exact(&mut back).await.expect("an answer");
    assert_eq!(back, word);
}

// Holds PFW-12.
#[tokio::test]
async fn over_channels_connections_are_as_many_as_wanted() {
    bounded(async {
        let (_pod, client) = pod().await;
        let ports = [port(echo).await, port(echo).await];
        let forward = over_channels(client.port_forward("default", "embedded"), ports).await;
        let mut open: Vec<Connection> = Vec::new();
        for target in [ports[0], ports[0], ports[1], ports[0], ports[1]] {
            open.push(forward.connect(target).await.unwrap());
        }
        for connection in &mut open {
            talk(connection, b"each").await;
        }
        drop(open);
        let listener = forward.listen((Ipv4Addr::LOCALHOST, 0).into(), ports[0]).await.unwrap();
        for _ in 0..3 {
            let mut one = TcpStream::connect(listener.address()).await.unwrap();
            let mut other = TcpStream::connect(listener.address()).await.unwrap();
            talk(&mut one, b"one").await;
            talk(&mut other, b"other").await;
        }
        assert_eq!(listener.state(), ListenerState::Connected, "there is none to lose");
    })
    .await;
}

// Holds PFW-12.
#[tokio::test]
async fn over_channels_a_url_is_good_for_the_ports_it_stands_for() {
    bounded(async {
        let (_pod, client) = pod().await;
        let ports = [port(echo).await, port(echo).await];
        let at =
            format!("/api/v1/namespaces/default/pods/embedded/portforward?ports={},{}", ports[0], ports[1]);
        let forward = over_channels(client.port_forward_at(at), ports).await;
        let mut first = forward.connect(ports[0]).await.unwrap();
        assert!(matches!(forward.connect(ports[0]).await, Err(Error::Forward(_))));
        talk(&mut first, b"goes on").await;
        talk(&mut forward.connect(ports[1]).await.unwrap(), b"the other").await;
        // What cannot be connected is told, and hung up on.
        let listener = forward.listen((Ipv4Addr::LOCALHOST, 0).into(), ports[0]).await.unwrap();
        let mut local = TcpStream::connect(listener.address()).await.unwrap();
        assert_eq!(local.read(&mut [0]).await.unwrap_or_default(), 0);
        let failures = listener.take_failures();
        assert!(failures[0].contains("channels have one connection for each port"), "{failures:?}");
    })
    .await;
}
