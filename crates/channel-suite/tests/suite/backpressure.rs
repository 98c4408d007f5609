//! One slow reader stops what has to wait for it, and nothing else; and who is silent for good reason is not dead.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use channel_driver::{Io, Session};
use channel_proto::{HeartbeatConfig, Outcome, SessionConfig, Streams, Subprotocol, TerminalSize};
use channel_suite::behaviour;
use futures::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::support::{
    entry::{ALL, Entry},
    flavour::Flavour,
    streams::{duplex, read_all},
    tasks::{sleep, spawn, timeout},
};

/// A client whose heartbeat is a hundred times as fast as by default, so that these tests last a second. In `channel-tokio`, where time can be
/// made to stand still, the same is tested with the default.
fn impatient() -> SessionConfig {
    let mut config = SessionConfig::client([1; 32]);
    config.heartbeat = HeartbeatConfig { ping_every: Some(PING_EVERY), dead_after: Some(DEAD_AFTER) };
    config
}

const PING_EVERY: Duration = Duration::from_millis(50);
const DEAD_AFTER: Duration = Duration::from_millis(500);

/// Long enough for whom the heartbeat takes for dead to be dead.
const LONG: Duration = Duration::from_millis(1000);

/// Writes until writing stops for a while; how much went.
async fn fill<F: Flavour>(writer: &mut (impl AsyncWrite + Unpin)) -> usize {
    let mut written = 0;
    while let Some(count) = timeout::<F, _>(Duration::from_millis(100), writer.write(&[7; 8192])).await {
        written += count.expect("the session goes on");
    }
    written
}

// Holds WSF-19.
#[behaviour(each entry)]
async fn unread_stdout_stops_the_server_and_neither_stdin_nor_sizes_nor_the_heartbeat<
    F: Flavour,
    E: Entry,
>() {
    let streams = Streams { stderr: false, tty: true, ..ALL };
    let (mut client, mut server) = E::pair::<F>(4096, streams, &impatient());
    let (mut stdin, mut stdout) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    let (mut input, mut output) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());

    let written = fill::<F>(&mut output).await;
    assert!(written > E::KEPT.start, "{written} bytes before the server blocked");
    assert!(written < E::KEPT.end, "{written} bytes were kept for a reader who does not read");

    // Much later the peer is not dead, and what does not depend on stdout goes on.
    sleep::<F>(LONG).await;
    stdin.write_all(b"input").await.unwrap();
    let mut got = [0; 5];
    input.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"input");
    client.resize(TerminalSize { width: 90, height: 20 });
    assert_eq!(server.size().await, Some(TerminalSize { width: 90, height: 20 }));

    // Reading goes on where it stopped, and nothing is missing.
    let finish = spawn::<F, _>(async move {
        output.write_all(b"end").await.unwrap();
        drop(output);
        server.finish(Outcome::Exited(0)).await.unwrap();
    });
    let all = read_all(&mut stdout).await.unwrap();
    assert_eq!(all.len(), written + 3);
    assert_eq!(client.wait().await.unwrap(), Outcome::Exited(0));
    finish.await;
}

#[behaviour(each entry)]
async fn unread_stdin_stops_the_client_and_no_output<F: Flavour, E: Entry>() {
    let (mut client, mut server) = E::pair::<F>(4096, ALL, &impatient());
    let (mut stdin, mut stdout) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    let written = fill::<F>(&mut stdin).await;
    assert!(written < E::KEPT.end, "{written} bytes were kept for a process that does not read");
    let mut output = server.stdout.take().unwrap();
    output.write_all(b"output").await.unwrap();
    output.flush().await.unwrap();
    let mut got = [0; 6];
    stdout.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"output");
}

#[behaviour(each entry)]
async fn dropping_a_reader_lets_the_others_go_on<F: Flavour, E: Entry>() {
    let (mut client, mut server) = E::pair::<F>(4096, ALL, &SessionConfig::client([1; 32]));
    drop(client.stdout.take());
    let (mut output, mut errors) = (server.stdout.take().unwrap(), server.stderr.take().unwrap());
    let finish = spawn::<F, _>(async move {
        output.write_all(&vec![1; 4 << 20]).await.unwrap();
        errors.write_all(b"said at the end").await.unwrap();
        drop((output, errors));
        server.finish(Outcome::Exited(0)).await.unwrap();
    });
    let mut all = String::new();
    client.stderr.take().unwrap().read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "said at the end");
    assert!(client.wait().await.unwrap().success());
    finish.await;
}

#[behaviour(each entry)]
async fn a_reader_held_up_by_another_goes_on_when_that_one_reads<F: Flavour, E: Entry>() {
    let (mut client, mut server) = E::pair::<F>(4096, ALL, &SessionConfig::client([1; 32]));
    let (mut stdout, mut stderr) = (client.stdout.take().unwrap(), client.stderr.take().unwrap());
    let (mut output, mut errors) = (server.stdout.take().unwrap(), server.stderr.take().unwrap());
    let finish = spawn::<F, _>(async move {
        errors.write_all(&vec![2; 1 << 20]).await.unwrap();
        output.write_all(b"behind it").await.unwrap();
        drop((output, errors));
        server.finish(Outcome::Exited(0)).await.unwrap();
    });
    let behind = spawn::<F, _>(async move {
        let mut all = String::new();
        stdout.read_to_string(&mut all).await.unwrap();
        all
    });
    sleep::<F>(Duration::from_millis(100)).await;
    assert!(!behind.is_finished());
    let all = read_all(&mut stderr).await.unwrap();
    assert_eq!(all.len(), 1 << 20);
    assert_eq!(behind.await, "behind it");
    finish.await;
}

// Holds WSF-18.
#[behaviour(each entry)]
async fn a_silent_peer_is_an_error<F: Flavour, E: Entry>() {
    let (near, _far) = duplex(4096);
    let start = Instant::now();
    let mut client = E::client::<F>(near, ALL, &impatient());
    let error = client.outcome().await.unwrap_err();
    assert!(error.contains("silent"), "{error}");
    assert!(start.elapsed() >= DEAD_AFTER, "{:?}", start.elapsed());
}

// Holds WSF-16, WSF-17.
#[behaviour(each entry)]
async fn an_idle_session_lives_on_pings_alone<F: Flavour, E: Entry>() {
    let (client, server) = E::pair::<F>(4096, ALL, &impatient());
    sleep::<F>(LONG).await;
    let finish = spawn::<F, _>(server.finish(Outcome::Exited(7)));
    assert_eq!(client.wait().await.unwrap(), Outcome::Exited(7));
    finish.await.unwrap();
}

/// A peer that asks and takes no answers is read no further than a little ahead of the answers that wait.
#[behaviour]
async fn who_takes_no_answers_is_not_read_without_end<F: Flavour>() {
    let (near, mut far) = duplex(1 << 10);
    let mut config = SessionConfig::client([1; 32]);
    config.limits.transmit = 4 << 10;
    let _session = Session::over_spdy::<F::Runtime>(Io(near), BytesMut::new(), Subprotocol::V4, ALL, &config);
    // A hundred SPDY pings.
    let pings = [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 2].repeat(100);
    let mut taken = 0;
    while let Some(count) = timeout::<F, _>(Duration::from_millis(200), far.write(&pings)).await {
        taken += count.expect("the session goes on");
        assert!(taken < 1 << 20, "{taken} bytes, and no end");
    }
}
