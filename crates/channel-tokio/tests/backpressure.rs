//! One slow reader stops what has to wait for it, and nothing else.

mod common;

use std::time::Duration;

use channel_tokio::{HeartbeatConfig, Outcome, SessionConfig, Streams, TerminalSize};
use common::{ALL, bounded, pair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

/// Writes until writing stops for a while; how much went.
async fn fill(writer: &mut (impl AsyncWriteExt + Unpin)) -> usize {
    let mut written = 0;
    while let Ok(count) = timeout(Duration::from_millis(50), writer.write(&[7; 8192])).await {
        written += count.expect("the session goes on");
    }
    written
}

// Holds WSF-19.
#[tokio::test(start_paused = true)]
async fn unread_stdout_stops_the_server_and_neither_stdin_nor_sizes_nor_the_heartbeat() {
    let streams = Streams { stderr: false, tty: true, ..ALL };
    let (mut client, mut server) = pair(4096, streams, &SessionConfig::client([1; 32]));
    let (mut stdin, mut stdout) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    let (mut input, mut output) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());

    let written = fill(&mut output).await;
    assert!(written > 128 << 10, "{written} bytes before the server blocked");
    assert!(written < 1 << 20, "{written} bytes were kept for a reader who does not read");

    // Ten minutes later the peer is not dead, and what does not depend on stdout goes on.
    sleep(Duration::from_secs(600)).await;
    stdin.write_all(b"input").await.unwrap();
    let mut got = [0; 5];
    input.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"input");
    client.resize(TerminalSize { width: 90, height: 20 }).unwrap();
    assert_eq!(server.size().await, Some(TerminalSize { width: 90, height: 20 }));

    // Reading goes on where it stopped, and nothing is missing.
    let finish = tokio::spawn(async move {
        output.write_all(b"end").await.unwrap();
        drop(output);
        server.finish(&Outcome::Exited(0)).await.unwrap();
    });
    let mut all = Vec::new();
    stdout.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), written + 3);
    assert_eq!(client.wait().await.unwrap(), Outcome::Exited(0));
    finish.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn unread_stdin_stops_the_client_and_no_output() {
    let (mut client, mut server) = pair(4096, ALL, &SessionConfig::client([1; 32]));
    let (mut stdin, mut stdout) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    let written = fill(&mut stdin).await;
    assert!(written < 1 << 20, "{written} bytes were kept for a process that does not read");
    let mut output = server.stdout.take().unwrap();
    output.write_all(b"output").await.unwrap();
    let mut got = [0; 6];
    stdout.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"output");
}

#[tokio::test]
async fn dropping_a_reader_lets_the_others_go_on() {
    bounded(async {
        let (mut client, mut server) = pair(4096, ALL, &SessionConfig::client([1; 32]));
        drop(client.stdout.take());
        let (mut output, mut errors) = (server.stdout.take().unwrap(), server.stderr.take().unwrap());
        let finish = tokio::spawn(async move {
            output.write_all(&vec![1; 4 << 20]).await.unwrap();
            errors.write_all(b"said at the end").await.unwrap();
            drop((output, errors));
            server.finish(&Outcome::Exited(0)).await.unwrap();
        });
        let mut all = String::new();
        client.stderr.take().unwrap().read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "said at the end");
        assert!(client.wait().await.unwrap().success());
        finish.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_reader_held_up_by_another_goes_on_when_that_one_reads() {
    bounded(async {
        let (mut client, mut server) = pair(4096, ALL, &SessionConfig::client([1; 32]));
        let (mut stdout, mut stderr) = (client.stdout.take().unwrap(), client.stderr.take().unwrap());
        let (mut output, mut errors) = (server.stdout.take().unwrap(), server.stderr.take().unwrap());
        let finish = tokio::spawn(async move {
            errors.write_all(&vec![2; 1 << 20]).await.unwrap();
            output.write_all(b"behind it").await.unwrap();
            drop((output, errors));
            server.finish(&Outcome::Exited(0)).await.unwrap();
        });
        let behind = tokio::spawn(async move {
            let mut all = String::new();
            stdout.read_to_string(&mut all).await.unwrap();
            all
        });
        sleep(Duration::from_millis(100)).await;
        assert!(!behind.is_finished());
        let mut all = Vec::new();
        stderr.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), 1 << 20);
        assert_eq!(behind.await.unwrap(), "behind it");
        finish.await.unwrap();
    })
    .await;
}

// Holds WSF-18.
#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_an_error_after_61_s() {
    let (near, _far) = tokio::io::duplex(4096);
    let mut client = common::over(near, ALL, &SessionConfig::client([1; 32]));
    let start = tokio::time::Instant::now();
    let error = client.stdout.take().unwrap().read_u8().await.unwrap_err();
    assert!(error.to_string().contains("silent"), "{error}");
    assert!(client.outcome().await.unwrap_err().to_string().contains("silent"));
    assert_eq!(start.elapsed().as_secs(), 61);
}

// Holds WSF-16, WSF-17.
#[tokio::test(start_paused = true)]
async fn an_idle_session_lives_for_hours_on_pings_alone() {
    let (client, server) = pair(4096, ALL, &SessionConfig::client([1; 32]));
    sleep(Duration::from_secs(4 * 3600)).await;
    let finish = tokio::spawn(async move { server.finish(&Outcome::Exited(7)).await });
    assert_eq!(client.wait().await.unwrap(), Outcome::Exited(7));
    finish.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_heartbeat_a_silent_peer_is_waited_for() {
    let mut config = SessionConfig::client([1; 32]);
    config.heartbeat = HeartbeatConfig::OFF;
    let (client, server) = pair(4096, ALL, &config);
    sleep(Duration::from_secs(24 * 3600)).await;
    let finish = tokio::spawn(async move { server.finish(&Outcome::Exited(0)).await });
    assert!(client.wait().await.unwrap().success());
    finish.await.unwrap().unwrap();
}
