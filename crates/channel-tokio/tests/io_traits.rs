//! The streams as tokio's `AsyncRead` and `AsyncWrite`. How they behave is tested in `channel-suite`, as futures-io's.

use std::{io, net::Ipv4Addr, time::Duration};

use channel_pod::Pod;
use channel_tokio::{Client, Endpoint, Subprotocol};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

/// Every test ends: one that hangs fails.
async fn bounded<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("took too long")
}

/// An embedded pod and a client of it.
async fn pod() -> (Pod, Client) {
    let pod = Pod::builder().start().await.expect("a free port");
    let client = Client::new(Endpoint::new(&pod.url()).expect("a URL").token(pod.token()));
    (pod, client)
}

// Holds EXE-2.
#[tokio::test]
async fn shutting_stdin_down_lets_the_output_come() {
    bounded(async {
        let (_pod, client) = pod().await;
        let run = client.exec("default", "embedded").command(["wc", "-c"]).stdin().stdout();
        let mut session = run.start().await.unwrap();
        let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
        stdin.write_all(b"hello").await.unwrap();
        stdin.shutdown().await.unwrap();
        let mut count = String::new();
        stdout.read_to_string(&mut count).await.unwrap();
        assert_eq!(count.trim(), "5");
        assert!(session.wait().await.unwrap().success());
    })
    .await;
}

// Holds EXE-4.
#[tokio::test]
async fn before_v5_shutting_stdin_down_is_an_error() {
    bounded(async {
        let (_pod, client) = pod().await;
        let run = client.exec("default", "embedded").command(["cat"]).stdin().stdout();
        let mut session = run.offer([Subprotocol::V4]).start().await.unwrap();
        let error = session.stdin.as_mut().unwrap().shutdown().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("this subprotocol cannot end stdin"), "{error}");
    })
    .await;
}

// Holds PFW-10.
#[tokio::test]
async fn an_answer_after_a_connection_was_shut_down_arrives() {
    bounded(async {
        let (_pod, client) = pod().await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            stream.write_all(&all).await.unwrap();
        });
        let forward = client.port_forward("default", "embedded").start().await.unwrap();
        let mut connection = forward.connect(port).await.unwrap();
        connection.write_all(&[7; 300_000]).await.unwrap();
        connection.shutdown().await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, [7; 300_000]);
        serving.await.unwrap();
    })
    .await;
}
