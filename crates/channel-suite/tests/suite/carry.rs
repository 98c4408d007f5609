//! Forwarded connections between two programs: how either ends, breaks off or refuses, and what the other sees of it.

use std::{future::poll_fn, io, time::Duration};

use channel_driver::{Client, Endpoint, Forward, ForwardServer, Listener, runtime::Accept, runtime::Runtime};
use channel_pod::Pod;
use channel_proto::SessionConfig;
use channel_suite::behaviour;
use futures::{
    channel::oneshot,
    io::{AsyncReadExt, AsyncWriteExt},
};

use crate::support::{
    flavour::Flavour,
    pod::pod,
    streams::{LOOPBACK, LocalOf, connect, echo, pattern, port, read_all, reset},
    tasks::{Task, sleep, spawn, timeout},
};

const MOMENT: Duration = Duration::from_millis(100);

/// A local port that leads through an embedded pod to one where `serve` is asked once.
async fn through<F: Flavour, S>(
    serve: impl Fn(LocalOf<F>) -> S + Send + 'static,
) -> (Pod, Forward<F::Runtime>, Listener)
where
    S: Future<Output = ()> + Send + 'static,
{
    let (pod, client) = pod::<F>().await;
    let forward: Forward<F::Runtime> =
        client.port_forward("default", "embedded").start().await.expect("a pod");
    let listener = forward.listen(LOOPBACK, port::<F, _>(serve).await).await.expect("a free port");
    (pod, forward, listener)
}

/// All that comes, and how it ended.
async fn all_of(mut stream: impl futures::io::AsyncRead + Unpin) -> (usize, Option<io::ErrorKind>) {
    let (mut count, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return (count, None),
            Ok(read) => count += read,
            Err(error) => return (count, Some(error.kind())),
        }
    }
}

#[behaviour]
async fn a_port_that_breaks_off_is_no_end_for_the_program<F: Flavour>() {
    let (_pod, _forward, listener) = through::<F, _>(|mut stream| async move {
        stream.write_all(&pattern(0, 100_000)).await.unwrap();
        sleep::<F>(MOMENT).await;
        reset::<F>(stream);
    })
    .await;
    let local = connect::<F>(listener.address()).await.unwrap();
    sleep::<F>(3 * MOMENT).await;
    assert_eq!(all_of(local).await, (100_000, Some(io::ErrorKind::ConnectionReset)));
}

#[behaviour]
async fn a_program_that_breaks_off_is_no_end_for_the_port<F: Flavour>() {
    let (tell, told) = oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let (_pod, _forward, listener) = through::<F, _>(move |stream| {
        let tell = tell.lock().unwrap().take().unwrap();
        async move {
            let _ = tell.send(all_of(stream).await);
        }
    })
    .await;
    let mut local = connect::<F>(listener.address()).await.unwrap();
    local.write_all(&pattern(0, 100_000)).await.unwrap();
    sleep::<F>(MOMENT).await;
    reset::<F>(local);
    assert_eq!(told.await.unwrap(), (100_000, Some(io::ErrorKind::ConnectionReset)));
}

