//! Many connections over one upgraded connection, good ones and bad.

use std::{
    io::{self, Read},
    net::TcpListener,
    thread,
    time::Duration,
};

use channel_driver::Connection;
use channel_suite::behaviour;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    carrier::{Carrier, forward, start},
    server::Server,
    talk,
};
use crate::support::{
    flavour::Flavour,
    pod::pod,
    streams::{LOOPBACK, closed_port, echo, pattern, port, read_all},
    tasks::{Task, sleep, spawn, timeout},
};

/// Sends it, and reads it back meanwhile.
async fn there_and_back(connection: Connection, data: &[u8]) -> io::Result<Vec<u8>> {
    let (mut read, mut write) = connection.split();
    let writing = async {
        write.write_all(data).await?;
        write.close().await
    };
    let (written, back) = futures::join!(writing, read_all(&mut read));
    written.and(back)
}

/// A port that takes a byte of what comes and goes, once: a connection with more in it that was not read is reset by the system.
fn resetting_port() -> u16 {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream.peek(&mut [0]).unwrap();
    });
    port
}

// Holds PFW-4.
#[behaviour(each carrier)]
async fn bad_connections_among_a_hundred_harm_no_other<F: Flavour, C: Carrier>() {
    let (_pod, client) = pod::<F>().await;
    let request = client.port_forward("default", "embedded");
    let forward = start::<C, _>(request.reset_slow_readers(Duration::from_secs(1))).await;
    let (open, closed) = (port::<F, _>(echo).await, closed_port());
    let mut unread = forward.connect(open).await.unwrap();
    let unread = spawn::<F, _>(async move {
        let mut asked = 0;
        while unread.write_all(&[7; 64 << 10]).await.is_ok() {
            asked += 64 << 10;
        }
        (asked, unread.read(&mut [0]).await.unwrap_err())
    });
    let mut broken = forward.connect(resetting_port()).await.unwrap();
    let broken = spawn::<F, _>(async move {
        while broken.write_all(&[7; 64 << 10]).await.is_ok() {}
        broken.read(&mut [0]).await.unwrap_err()
    });
    let mut dropped = forward.connect(open).await.unwrap();
    dropped.write_all(b"dropped").await.unwrap();
    dropped.reset();
    let mut refused = forward.connect(closed).await.unwrap();
    let refused = spawn::<F, _>(async move {
        let error = refused.read(&mut [0]).await.unwrap_err();
        (error, refused.write_all(b"x").await.unwrap_err())
    });
    let good: Vec<_> = (0..97)
        .map(|seed| {
            let forward = forward.clone();
            spawn::<F, _>(async move {
                let data = pattern(seed, 150_000 + seed);
                let back = there_and_back(forward.connect(open).await.unwrap(), &data).await.unwrap();
                assert!(back == data, "{seed}: {} of {}", back.len(), data.len());
            })
        })
        .collect();
    for connection in good {
        connection.await;
    }
    let (asked, error) = unread.await;
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    assert!(asked > 1 << 20, "{asked}");
    let error = broken.await;
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    let (error, again) = refused.await;
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let words = format!("127.0.0.1:{closed}: connect: connection refused");
    assert!(error.to_string().contains(&words), "{error}");
    assert_eq!(again.to_string(), error.to_string());
}

// Holds PFW-4.
#[behaviour(each carrier)]
async fn a_reader_that_is_too_slow_is_reset_where_that_is_wanted<F: Flavour, C: Carrier>() {
    let (_pod, client) = pod::<F>().await;
    let request = client.port_forward("default", "embedded").reset_slow_readers(Duration::from_millis(100));
    let forward = start::<C, _>(request).await;
    let open = port::<F, _>(echo).await;
    let mut slow = forward.connect(open).await.unwrap();
    let mut other = forward.connect(open).await.unwrap();
    talk(&mut other, b"before").await;
    // It asks for more than is kept for it, and reads none of that.
    let asking = async { while slow.write_all(&[7; 64 << 10]).await.is_ok() {} };
    asking.await;
    talk(&mut other, b"after").await;
    let error = slow.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
}

#[behaviour(each carrier)]
async fn a_reader_that_is_slow_holds_up_the_others_until_it_reads_and_nothing_is_lost<
    F: Flavour,
    C: Carrier,
>() {
    let (_pod, client) = pod::<F>().await;
    let forward = forward::<C, _>(&client).await;
    let open = port::<F, _>(echo).await;
    let mut slow = forward.connect(open).await.unwrap();
    // More than all sockets on the way hold.
    let data = pattern(1, 64 << 20);
    let mut asked = 0;
    let stands = Duration::from_millis(200);
    while let Some(count) = timeout::<F, _>(stands, slow.write(&data[asked..][..64 << 10])).await {
        asked += count.unwrap();
    }
    let others: Vec<_> = (0..3)
        .map(|seed| {
            let forward = forward.clone();
            spawn::<F, _>(async move {
                let data = pattern(seed, 100_000);
                let back = there_and_back(forward.connect(open).await.unwrap(), &data).await.unwrap();
                assert!(back == data, "{seed}");
            })
        })
        .collect();
    sleep::<F>(Duration::from_millis(200)).await;
    assert!(!others.iter().any(Task::is_finished), "{asked} bytes are before them");
    let (mut read, mut write) = slow.split();
    let (closed, back) = futures::join!(write.close(), read_all(&mut read));
    closed.unwrap();
    let back = back.unwrap();
    assert!(back == data[..asked], "{} of {asked}", back.len());
    for other in others {
        other.await;
    }
}

/// A server that opens no sockets for them: as many as these would be too many for some machines that tests run on.
#[behaviour(each carrier)]
async fn four_hundred_connections_at_once_take_one_upgrade<F: Flavour, C: Carrier>() {
    let server = Server::<F::Runtime>::knowing(C::SUBPROTOCOL).await;
    let forward = start::<C, _>(server.client.port_forward("ns", "p")).await;
    let mut open = Vec::new();
    for _ in 0..400 {
        let mut connection = forward.connect(80).await.unwrap();
        talk(&mut connection, b"there").await;
        open.push(connection);
    }
    let each: Vec<_> = (0..)
        .zip(open)
        .map(|(seed, connection)| {
            spawn::<F, _>(async move {
                let data = pattern(seed, 5_000 + seed);
                let back = there_and_back(connection, &data).await.unwrap();
                assert!(back == data, "{seed}");
            })
        })
        .collect();
    for one in each {
        one.await;
    }
    assert_eq!(server.asked().len(), 1);
}
