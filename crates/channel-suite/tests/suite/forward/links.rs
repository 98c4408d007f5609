//! Connections that are spread over several upgraded connections.

use std::{io, sync::Arc, time::Duration};

use channel_driver::{Connection, Forward, ListenerState};
use channel_suite::behaviour;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    carrier::{Carrier, Tunnel, start},
    talk,
};
use crate::support::{
    flavour::Flavour,
    pod::pod,
    relay::{Flow, Relay},
    streams::{LOOPBACK, connect, echo, port},
    tasks::{sleep, spawn, timeout, until},
};

/// A forward with this many upgraded connections, through a relay.
async fn spread<F: Flavour, C: Carrier>(relay: &Relay, count: usize) -> Forward<F::Runtime> {
    let client = relay.client::<F::Runtime>();
    start::<C, _>(client.port_forward("default", "embedded").connections(count)).await
}

/// Connects, and waits for an answer.
async fn connected<F: Flavour>(forward: &Forward<F::Runtime>, port: u16) -> Connection {
    let mut connection = forward.connect(port).await.unwrap();
    talk(&mut connection, b"there").await;
    connection
}

/// Waits until each of so many links is there for connections.
async fn all_open<F: Flavour>(relay: &Relay, forward: &Forward<F::Runtime>, count: usize, port: u16) {
    let answered = || relay.count() == count && (0..count).all(|nth| relay.carried(nth).1 > 0);
    until::<F>("all are upgraded", answered).await;
    let requests: Vec<_> = (0..count).map(|nth| relay.carried(nth).0).collect();
    let mut open = Vec::new();
    while (0..count).any(|nth| relay.carried(nth).0 == requests[nth]) {
        assert!(open.len() < 100 * count, "they are not used");
        open.push(connected::<F>(forward, port).await);
    }
}

/// Connects until much goes over a link.
async fn used<F: Flavour>(relay: &Relay, forward: &Forward<F::Runtime>, nth: usize, port: u16) {
    let using = async {
        let mut open = Vec::new();
        while relay.count() <= nth || relay.carried(nth).0 < 10_000 {
            let mut connection = connected::<F>(forward, port).await;
            talk(&mut connection, &[7; 10_000]).await;
            open.push(connection);
        }
    };
    timeout::<F, _>(SOON, using).await.expect("it is used");
}

/// No more than a moment, though the machine may do much else.
const SOON: Duration = Duration::from_secs(5);

#[behaviour(each carrier)]
async fn nine_connections_over_three_links_take_three_upgrades<F: Flavour, C: Carrier>() {
    let (pod, _) = pod::<F>().await;
    let relay = Relay::start(&pod, |_| Flow::Passes).await;
    let forward = spread::<F, C>(&relay, 3).await;
    let target = port::<F, _>(echo).await;
    all_open::<F>(&relay, &forward, 3, target).await;
    let before = [0, 1, 2].map(|nth| relay.carried(nth));
    let mut open = Vec::new();
    for _ in 0..9 {
        open.push(connected::<F>(&forward, target).await);
    }
    for connection in &mut open {
        talk(connection, &[7; 10_000]).await;
    }
    assert_eq!(relay.count(), 3);
    for (nth, before) in before.into_iter().enumerate() {
        let after = relay.carried(nth);
        // Three connections each, or what else they would be spread for.
        let each = 30_000..40_000;
        assert!(
            each.contains(&(after.0 - before.0)) && each.contains(&(after.1 - before.1)),
            "{nth}: {after:?}"
        );
    }
}

#[behaviour(each carrier)]
async fn a_stream_that_is_never_read_blocks_its_own_link_alone<F: Flavour, C: Carrier>() {
    let (pod, _) = pod::<F>().await;
    let relay = Relay::start(&pod, |_| Flow::Passes).await;
    let forward = spread::<F, C>(&relay, 2).await;
    let target = port::<F, _>(echo).await;
    all_open::<F>(&relay, &forward, 2, target).await;
    let mut slow = connected::<F>(&forward, target).await;
    let mut other = connected::<F>(&forward, target).await;
    // Until it stands.
    while timeout::<F, _>(Duration::from_millis(100), slow.write_all(&[7; 64 << 10])).await.is_some() {}
    for _ in 0..3 {
        timeout::<F, _>(SOON, talk(&mut other, b"goes on")).await.expect("it has a link of its own");
    }
}

