//! Dropping, cutting, cancelling: the connection is closed, no task is left, and nothing is claimed.

use std::{
    io,
    pin::pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use channel_driver::{
    Error, Io, Reader, ServerSession, Session,
    runtime::{Runtime, Transport},
};
use channel_proto::{ClientSession, CloseReason, Outcome, SessionConfig, Subprotocol};
use channel_suite::behaviour;
use futures::{
    future::FutureExt,
    io::{AsyncReadExt, AsyncWriteExt},
};

use crate::support::{
    counted::{Counted, tasks},
    entry::{ALL, Entry},
    flavour::Flavour,
    pod::{exec, pod},
    streams::{duplex, pattern, read_all, sockets},
    tasks::{sleep, spawn, timeout, until},
};

fn over<R: Runtime<Timer: Unpin>>(stream: impl Transport) -> Session {
    let config = SessionConfig::client([1; 32]);
    Session::over::<R>(stream, BytesMut::new(), Subprotocol::V5, ALL, &config)
}

fn serve<R: Runtime<Timer: Unpin>>(stream: impl Transport) -> ServerSession {
    let config = SessionConfig::server();
    ServerSession::over::<R>(stream, BytesMut::new(), Subprotocol::V5, ALL, &config)
}

fn pair<F: Flavour>(capacity: usize) -> (Session, ServerSession) {
    let (near, far) = duplex(capacity);
    (over::<F::Runtime>(Io(near)), serve::<F::Runtime>(Io(far)))
}

/// Where tasks are counted.
struct Here;

#[behaviour]
async fn dropping_every_handle_closes_the_connection_and_leaves_no_task<F: Flavour>() {
    let (near, far) = duplex(4096);
    let (client, server) = (over::<Counted<F, Here>>(Io(near)), serve::<Counted<F, Here>>(Io(far)));
    assert_eq!(tasks::<F, Here>(), 2);
    drop(client);
    let going_away = Some(CloseReason { code: Some(1001), reason: "".into() });
    assert_eq!(server.ended().await.unwrap(), going_away);
    drop(server);
    until::<F>("no task is left", || tasks::<F, Here>() == 0).await;
}

#[behaviour]
async fn one_handle_keeps_a_session_alive<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let run = exec::<F, _>(&client, ["sh", "-c", "sleep 0.3; echo late"]).stdout();
    let mut session = run.start().await.unwrap();
    let mut stdout = session.stdout.take().unwrap();
    drop(session);
    let mut all = String::new();
    stdout.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "late\n");
}

#[behaviour]
async fn what_was_written_before_a_drop_arrives<F: Flavour>() {
    // So little that most of it waits here when the session is dropped.
    let (mut near, mut far) = pair::<F>(1 << 10);
    let data = pattern(0, 60_000);
    near.stdin.as_mut().unwrap().write_all(&data).await.unwrap();
    drop(near);
    let came = read_all(far.stdin.as_mut().unwrap()).await.unwrap();
    assert!(came == data, "{} of {}", came.len(), data.len());
}

// A socket that is closed while there is something to read in it is reset, and loses what the peer has yet to read.
#[behaviour]
async fn what_was_written_before_a_drop_arrives_though_the_peer_sends<F: Flavour>() {
    let (near, far) = sockets::<F>().await;
    let (mut near, mut far) = (over::<F::Runtime>(near), serve::<F::Runtime>(far));
    let mut output = far.stdout.take().unwrap();
    let sending = spawn::<F, _>(async move {
        // More than is taken in; it fails once the client is gone.
        let _ = output.write_all(&pattern(1, 8 << 20)).await;
    });
    let data = pattern(0, 600_000);
    near.stdin.as_mut().unwrap().write_all(&data).await.unwrap();
    drop(near);
    sleep::<F>(Duration::from_millis(200)).await;
    let came = read_all(far.stdin.as_mut().unwrap()).await.unwrap();
    assert!(came == data, "{} of {}", came.len(), data.len());
    drop(far);
    sending.await;
}

