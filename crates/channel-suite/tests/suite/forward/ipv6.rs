//! ::1, at either end.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicU16, Ordering},
};

use channel_suite::behaviour;

use super::{
    carrier::{Tunnel, forward},
    talk,
};
use crate::support::{
    flavour::Flavour,
    pod::pod,
    streams::{LOOPBACK, connect, echo, port, port_on},
};

const LOOPBACK_6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);

/// Whether this machine has ::1. Not all that tests run on do.
#[expect(clippy::print_stderr, reason = "what was not tested is said")]
fn is_there() -> bool {
    match TcpListener::bind(LOOPBACK_6) {
        Err(error) if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported) => {
            eprintln!("SKIPPED: there is no ::1 here: {error}");
            false
        }
        bound => bound.is_ok(),
    }
}

/// A port that is free on ::1, and where nobody listens on 127.0.0.1: below those that the system gives to whoever asks for any.
fn port_without_ipv4() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 30_000, "a free port");
        let free = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok();
        if free && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            return port;
        }
    }
}

#[behaviour]
async fn a_local_port_of_ipv6_leads_to_the_pod<F: Flavour>() {
    if !is_there() {
        return;
    }
    let (_pod, client) = pod::<F>().await;
    let forward = forward::<Tunnel, _>(&client).await;
    let listener = forward.listen(LOOPBACK_6, port::<F, _>(echo).await).await.unwrap();
    assert!(listener.address().is_ipv6());
    talk(&mut connect::<F>(listener.address()).await.unwrap(), b"6").await;
}

#[behaviour]
async fn a_port_that_listens_on_ipv6_alone_is_found<F: Flavour>() {
    if !is_there() {
        return;
    }
    let (_pod, client) = pod::<F>().await;
    let forward = forward::<Tunnel, _>(&client).await;
    let target = port_on::<F, _>(SocketAddr::new(LOOPBACK_6.ip(), port_without_ipv4()), echo).await;
    talk(&mut forward.connect(target).await.unwrap(), b"6").await;
    let listener = forward.listen(LOOPBACK, target).await.unwrap();
    talk(&mut connect::<F>(listener.address()).await.unwrap(), b"4 to 6").await;
}
