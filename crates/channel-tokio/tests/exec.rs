//! Exec through the embedded pod: a real process, a real socket.

use std::time::Duration;

use channel_pod::Pod;
use channel_tokio::{Client, Endpoint, Outcome};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

async fn pod() -> (Pod, Client) {
    let pod = Pod::builder().start().await.unwrap();
    let client = Client::new(Endpoint::new(&pod.url()).unwrap().token(pod.token()));
    (pod, client)
}

/// Every test ends: one that hangs fails.
async fn bounded<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("took too long")
}

// Holds EXE-12, EXE-14.
#[tokio::test]
async fn output_is_collected_apart_with_the_exit_code() {
    bounded(async {
        let (_pod, client) = pod().await;
        let run = client.exec("default", "embedded").command(["sh", "-c", "echo out; echo err >&2; exit 7"]);
        let output = run.output().await.unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.outcome, Outcome::Exited(7));
    })
    .await;
}

// Holds EXE-2.
#[tokio::test]
async fn ending_stdin_lets_the_output_come() {
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

#[tokio::test]
async fn megabytes_go_both_ways_at_once() {
    bounded(async {
        let (_pod, client) = pod().await;
        let run = client.exec("default", "embedded").command(["cat"]).stdin().stdout();
        let mut session = run.start().await.unwrap();
        let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
        let data: Vec<u8> = (0..32 << 20).map(|at: u32| (at / 7) as u8).collect();
        let sent = data.clone();
        let writer = tokio::spawn(async move {
            stdin.write_all(&sent).await.unwrap();
            stdin.shutdown().await.unwrap();
        });
        let mut back = Vec::new();
        stdout.read_to_end(&mut back).await.unwrap();
        writer.await.unwrap();
        assert!(back == data, "{} of {} bytes came back", back.len(), data.len());
        assert!(session.wait().await.unwrap().success());
    })
    .await;
}