#[behaviour]
async fn dropping_a_session_hangs_up_its_process<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let run = exec::<F, _>(&client, ["sh", "-c", "echo $$; exec sleep 1000"]).stdout();
    let mut session = run.start().await.unwrap();
    let mut pid = [0; 32];
    let len = session.stdout.as_mut().unwrap().read(&mut pid).await.unwrap();
    let pid = String::from_utf8_lossy(&pid[..len]).trim().to_owned();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    drop(session);
    until::<F>("the process is gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
}

#[behaviour]
async fn what_a_command_was_sent_before_its_client_left_reaches_it<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    // It has all of its input only after the client is gone, and answers nobody.
    let command = ["sh", "-c", "sleep 0.2; echo working; cat > $0", path];
    let mut session = exec::<F, _>(&client, command).stdin().stdout().start().await.unwrap();
    let data = pattern(0, 300_000);
    session.stdin.as_mut().unwrap().write_all(&data).await.unwrap();
    drop(session);
    until::<F>("all came", || std::fs::read(path).unwrap() == data).await;
}

// Holds EXE-15, EXE-17.
#[behaviour]
async fn a_cut_connection_is_never_an_end_of_the_output<F: Flavour>() {
    let (near, mut far) = duplex(4096);
    let mut client = over::<F::Runtime>(Io(near));
    far.write_all(b"\x82\x01\x01\x82\x05\x01some").await.unwrap();
    drop(far);
    let mut all = Vec::new();
    let error = client.stdout.take().unwrap().read_to_end(&mut all).await.unwrap_err();
    assert_eq!((all.as_slice(), error.kind()), (&b"some"[..], io::ErrorKind::UnexpectedEof));
    assert_eq!(client.outcome().await.unwrap(), Outcome::EndedWithoutStatus(None));
    assert_eq!(client.outcome().await.unwrap(), Outcome::EndedWithoutStatus(None), "asked again");
}

// Holds EXE-15, EXE-17.
#[behaviour(each entry)]
async fn a_cut_connection_is_no_success<F: Flavour, E: Entry>() {
    let (near, mut far) = duplex(4096);
    let mut client = E::client::<F>(near, ALL, &SessionConfig::client([1; 32]));
    far.write_all(E::SOME).await.unwrap();
    let mut some = [0; 4];
    client.stdout.as_mut().unwrap().read_exact(&mut some).await.unwrap();
    assert_eq!(&some, b"some");
    drop(far);
    assert_eq!(client.wait().await.unwrap(), Outcome::EndedWithoutStatus(None));
}

// Holds EXE-15.
#[behaviour]
async fn a_server_that_drops_its_session_is_no_success<F: Flavour>() {
    let (client, mut server) = pair::<F>(4096);
    server.stdout.as_mut().unwrap().write_all(b"half of it").await.unwrap();
    drop(server);
    let output = client.output().await.unwrap();
    assert_eq!(output.stdout, b"half of it");
    assert!(matches!(output.outcome, Outcome::EndedWithoutStatus(Some(_))), "{:?}", output.outcome);
}

#[behaviour]
async fn a_peer_that_breaks_the_protocol_is_an_error_behind_its_output<F: Flavour>() {
    let (near, mut far) = duplex(4096);
    let mut client = over::<F::Runtime>(Io(near));
    far.write_all(b"\x82\x05\x01some\xf2\x01\x01").await.unwrap();
    let mut all = Vec::new();
    let error = client.stdout.take().unwrap().read_to_end(&mut all).await.unwrap_err();
    assert_eq!((all.as_slice(), error.kind()), (&b"some"[..], io::ErrorKind::InvalidData));
    let Err(Error::Protocol(error)) = client.outcome().await else { panic!() };
    assert_eq!(error.offset(), Some(7));
    // The peer is told why.
    let told = read_all(&mut far).await.unwrap();
    assert_eq!(told[0], 0x88);
}

