//! async-io, the reactor that smol and async-std have in common: sockets and timers for any executor beside it.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use ::async_io::Async;
use ::futures_io::AsyncRead;
use bytes::BytesMut;

use crate::{
    futures_io::{read_by_copy, write_slices},
    runtime::{Accept, Runtime, Timer, Transport},
    tcp,
};

/// An executor beside this reactor: with it, and what is here, a [`Runtime`] is complete. For an executor of one's own, too.
pub trait Executor: Send + Sync + Unpin + 'static {
    /// Runs a future to its end, in the background.
    fn spawn(future: impl Future<Output = ()> + Send + 'static);

    /// The addresses of a host, with this port. Does not block its thread.
    fn resolve(host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

impl<E: Executor> Runtime for E {
    type Stream = Socket;
    type Timer = Alarm;
    type Listener = Listening;

    fn now() -> Instant {
        Instant::now()
    }

    fn timer() -> Alarm {
        Alarm { timer: ::async_io::Timer::never(), deadline: None }
    }

    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        E::spawn(future);
    }

    async fn listen(address: SocketAddr) -> io::Result<Listening> {
        Ok(Listening(Async::<TcpListener>::bind(address)?))
    }

    fn break_off(stream: &Socket) {
        tcp::break_off(&*stream.0);
    }

    async fn connect(host: &str, port: u16) -> io::Result<Socket> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in E::resolve(host, port).await? {
            match Async::<TcpStream>::connect(address).await {
                Ok(stream) => return Ok(Socket::new(stream)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// A TCP connection.
#[derive(Debug)]
pub struct Socket(Arc<Async<TcpStream>>);

impl Socket {
    /// A connection of smol's, or, by way of [`std`], of async-std's. [Sets it up](tcp::set_up).
    pub fn new(stream: impl Into<Arc<Async<TcpStream>>>) -> Self {
        let stream = stream.into();
        tcp::set_up(&*stream);
        Self(stream)
    }
}

impl Transport for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        read_by_copy(buf, |scratch| Pin::new(&mut &*self.0).poll_read(cx, scratch))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        write_slices(&mut &*self.0, cx, slices)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// By hand: closing an `Async` does not end our side of the stream.
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().shutdown(Shutdown::Write))
    }
}

/// A TCP listener.
#[derive(Debug)]
pub struct Listening(Async<TcpListener>);

impl Accept for Listening {
    type Stream = Socket;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        loop {
            match self.0.get_ref().accept() {
                Ok((stream, _)) => return Poll::Ready(Async::new(stream).map(Socket::new)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.0.poll_readable(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }
}

/// A timer.
#[derive(Debug)]
pub struct Alarm {
    timer: ::async_io::Timer,
    /// What it is set to, until it went off.
    deadline: Option<Instant>,
}

impl Timer for Alarm {
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if self.deadline != Some(deadline) {
            self.timer.set_at(deadline);
            self.deadline = Some(deadline);
        }
        ready!(Pin::new(&mut self.timer).poll(cx));
        self.deadline = None;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rustix::net::sockopt::{socket_keepalive, tcp_nodelay};

    use super::*;

    #[test]
    fn a_connection_is_set_up() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::new(Async::new(stream).unwrap());
        assert!(socket_keepalive(&*socket.0).unwrap() && tcp_nodelay(&*socket.0).unwrap());
    }
}
