//! Local ports that lead to ports of a pod.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use channel_driver::{Client, Endpoint, ListenerState};
use channel_pod::Pod;
use channel_suite::behaviour;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::carrier::{Carrier, Tunnel, forward};
use crate::support::{
    counted::{Counted, tasks},
    flavour::Flavour,
    pod::{pod, start},
    relay::{Flow, Relay},
    streams::{LOOPBACK, closed_port, connect, echo, pattern, port, read_all},
    tasks::{sleep, spawn, timeout, until},
};

#[behaviour(each carrier)]
async fn megabytes_go_both_ways_through_a_local_port<F: Flavour, C: Carrier>() {
    let (_pod, client) = pod::<F>().await;
    let forward = forward::<C, _>(&client).await;
    let listener = forward.listen(LOOPBACK, port::<F, _>(echo).await).await.unwrap();
    let (mut read, mut write) = connect::<F>(listener.address()).await.unwrap().split();
    let data = pattern(0, 16 << 20);
    let sent = data.clone();
    let writing = spawn::<F, _>(async move {
        write.write_all(&sent).await.unwrap();
        write.close().await.unwrap();
    });
    let back = read_all(&mut read).await.unwrap();
    writing.await;
    assert!(back == data, "{} of {}", back.len(), data.len());
}

#[behaviour(each carrier)]
async fn a_listener_outlives_the_connection_to_the_pod<F: Flavour, C: Carrier>() {
    let target = port::<F, _>(echo).await;
    let first = start(Pod::builder().token("same")).await;
    let address = first.address();
    let client: Client<F::Runtime> = Client::new(Endpoint::new(&first.url()).unwrap().token("same"));
    let forward = forward::<C, _>(&client).await;
    let listener = forward.listen(LOOPBACK, target).await.unwrap();
    assert_eq!(listener.state(), ListenerState::Connected);

    drop(first);
    let lost = listener.changed(&ListenerState::Connected).await;
    assert!(matches!(lost, ListenerState::Reconnecting { .. }), "{lost:?}");
    // Who connects meanwhile waits.
    let mut local = connect::<F>(listener.address()).await.unwrap();
    local.write_all(b"patience").await.unwrap();
    sleep::<F>(Duration::from_millis(300)).await;

    let _second = start(Pod::builder().listen(address).token("same")).await;
    let mut back = [0; 8];
    local.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"patience");
    let mut state = listener.state();
    while state != ListenerState::Connected {
        state = listener.changed(&state).await;
    }
}

#[behaviour(each carrier)]
async fn dropping_everything_closes_everything<F: Flavour, C: Carrier>() {
    let (_pod, client) = pod::<F>().await;
    let forward = forward::<C, _>(&client).await;
    let listener = forward.listen(LOOPBACK, port::<F, _>(echo).await).await.unwrap();
    let address = listener.address();
    drop((listener, forward));
    let refused = async {
        while connect::<F>(address).await.is_ok() {
            sleep::<F>(Duration::from_millis(10)).await;
        }
    };
    timeout::<F, _>(Duration::from_secs(5), refused).await.expect("the local port is closed");
}

#[behaviour]
async fn every_watcher_hears_of_a_change<F: Flavour>() {
    let (pod, _) = pod::<F>().await;
    let relay = Relay::start(&pod, |_| Flow::Passes).await;
    let forward = forward::<Tunnel, _>(&relay.client::<F::Runtime>()).await;
    let listener = Arc::new(forward.listen(LOOPBACK, closed_port()).await.unwrap());
    let watching: Vec<_> = (0..5)
        .map(|_| {
            let listener = listener.clone();
            spawn::<F, _>(async move { listener.changed(&ListenerState::Connected).await })
        })
        .collect();
    // One that gave up before leaves the others theirs.
    let _ = timeout::<F, _>(Duration::from_millis(50), listener.changed(&ListenerState::Connected)).await;
    relay.set(0, Flow::Cut);
    for watcher in watching {
        let state = watcher.await;
        assert!(matches!(state, ListenerState::Reconnecting { attempts: 0, .. }), "{state:?}");
    }
}

/// Where tasks are counted.
struct Asked;

/// How often a listener asks in a second and a half for a connection to the pod that is lost like this; and nothing of it is left then.
async fn asked<F: Flavour>(lost: Flow) {
    let (pod, _) = pod::<F>().await;
    let relay = Relay::start(&pod, move |nth| if nth == 0 { Flow::Passes } else { lost }).await;
    let forward = forward::<Tunnel, _>(&relay.client::<Counted<F, Asked>>()).await;
    let listener = forward.listen(LOOPBACK, closed_port()).await.unwrap();
    drop(forward);
    relay.set(0, Flow::Cut);
    let state = listener.changed(&ListenerState::Connected).await;
    assert!(matches!(state, ListenerState::Reconnecting { .. }), "{state:?}");
    sleep::<F>(Duration::from_millis(1500)).await;
    let asked = relay.count() - 1;
    // After 0.2, 0.4 and 0.8 s, each shortened by up to a half, the fourth not before 1.5 s. Fewer if the machine is late.
    assert!((2..=4).contains(&asked), "{asked} times, {lost:?}");
    drop(listener);
}

#[behaviour]
async fn a_server_that_hangs_up_at_once_is_asked_with_growing_pauses<F: Flavour>() {
    futures::join!(asked::<F>(Flow::Cut), asked::<F>(Flow::CutOnceUpgraded));
    until::<F>("no task is left", || tasks::<F, Asked>() == 0).await;
}

/// Where tasks are counted.
struct Waiting;

#[behaviour]
async fn those_who_wait_for_a_lost_pod_are_not_without_number<F: Flavour>() {
    const MANY: usize = 160;
    let (pod, _) = pod::<F>().await;
    let back = Arc::new(AtomicBool::new(false));
    let is_back = back.clone();
    let flow = move |nth| if nth == 0 || is_back.load(Ordering::Relaxed) { Flow::Passes } else { Flow::Cut };
    let relay = Relay::start(&pod, flow).await;
    let forward = forward::<Tunnel, _>(&relay.client::<Counted<F, Waiting>>()).await;
    let listener = forward.listen(LOOPBACK, port::<F, _>(echo).await).await.unwrap();
    relay.set(0, Flow::Cut);
    listener.changed(&ListenerState::Connected).await;
    let mut waiting = Vec::new();
    for _ in 0..MANY {
        let mut local = connect::<F>(listener.address()).await.unwrap();
        local.write_all(b"patience").await.unwrap();
        waiting.push(local);
    }
    // One task for each that was accepted, and three of the listener and the attempt.
    until::<F>("as many as may wait do", || tasks::<F, Waiting>() >= 128).await;
    sleep::<F>(Duration::from_millis(100)).await;
    let all = tasks::<F, Waiting>();
    assert!(all <= 128 + 3, "{all} tasks");
    back.store(true, Ordering::Relaxed);
    for local in &mut waiting {
        let mut heard = [0; 8];
        local.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"patience");
    }
}