#[behaviour]
async fn a_ping_is_answered_at_once_though_only_a_reader_waits<F: Flavour>() {
    let (near, mut far) = duplex(4096);
    let mut client = over::<F::Runtime>(Io(near));
    let mut stdout = client.stdout.take().unwrap();
    let reading = spawn::<F, _>(async move { stdout.read(&mut [0; 1]).await });
    sleep::<F>(Duration::from_millis(20)).await;
    far.write_all(b"\x89\x00").await.unwrap();
    let mut pong = [0; 6];
    let answered = timeout::<F, _>(Duration::from_secs(2), far.read_exact(&mut pong)).await;
    answered.expect("the background task looks every 5 s, and this is less").unwrap();
    assert_eq!(pong[..2], [0x8a, 0x80]);
    drop((far, client));
    assert!(reading.await.is_err());
}

/// Wakes nobody.
struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

#[behaviour]
async fn a_cancelled_wait_for_the_end_leaves_nothing<F: Flavour>() {
    let (client, server) = pair::<F>(64);
    let nobody = Arc::new(Nobody);
    for _ in 0..3 {
        let waker = Waker::from(nobody.clone());
        let cx = &mut Context::from_waker(&waker);
        assert!(pin!(client.outcome()).poll(cx).is_pending());
        assert!(pin!(server.ended()).poll(cx).is_pending());
        assert!(pin!(server.size()).poll(cx).is_pending());
    }
    assert_eq!(Arc::strong_count(&nobody), 1);
}

/// Uses a session from another thread when it wakes somebody, and when nobody needs it any more.
struct ComesBack {
    session: Arc<Session>,
    /// Whether that worked out, each time.
    came: Arc<Mutex<Vec<bool>>>,
}

impl ComesBack {
    fn waker(session: &Arc<Session>, came: &Arc<Mutex<Vec<bool>>>) -> Waker {
        Waker::from(Arc::new(Self { session: session.clone(), came: came.clone() }))
    }

    fn come_back(&self) {
        let (session, (tell, told)) = (self.session.clone(), mpsc::channel());
        thread::spawn(move || {
            let _ = session.outcome().now_or_never();
            // Too late, perhaps.
            let _ = tell.send(());
        });
        let came = told.recv_timeout(Duration::from_secs(2)).is_ok();
        self.came.lock().unwrap().push(came);
    }
}

impl Wake for ComesBack {
    fn wake(self: Arc<Self>) {
        self.come_back();
    }
}

impl Drop for ComesBack {
    fn drop(&mut self) {
        self.come_back();
    }
}

// An executor may run a task where it is woken, and drop one with its last waker.
#[behaviour]
async fn no_waker_is_woken_or_dropped_while_the_session_is_locked<F: Flavour>() {
    let (mut client, mut server) = pair::<F>(4096);
    let (mut stdout, mut stderr) = (client.stdout.take().unwrap(), client.stderr.take().unwrap());
    let (session, came) = (Arc::new(client), Arc::default());
    let poll = |stderr: &mut Reader<ClientSession>| {
        let waker = ComesBack::waker(&session, &came);
        stderr.poll_read(&mut Context::from_waker(&waker), &mut BytesMut::new()).is_pending()
    };
    assert!(poll(&mut stderr));
    assert!(poll(&mut stderr), "another in its place");
    assert_eq!(*came.lock().unwrap(), [true], "dropped");
    server.stderr.as_mut().unwrap().write_all(b"for stderr").await.unwrap();
    server.stdout.as_mut().unwrap().write_all(b"for stdout").await.unwrap();
    stdout.read_exact(&mut [0; 10]).await.unwrap();
    until::<F>("woken, and dropped", || came.lock().unwrap().len() == 3).await;
    assert_eq!(*came.lock().unwrap(), [true; 3]);
}