#[behaviour]
async fn a_lost_pod_is_no_end_for_the_program<F: Flavour>() {
    let (pod, _forward, listener) = through::<F, _>(|mut stream| async move {
        stream.write_all(&pattern(0, 100_000)).await.unwrap();
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    let local = connect::<F>(listener.address()).await.unwrap();
    sleep::<F>(MOMENT).await;
    drop(pod);
    assert_eq!(all_of(local).await, (100_000, Some(io::ErrorKind::ConnectionReset)));
}

/// As a server of HTTP does it that will not have all of an upload: it answers, and closes.
#[behaviour]
async fn an_answer_to_a_refused_upload_arrives<F: Flavour>() {
    let (_pod, _forward, listener) = through::<F, _>(|mut stream| async move {
        stream.read_exact(&mut [0; 1000]).await.unwrap();
        stream.write_all(b"413").await.unwrap();
    })
    .await;
    let (mut read, mut write) = connect::<F>(listener.address()).await.unwrap().split();
    let uploading = spawn::<F, _>(async move {
        // It fails sooner or later.
        let _ = write.write_all(&pattern(0, 32 << 20)).await;
    });
    let mut answer = [0; 3];
    read.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"413");
    uploading.await;
}

#[behaviour]
async fn what_was_written_before_everything_was_dropped_arrives<F: Flavour>() {
    let (tell, told) = oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let target = port::<F, _>(move |stream| {
        let tell = tell.lock().unwrap().take().unwrap();
        async move {
            let _ = tell.send(all_of(stream).await);
        }
    })
    .await;
    let (_pod, client) = pod::<F>().await;
    let forward = client.port_forward("default", "embedded").start().await.unwrap();
    let mut connection = forward.connect(target).await.unwrap();
    connection.write_all(&pattern(0, 100_000)).await.unwrap();
    connection.close().await.unwrap();
    drop((connection, forward));
    assert_eq!(told.await.unwrap(), (100_000, None));
}

#[behaviour]
async fn an_end_that_did_not_leave_is_no_success<F: Flavour>() {
    let (pod, client) = pod::<F>().await;
    let forward = client.port_forward("default", "embedded").start().await.unwrap();
    let mut connection = forward.connect(port::<F, _>(echo).await).await.unwrap();
    connection.write_all(b"x").await.unwrap();
    connection.read_exact(&mut [0; 1]).await.unwrap();
    drop(pod);
    assert!(connection.read(&mut [0; 1]).await.is_err());
    assert!(connection.close().await.is_err());
}

/// A client of a server of one's own, which `serve` is given.
async fn served_by<F: Flavour, S>(
    serve: impl FnOnce(ForwardServer) -> S + Send + 'static,
) -> (Forward<F::Runtime>, Task<()>)
where
    S: Future<Output = ()> + Send + 'static,
{
    let mut listener = F::Runtime::listen(LOOPBACK).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = spawn::<F, _>(async move {
        let stream = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        let incoming = channel_driver::accept(stream, &Default::default()).await.unwrap().unwrap();
        let accepted = incoming.accept_forward::<F::Runtime>(&SessionConfig::server()).await;
        serve(accepted.unwrap().unwrap()).await;
    });
    let client: Client<F::Runtime> = Client::new(Endpoint::new(&url).unwrap());
    (client.port_forward("ns", "p").start().await.unwrap(), serving)
}

// Holds PFW-17.
#[behaviour]
async fn a_connection_that_the_server_forgets_did_not_end_well<F: Flavour>() {
    let (forward, serving) = served_by::<F, _>(|server| async move {
        drop(server.accept().await);
        assert!(server.accept().await.is_none());
    })
    .await;
    let mut connection = forward.connect(80).await.unwrap();
    let error = connection.read(&mut [0; 1]).await.unwrap_err();
    assert!(error.to_string().contains("given up before it was made"), "{error}");
    drop((connection, forward));
    serving.await;
}

#[behaviour]
async fn a_server_that_takes_no_more_says_so_and_goes_on<F: Flavour>() {
    let (forward, serving) = served_by::<F, _>(|server| async move {
        let taken = server.accept().await.unwrap().accept();
        // The next one waits when the server stops to take them.
        sleep::<F>(MOMENT).await;
        drop(server);
        echo(taken).await;
    })
    .await;
    let mut taken = forward.connect(80).await.unwrap();
    taken.write_all(b"first").await.unwrap();
    let mut waiting = forward.connect(81).await.unwrap();
    let refused = async |connection: &mut channel_driver::Connection| {
        let read = timeout::<F, _>(Duration::from_secs(5), connection.read(&mut [0; 1])).await;
        let error = read.expect("it is told").unwrap_err();
        assert!(error.to_string().contains("no more connections"), "{error}");
    };
    refused(&mut waiting).await;
    refused(&mut forward.connect(82).await.unwrap()).await;
    taken.close().await.unwrap();
    assert_eq!(read_all(&mut taken).await.unwrap(), b"first");
    drop((taken, waiting, forward));
    serving.await;
}
