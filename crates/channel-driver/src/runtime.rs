//! What an async runtime has to bring.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    task::{Context, Poll},
    time::Instant,
};

use bytes::BytesMut;

/// A byte stream to the peer. Not `futures_io`'s or tokio's traits: reading appends to a [`BytesMut`], so that a runtime which can
/// read into spare capacity need not zero it first.
pub trait Transport: Send + Unpin + 'static {
    /// Appends what came to `buf`'s spare capacity, of which there is some. `Ok(0)` is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>>;

    /// Writes some of `slices`, of which at least one is not empty.
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Sends on what the stream itself holds back, if it does.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends our side of the stream; the peer's goes on.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Gives back the memory that a quiet stream does not need. Called now and then, when nothing has happened for a while.
    fn release(&mut self) {}
}

impl Transport for Box<dyn Transport> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        (**self).poll_read(cx, buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        (**self).poll_write(cx, slices)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_shutdown(cx)
    }

    fn release(&mut self) {
        (**self).release();
    }
}

/// A timer that can be set again and again.
pub trait Timer: Send + 'static {
    /// Ready once `deadline` has come. Each call replaces the deadline of the call before.
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()>;
}

/// A TCP listener.
pub trait Accept: Send + 'static {
    /// What it accepts, with `TCP_NODELAY` and kept alive: [`tcp::set_up`](crate::tcp::set_up).
    type Stream: Transport;

    /// The next connection.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Stream>>;

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system's.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// An async runtime: everything that the driver wants of one.
pub trait Runtime: Send + Sync + Unpin + 'static {
    /// Its TCP stream.
    type Stream: Transport;
    /// Its timer.
    type Timer: Timer;

    /// The time, by the clock of its timers.
    fn now() -> Instant;

    /// A timer.
    fn timer() -> Self::Timer;

    /// Runs a future to its end, in the background.
    fn spawn(future: impl Future<Output = ()> + Send + 'static);

    /// Its TCP listener.
    type Listener: Accept<Stream = Self::Stream>;

    /// Listens on a local address.
    fn listen(address: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Has a TCP connection end with a reset when it is dropped, and not as if all had been sent.
    fn break_off(stream: &Self::Stream);

    /// Opens a TCP connection to the first of the host's addresses that answers, with `TCP_NODELAY` and kept alive.
    fn connect(host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}