// The same for who waits for the end.
#[behaviour]
async fn no_watcher_is_woken_or_dropped_under_a_lock<F: Flavour>() {
    let (client, server) = pair::<F>(4096);
    let (session, came) = (Arc::new(client), Arc::default());
    let waiting = session.clone();
    let mut outcome = pin!(waiting.outcome());
    let mut poll = || {
        let waker = ComesBack::waker(&session, &came);
        outcome.as_mut().poll(&mut Context::from_waker(&waker))
    };
    assert!(poll().is_pending());
    assert!(poll().is_pending(), "another in its place");
    assert_eq!(*came.lock().unwrap(), [true], "dropped");
    server.finish(&Outcome::Exited(4)).await.unwrap();
    until::<F>("woken, and dropped", || came.lock().unwrap().len() == 3).await;
    assert_eq!(*came.lock().unwrap(), [true; 3]);
    assert!(matches!(poll(), Poll::Ready(Ok(Outcome::Exited(4)))));
}

#[behaviour]
async fn a_cancelled_read_loses_nothing<F: Flavour>() {
    let (mut client, mut server) = pair::<F>(64);
    let (mut stdout, mut output) = (client.stdout.take().unwrap(), server.stdout.take().unwrap());
    let mut buffer = [0; 333];
    assert!(stdout.read(&mut buffer).now_or_never().is_none(), "there is nothing to read yet");
    let data: Vec<u8> = (0..100_000u32).map(|at| at.to_le_bytes()[0]).collect();
    let sent = data.clone();
    let finish = spawn::<F, _>(async move {
        for part in sent.chunks(997) {
            output.write_all(part).await.unwrap();
            sleep::<F>(Duration::ZERO).await;
        }
        drop(output);
        server.finish(&Outcome::Exited(0)).await.unwrap();
    });
    let mut all = Vec::new();
    loop {
        match timeout::<F, _>(Duration::from_micros(1), stdout.read(&mut buffer)).await {
            Some(Ok(0)) => break,
            Some(Ok(count)) => all.extend_from_slice(&buffer[..count]),
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    assert!(all == data);
    assert!(client.wait().await.unwrap().success());
    finish.await;
}

#[behaviour]
async fn a_reader_that_goes_off_with_what_it_got_leaves_nobody_waiting<F: Flavour>() {
    let (mut client, mut server) = pair::<F>(4096);
    let mut stdout = client.stdout.take().unwrap();
    let mut output = server.stdout.take().unwrap();
    let waiting = spawn::<F, _>(async move {
        let started = Instant::now();
        assert_eq!(client.outcome().await.unwrap(), Outcome::Exited(4));
        started.elapsed()
    });
    output.write_all(b"one").await.unwrap();
    stdout.read_exact(&mut [0; 3]).await.unwrap();
    // Nobody reads from here on; a reader gives up while it waits, too.
    let _ = timeout::<F, _>(Duration::from_millis(20), stdout.read(&mut [0; 1])).await;
    drop(output);
    server.finish(&Outcome::Exited(4)).await.unwrap();
    let took = waiting.await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[behaviour]
async fn halves_in_many_tasks_of_many_threads<F: Flavour>() {
    let (_pod, client) = pod::<F>().await;
    let mut running = Vec::new();
    for round in 0..8 {
        let run = exec::<F, _>(&client, ["sh", "-c", "tee /dev/stderr"]).stdin().stdout().stderr();
        let mut session = run.start().await.unwrap();
        let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
        let mut stderr = session.stderr.take().unwrap();
        let data = pattern(round, 300_000 + round);
        let expected = data.clone();
        running.push(spawn::<F, _>(async move {
            stdin.write_all(&data).await.unwrap();
            stdin.close().await.unwrap();
        }));
        let also = expected.clone();
        running.push(spawn::<F, _>(async move {
            let all = read_all(&mut stderr).await.unwrap();
            assert!(all == also);
        }));
        running.push(spawn::<F, _>(async move {
            let all = read_all(&mut stdout).await.unwrap();
            assert!(all == expected);
            assert!(session.wait().await.unwrap().success());
        }));
    }
    for task in running {
        task.await;
    }
}
