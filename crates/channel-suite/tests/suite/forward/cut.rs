//! What becomes of connections when the one to the pod is cut, goes silent, or is not wanted any more.

use std::{io, time::Duration};

use channel_driver::{Client, Connection, ListenerState};
use channel_proto::HeartbeatConfig;
use channel_suite::behaviour;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    carrier::{Carrier, forward, start},
    talk,
};
use crate::support::{
    counted::{Counted, tasks},
    flavour::Flavour,
    pod::pod,
    relay::{Flow, Relay},
    streams::{LOOPBACK, connect, echo, pattern, port},
    tasks::{sleep, timeout, until},
};

/// No more than a moment, though the machine may do much else.
const SOON: Duration = Duration::from_secs(5);

/// Reads and writes fail with this from now on.
async fn has_failed(connection: &mut Connection, kind: io::ErrorKind) {
    let error = connection.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    let error = connection.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), kind, "asked again: {error}");
}

// Holds PFW-18.
#[behaviour(each carrier)]
async fn a_cut_is_told_behind_what_came_and_to_every_connection<F: Flavour, C: Carrier>() {
    let (pod, _) = pod::<F>().await;
    let relay = Relay::start(&pod, |_| Flow::Passes).await;
    let forward = forward::<C, _>(&relay.client::<F::Runtime>()).await;
    let target = port::<F, _>(echo).await;
    let mut one = forward.connect(target).await.unwrap();
    let mut other = forward.connect(target).await.unwrap();
    talk(&mut other, b"there").await;
    // Half of an answer, and no end.
    let data = pattern(0, 100_000);
    one.write_all(&data).await.unwrap();
    let mut back = vec![0; 60_000];
    one.read_exact(&mut back).await.unwrap();
    until::<F>("all of it came", || relay.carried(0).1 > 100_000).await;
    relay.set(0, Flow::Cut);
    let error = loop {
        let mut more = [0; 7_000];
        match one.read(&mut more).await {
            Ok(count) => {
                assert_ne!(count, 0, "a cut is no end");
                back.extend_from_slice(&more[..count]);
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
    assert!(back == data, "{} of {}", back.len(), data.len());
    for connection in [&mut one, &mut other] {
        has_failed(connection, io::ErrorKind::UnexpectedEof).await;
        let error = connection.write_all(b"?").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");
    }
    // The forward itself goes on.
    talk(&mut forward.connect(target).await.unwrap(), b"anew").await;
    assert_eq!(relay.count(), 2);
}

/// A heartbeat that finds the dead in a moment.
fn impatient<R: channel_driver::runtime::Runtime<Timer: Unpin>>(client: Client<R>) -> Client<R> {
    client.heartbeat(HeartbeatConfig { ping_every: Some(DEAD_AFTER / 10), dead_after: Some(DEAD_AFTER) })
}

const DEAD_AFTER: Duration = Duration::from_millis(500);

// Holds WSF-18.
#[behaviour(each carrier)]
async fn a_pod_that_went_silent_is_told_from_one_that_is_slow<F: Flavour, C: Carrier>() {
    let (pod, _) = pod::<F>().await;
    let relay = Relay::start(&pod, |nth| if nth == 0 { Flow::Passes } else { Flow::Cut }).await;
    let forward = forward::<C, _>(&impatient(relay.client::<F::Runtime>())).await;
    let target = port::<F, _>(echo).await;
    let listener = forward.listen(LOOPBACK, target).await.unwrap();
    let mut connection = forward.connect(target).await.unwrap();
    talk(&mut connection, b"there").await;
    // Idle for longer than that, it lives on pings alone.
    sleep::<F>(DEAD_AFTER * 2).await;
    talk(&mut connection, b"still there").await;
    assert_eq!(listener.state(), ListenerState::Connected);

    relay.set(0, Flow::Stands);
    let state = timeout::<F, _>(SOON, listener.changed(&ListenerState::Connected)).await.expect("in time");
    let ListenerState::Reconnecting { why, .. } = state else { panic!("{state:?}") };
    assert!(why.contains("silent"), "{why}");
    has_failed(&mut connection, io::ErrorKind::InvalidData).await;
    let error = connection.write_all(b"?").await.unwrap_err();
    assert!(error.to_string().contains("silent"), "{error}");
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<channel_driver::Error>());
    assert!(matches!(inner, Some(channel_driver::Error::Protocol(_))), "{error:?}");
}

/// Where tasks are counted.
struct Left<C>(C);

#[behaviour(each carrier)]
async fn a_forward_ends_with_its_last_connection_and_leaves_no_task<F: Flavour, C: Carrier>() {
    let (pod, _) = pod::<F>().await;
    let relay = Relay::start(&pod, |_| Flow::Passes).await;
    let target = port::<F, _>(echo).await;
    let forward = forward::<C, _>(&relay.client::<Counted<F, Left<C>>>()).await;
    let mut connection = forward.connect(target).await.unwrap();
    let listener = forward.listen(LOOPBACK, target).await.unwrap();
    let mut local = connect::<F>(listener.address()).await.unwrap();
    talk(&mut local, b"there").await;
    drop((forward, listener));
    sleep::<F>(Duration::from_millis(50)).await;
    // Either keeps it open.
    talk(&mut local, b"still there").await;
    drop(local);
    talk(&mut connection, b"still there").await;
    assert_eq!(relay.open(), 1);
    assert_ne!(tasks::<F, Left<C>>(), 0);
    drop(connection);
    until::<F>("it is closed", || relay.open() == 0).await;
    until::<F>("no task is left", || tasks::<F, Left<C>>() == 0).await;
}

/// Where tasks are counted.
struct Begun<C>(C);

#[behaviour(each carrier)]
async fn a_forward_that_is_dropped_does_not_wait_for_what_is_being_opened<F: Flavour, C: Carrier>() {
    let (pod, _) = pod::<F>().await;
    let relay = Relay::start(&pod, |nth| if nth == 0 { Flow::Passes } else { Flow::Stands }).await;
    let client = relay.client::<Counted<F, Begun<C>>>();
    let forward = start::<C, _>(client.port_forward("default", "embedded").connections(3)).await;
    until::<F>("the others hang", || relay.count() == 3).await;
    drop(forward);
    until::<F>("no task is left", || tasks::<F, Begun<C>>() == 0).await;
}
