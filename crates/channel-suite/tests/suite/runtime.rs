//! What the driver takes for granted of a runtime.

use std::{future::poll_fn, io, task::Poll, time::Duration};

use channel_driver::runtime::{Accept, Runtime, Timer};
use channel_suite::behaviour;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    flavour::Flavour,
    streams::{LOOPBACK, Local, closed_port, connect, read_all},
    tasks::timeout,
};

#[behaviour]
async fn each_call_of_a_timer_replaces_the_deadline_before<F: Flavour>() {
    let mut timer = F::Runtime::timer();
    let start = F::Runtime::now();
    let (soon, later, never) = (20, 120, 600_000);
    let [soon, later, never] = [soon, later, never].map(|millis| start + Duration::from_millis(millis));
    poll_fn(|cx| {
        assert!(timer.poll_until(cx, never).is_pending());
        assert!(timer.poll_until(cx, soon).is_pending() || F::Runtime::now() >= soon);
        Poll::Ready(())
    })
    .await;
    // A later one,
    let gone_off = timeout::<F, _>(Duration::from_secs(20), poll_fn(|cx| timer.poll_until(cx, later))).await;
    assert!(gone_off.is_some() && F::Runtime::now() >= later);
    // an earlier one, and one that is over, twice.
    let soon = F::Runtime::now() + Duration::from_millis(20);
    poll_fn(|cx| {
        assert!(timer.poll_until(cx, never).is_pending());
        Poll::Ready(())
    })
    .await;
    for deadline in [soon, start, start] {
        let gone_off =
            timeout::<F, _>(Duration::from_secs(20), poll_fn(|cx| timer.poll_until(cx, deadline))).await;
        assert!(gone_off.is_some() && F::Runtime::now() >= deadline);
    }
}

#[behaviour]
async fn a_stream_ends_each_way_by_itself<F: Flavour>() {
    let mut listener = F::Runtime::listen(LOOPBACK).await.unwrap();
    let mut near = connect::<F>(listener.local_addr().unwrap()).await.unwrap();
    let mut far = Local::new(poll_fn(|cx| listener.poll_accept(cx)).await.unwrap());
    near.write_all(b"question").await.unwrap();
    near.close().await.unwrap();
    assert_eq!(read_all(&mut far).await.unwrap(), b"question");
    far.write_all(b"answer").await.unwrap();
    let mut answer = [0; 6];
    near.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
    drop(far);
    assert!(read_all(&mut near).await.unwrap().is_empty());
}

#[behaviour]
async fn where_nobody_listens_there_is_no_connection<F: Flavour>() {
    let nowhere = (LOOPBACK.ip(), closed_port()).into();
    let error = connect::<F>(nowhere).await.err().expect("nobody listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}
