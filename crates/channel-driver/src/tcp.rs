//! What every TCP connection is told, whichever runtime it is of.

use std::time::Duration;

use rustix::{
    fd::AsFd,
    net::sockopt::{set_socket_keepalive, set_socket_linger, set_tcp_nodelay},
};

/// After this much silence the system asks whether the peer's is still there, and then as often again. 15 s, as Go's, which the real ends are
/// written in.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Sends small messages at once, and notices a peer whose machine is gone, also where nobody pings: a server does not (WSF-20).
///
/// What the system refuses is done without: the bytes go the same.
pub fn set_up(socket: impl AsFd) {
    let _ = set_tcp_nodelay(&socket, true);
    let _ = set_socket_keepalive(&socket, true);
    #[cfg(not(any(target_os = "openbsd", target_os = "haiku", target_os = "nto")))]
    {
        let _ = rustix::net::sockopt::set_tcp_keepidle(&socket, KEEPALIVE);
        let _ = rustix::net::sockopt::set_tcp_keepintvl(&socket, KEEPALIVE);
    }
}

/// Has the end of a connection be a reset. Where that is not to be had, it ends as others do.
pub fn break_off(socket: impl AsFd) {
    let _ = set_socket_linger(socket, Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use rustix::net::sockopt::{socket_keepalive, tcp_keepidle, tcp_keepintvl, tcp_nodelay};

    use super::*;

    #[test]
    fn a_peer_that_is_gone_is_asked_after_every_15_s() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(!socket_keepalive(&stream).unwrap());
        set_up(&stream);
        assert!(socket_keepalive(&stream).unwrap() && tcp_nodelay(&stream).unwrap());
        let times = [tcp_keepidle(&stream).unwrap(), tcp_keepintvl(&stream).unwrap()];
        assert_eq!(times, [Duration::from_secs(15); 2]);
    }
}