#[behaviour(each carrier)]
async fn when_one_link_is_lost_the_others_go_on_and_it_is_replaced<F: Flavour, C: Carrier>() {
    let (pod, _) = pod::<F>().await;
    let relay = Relay::start(&pod, |_| Flow::Passes).await;
    let forward = spread::<F, C>(&relay, 2).await;
    let target = port::<F, _>(echo).await;
    all_open::<F>(&relay, &forward, 2, target).await;
    let listener = Arc::new(forward.listen(LOOPBACK, target).await.unwrap());
    let watched = listener.clone();
    let watching = spawn::<F, _>(async move { watched.changed(&ListenerState::Connected).await });
    let mut open = [connected::<F>(&forward, target).await, connected::<F>(&forward, target).await];
    relay.set(0, Flow::Cut);
    // Which of the two it was depends on nothing that was promised.
    let mut kept = 0;
    for connection in &mut open {
        let written = connection.write_all(b"goes on").await;
        let mut back = [0; 7];
        match written.and(connection.read_exact(&mut back).await) {
            Ok(()) => kept += 1,
            Err(error) => assert_ne!(error.kind(), io::ErrorKind::InvalidData, "{error}"),
        }
    }
    assert_eq!(kept, 1);
    for _ in 0..3 {
        timeout::<F, _>(SOON, connected::<F>(&forward, target)).await.expect("a link lives");
    }
    let mut local = connect::<F>(listener.address()).await.unwrap();
    timeout::<F, _>(SOON, talk(&mut local, b"through a local port")).await.expect("a link lives");
    // The third is opened when it is asked for. Then whichever of the first two it was that the listener watched is gone.
    used::<F>(&relay, &forward, 2, target).await;
    relay.set(1, Flow::Cut);
    for connection in &mut open {
        connection.read(&mut [0]).await.expect_err("both are cut by now");
    }
    timeout::<F, _>(SOON, connected::<F>(&forward, target)).await.expect("a link lives");
    sleep::<F>(Duration::from_millis(50)).await;
    assert!(!watching.is_finished(), "there was always one");
}

#[behaviour(each carrier)]
async fn an_upgrade_that_hangs_keeps_nobody_waiting_while_a_link_lives<F: Flavour, C: Carrier>() {
    let (pod, _) = pod::<F>().await;
    let relay = Relay::start(&pod, |nth| if nth == 2 { Flow::Stands } else { Flow::Passes }).await;
    let forward = spread::<F, C>(&relay, 3).await;
    let target = port::<F, _>(echo).await;
    let mut open = Vec::new();
    for nth in 0..9 {
        let connection = timeout::<F, _>(SOON, connected::<F>(&forward, target)).await;
        open.push(connection.unwrap_or_else(|| panic!("connection {nth} waits")));
    }
    until::<F>("the third is asked for", || relay.count() == 3).await;
    // And when it comes it is used.
    relay.set(2, Flow::Passes);
    used::<F>(&relay, &forward, 2, target).await;
    assert_eq!(relay.count(), 3);
}

#[behaviour]
async fn a_link_that_cannot_be_had_is_not_asked_for_by_every_connection<F: Flavour>() {
    let (pod, _) = pod::<F>().await;
    let relay = Relay::start(&pod, |nth| if nth == 0 { Flow::Passes } else { Flow::Cut }).await;
    let forward = spread::<F, Tunnel>(&relay, 2).await;
    let target = port::<F, _>(echo).await;
    for _ in 0..30 {
        connected::<F>(&forward, target).await;
        sleep::<F>(Duration::from_millis(20)).await;
    }
    // In 0.6 s: at the start, after 0.2 s and 0.4 s, each shortened by up to a half. On a slow machine a little more.
    let asked = relay.count() - 1;
    assert!((2..=6).contains(&asked), "{asked} times");
}
