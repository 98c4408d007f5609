//! TCP connections that are opened or accepted are set up, whichever of both it was.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

use std::{future::poll_fn, net::Ipv4Addr};

use channel_driver::runtime::{Accept, Runtime};
use channel_tokio::{Io, Tokio};
use tokio::net::{TcpSocket, TcpStream};

fn is_set_up(stream: Io<TcpStream>) -> bool {
    let socket = TcpSocket::from_std_stream(stream.0.into_std().unwrap());
    socket.keepalive().unwrap() && socket.nodelay().unwrap()
}

#[tokio::test]
async fn a_connection_is_kept_alive_and_does_not_wait_for_more_to_send() {
    let mut listener = Tokio::listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let opened = Tokio::connect("127.0.0.1", port).await.unwrap();
    let accepted = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    assert!(is_set_up(opened));
    assert!(is_set_up(accepted));
    let plain = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert!(!is_set_up(Io(plain)), "nothing is set by itself");
}
