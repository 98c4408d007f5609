//! What takes minutes and hours, with the heartbeat's defaults. Time can only be made to stand still on tokio, so these are tests of tokio alone; the same
//! behaviours at shorter times, and all others, are in `channel-suite`, for every runtime.

use std::time::Duration;

use bytes::BytesMut;
use channel_tokio::{
    HeartbeatConfig, Io, Outcome, Session, SessionConfig, Streams, Subprotocol, TerminalSize, Tokio,
    server::ServerSession,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

/// Both ends of a session over a pipe in memory that holds `capacity` bytes each way.
fn pair(capacity: usize, streams: Streams, client: &SessionConfig) -> (Session, ServerSession) {
    let (near, far) = tokio::io::duplex(capacity);
    (over(near, streams, client), serve(far, streams))
}

fn over(stream: tokio::io::DuplexStream, streams: Streams, config: &SessionConfig) -> Session {
    Session::over::<Tokio>(Io(stream), BytesMut::new(), Subprotocol::V5, streams, config)
}

fn serve(stream: tokio::io::DuplexStream, streams: Streams) -> ServerSession {
    let config = SessionConfig::server();
    ServerSession::over::<Tokio>(Io(stream), BytesMut::new(), Subprotocol::V5, streams, &config)
}

const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };

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

// Holds WSF-18.
#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_an_error_after_61_s() {
    let (near, _far) = tokio::io::duplex(4096);
    let mut client = over(near, ALL, &SessionConfig::client([1; 32]));
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
