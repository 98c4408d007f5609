//! Dropping, cutting, cancelling: the connection is closed, no task is left, and nothing is claimed.

mod common;

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use channel_tokio::{
    CloseReason, Error, Io, Outcome, Session, SessionConfig, Streams, Subprotocol, Tokio, server,
};
use common::{ALL, bounded, exec, pair, pod};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Handle,
    time::{sleep, timeout},
};

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn dropping_every_handle_closes_the_connection_and_leaves_no_task() {
    bounded(async {
        let (client, server) = pair(4096, ALL, &SessionConfig::client([1; 32]));
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 2);
        drop(client);
        let going_away = Some(CloseReason { code: Some(1001), reason: "".into() });
        assert_eq!(server.ended().await.unwrap(), going_away);
        drop(server);
        until("no task is left", || Handle::current().metrics().num_alive_tasks() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn one_handle_keeps_a_session_alive() {
    bounded(async {
        let (_pod, client) = pod().await;
        let mut session = exec(&client, ["sh", "-c", "sleep 0.3; echo late"]).stdout().start().await.unwrap();
        let mut stdout = session.stdout.take().unwrap();
        drop(session);
        let mut all = String::new();
        stdout.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "late\n");
    })
    .await;
}

#[tokio::test]
async fn dropping_a_session_hangs_up_its_process() {
    bounded(async {
        let (_pod, client) = pod().await;
        let mut session =
            exec(&client, ["sh", "-c", "echo $$; exec sleep 1000"]).stdout().start().await.unwrap();
        let mut pid = [0; 32];
        let len = session.stdout.as_mut().unwrap().read(&mut pid).await.unwrap();
        let pid = String::from_utf8_lossy(&pid[..len]).trim().to_owned();
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
        drop(session);
        until("the process is gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
    })
    .await;
}

// Holds EXE-15, EXE-17.
#[tokio::test]
async fn a_cut_connection_is_never_an_end_of_the_output() {
    bounded(async {
        let (near, far) = tokio::io::duplex(4096);
        let mut client = common::over(near, ALL, &SessionConfig::client([1; 32]));
        let mut far = far;
        far.write_all(b"\x82\x01\x01\x82\x05\x01some").await.unwrap();
        drop(far);
        let mut all = Vec::new();
        let error = client.stdout.take().unwrap().read_to_end(&mut all).await.unwrap_err();
        assert_eq!((all.as_slice(), error.kind()), (&b"some"[..], io::ErrorKind::UnexpectedEof));
        assert_eq!(client.outcome().await.unwrap(), Outcome::EndedWithoutStatus(None));
        assert_eq!(client.outcome().await.unwrap(), Outcome::EndedWithoutStatus(None), "asked again");
    })
    .await;
}

// Holds EXE-15.
#[tokio::test]
async fn a_server_that_drops_its_session_is_no_success() {
    bounded(async {
        let (client, mut server) = pair(4096, ALL, &SessionConfig::client([1; 32]));
        server.stdout.as_mut().unwrap().write_all(b"half of it").await.unwrap();
        drop(server);
        let output = client.output().await.unwrap();
        assert_eq!(output.stdout, b"half of it");
        assert!(matches!(output.outcome, Outcome::EndedWithoutStatus(Some(_))), "{:?}", output.outcome);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_an_error_behind_its_output() {
    bounded(async {
        let (near, mut far) = tokio::io::duplex(4096);
        let mut client = common::over(near, ALL, &SessionConfig::client([1; 32]));
        far.write_all(b"\x82\x05\x01some\xf2\x01\x01").await.unwrap();
        let mut all = Vec::new();
        let error = client.stdout.take().unwrap().read_to_end(&mut all).await.unwrap_err();
        assert_eq!((all.as_slice(), error.kind()), (&b"some"[..], io::ErrorKind::InvalidData));
        let Err(Error::Protocol(error)) = client.outcome().await else { panic!() };
        assert_eq!(error.offset(), Some(7));
        // The peer is told why.
        let mut told = Vec::new();
        far.read_to_end(&mut told).await.unwrap();
        assert_eq!(told[0], 0x88);
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_read_loses_nothing() {
    bounded(async {
        let (mut client, mut server) = pair(64, ALL, &SessionConfig::client([1; 32]));
        let mut output = server.stdout.take().unwrap();
        let data: Vec<u8> = (0..100_000u32).map(|at| at.to_le_bytes()[0]).collect();
        let sent = data.clone();
        let finish = tokio::spawn(async move {
            for part in sent.chunks(997) {
                output.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(output);
            server.finish(&Outcome::Exited(0)).await.unwrap();
        });
        let mut stdout = client.stdout.take().unwrap();
        let mut all = Vec::new();
        let mut buffer = [0; 333];
        loop {
            match timeout(Duration::from_micros(1), stdout.read(&mut buffer)).await {
                Ok(Ok(0)) => break,
                Ok(Ok(count)) => all.extend_from_slice(&buffer[..count]),
                Ok(Err(error)) => panic!("{error}"),
                Err(_) => {}
            }
        }
        assert!(all == data);
        assert!(client.wait().await.unwrap().success());
        finish.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_goes_off_with_what_it_got_leaves_nobody_waiting() {
    bounded(async {
        let (mut client, mut server) = pair(4096, ALL, &SessionConfig::client([1; 32]));
        let mut stdout = client.stdout.take().unwrap();
        let mut output = server.stdout.take().unwrap();
        let waiting = tokio::spawn(async move {
            let started = Instant::now();
            assert_eq!(client.outcome().await.unwrap(), Outcome::Exited(4));
            started.elapsed()
        });
        output.write_all(b"one").await.unwrap();
        stdout.read_exact(&mut [0; 3]).await.unwrap();
        // Nobody reads from here on; a reader gives up while it waits, too.
        let _ = timeout(Duration::from_millis(20), stdout.read_u8()).await;
        drop(output);
        server.finish(&Outcome::Exited(4)).await.unwrap();
        let took = waiting.await.unwrap();
        assert!(took < Duration::from_secs(1), "{took:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_in_many_tasks_of_many_threads() {
    bounded(async {
        let (_pod, client) = pod().await;
        let mut running = Vec::new();
        for round in 0..8u32 {
            let run = exec(&client, ["sh", "-c", "tee /dev/stderr"]).stdin().stdout().stderr();
            let mut session = run.start().await.unwrap();
            let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
            let mut stderr = session.stderr.take().unwrap();
            let data: Vec<u8> = (0..300_000 + round).map(|at| (at / 3).to_le_bytes()[0]).collect();
            let expected = data.clone();
            running.push(tokio::spawn(async move {
                stdin.write_all(&data).await.unwrap();
                stdin.shutdown().await.unwrap();
            }));
            let also = expected.clone();
            running.push(tokio::spawn(async move {
                let mut all = Vec::new();
                stderr.read_to_end(&mut all).await.unwrap();
                assert!(all == also);
            }));
            running.push(tokio::spawn(async move {
                let mut all = Vec::new();
                stdout.read_to_end(&mut all).await.unwrap();
                assert!(all == expected);
                assert!(session.wait().await.unwrap().success());
            }));
        }
        for task in running {
            task.await.unwrap();
        }
    })
    .await;
}

// Holds UPG-16.
#[tokio::test]
async fn a_session_on_a_stream_that_somebody_else_upgraded() {
    bounded(async {
        let (near, mut far) = tokio::io::duplex(4096);
        // The first message came in the same read as the head of the 101.
        let rest = BytesMut::from(&b"\x82\x01\x01\x82\x06\x01early"[..]);
        let config = SessionConfig::client([1; 32]);
        let mut client = Session::over::<Tokio>(Io(near), rest, Subprotocol::V5, ALL, &config);
        far.write_all(b"\x82\x06\x01-late").await.unwrap();
        let mut all = [0; 10];
        client.stdout.take().unwrap().read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"early-late");
    })
    .await;
}

#[tokio::test]
async fn a_server_of_ones_own_accepts_and_refuses() {
    bounded(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/prefix", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            for nth in 0..2 {
                let (stream, _) = listener.accept().await.unwrap();
                let incoming = server::accept(Io(stream), &Default::default()).await.unwrap().unwrap();
                let request = incoming.pod_request().unwrap().unwrap();
                assert_eq!((request.namespace.as_str(), request.pod.as_str()), ("ns", "p"));
                if nth == 0 {
                    let mut refusal = http::Response::new("not today".into());
                    *refusal.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                    incoming.respond(refusal).await.unwrap();
                } else {
                    let config = SessionConfig::server();
                    let streams: Streams = request.streams;
                    let accepted =
                        incoming.accept_only::<Tokio>(&[Subprotocol::V4], streams, &config).await.unwrap();
                    let mut session = accepted.unwrap();
                    session.stdout.as_mut().unwrap().write_all(b"hello").await.unwrap();
                    session.finish(&Outcome::Exited(9)).await.unwrap();
                }
            }
        });
        let client = channel_tokio::Client::new(channel_tokio::Endpoint::new(&url).unwrap());
        let run = || client.exec("ns", "p").command(["x"]);
        let Err(Error::Refused(refusal)) = run().output().await else { panic!() };
        assert_eq!((refusal.status.as_u16(), &refusal.body[..]), (503, &b"not today"[..]));
        let output = run().output().await.unwrap();
        assert_eq!((output.stdout.as_slice(), output.outcome), (&b"hello"[..], Outcome::Exited(9)));
        serving.await.unwrap();
    })
    .await;
}
