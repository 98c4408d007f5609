//! Streams of every kind, as futures-io has them.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use channel_driver::runtime::{Accept, Runtime, Transport};
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::flavour::Flavour;

/// One end of a pipe in memory, for both directions.
pub(crate) struct Duplex {
    read: piper::Reader,
    write: piper::Writer,
}

/// Both ends of a pipe that holds `capacity` bytes each way.
pub(crate) fn duplex(capacity: usize) -> (Duplex, Duplex) {
    let (near_read, far_write) = piper::pipe(capacity);
    let (far_read, near_write) = piper::pipe(capacity);
    (Duplex { read: near_read, write: near_write }, Duplex { read: far_read, write: far_write })
}

impl AsyncRead for Duplex {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        // At first without the chance that it yields: what is there is there, as with a socket.
        match self.read.try_drain(buf) {
            0 => Pin::new(&mut self.read).poll_read(cx, buf),
            count => Poll::Ready(Ok(count)),
        }
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.write.try_fill(buf) {
            0 => Pin::new(&mut self.write).poll_write(cx, buf),
            count => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_close(cx)
    }
}

/// A runtime's own connection.
pub(crate) struct Local<T> {
    stream: T,
    unread: BytesMut,
}

pub(crate) type StreamOf<F> = <<F as Flavour>::Runtime as Runtime>::Stream;
pub(crate) type LocalOf<F> = Local<StreamOf<F>>;

impl<T: Transport> Local<T> {
    pub(crate) fn new(stream: T) -> Self {
        Self { stream, unread: BytesMut::new() }
    }
}

impl<T: Transport> AsyncRead for Local<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.unread.is_empty() {
            this.unread.reserve(16 << 10);
            std::task::ready!(this.stream.poll_read(cx, &mut this.unread))?;
        }
        let count = this.unread.len().min(buf.len());
        this.unread.copy_to_slice(&mut buf[..count]);
        Poll::Ready(Ok(count))
    }
}

impl<T: Transport> AsyncWrite for Local<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }
}

/// Ends a connection with a reset.
pub(crate) fn reset<F: Flavour>(local: LocalOf<F>) {
    F::Runtime::break_off(&local.stream);
}

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) async fn connect<F: Flavour>(address: SocketAddr) -> io::Result<LocalOf<F>> {
    Ok(Local::new(F::Runtime::connect(&address.ip().to_string(), address.port()).await?))
}

/// Both ends of a connection of the runtime's own.
pub(crate) async fn sockets<F: Flavour>() -> (StreamOf<F>, StreamOf<F>) {
    let mut listener = F::Runtime::listen(LOOPBACK).await.expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    let near = F::Runtime::connect(&address.ip().to_string(), address.port()).await.expect("a listener");
    let far = poll_fn(|cx| listener.poll_accept(cx)).await.expect("a connection");
    (near, far)
}

/// A port of this machine where every connection is served by `serve`.
pub(crate) async fn port<F: Flavour, S>(serve: impl Fn(LocalOf<F>) -> S + Send + 'static) -> u16
where
    S: Future<Output = ()> + Send + 'static,
{
    port_on::<F, _>(LOOPBACK, serve).await
}

pub(crate) async fn port_on<F: Flavour, S>(
    address: SocketAddr,
    serve: impl Fn(LocalOf<F>) -> S + Send + 'static,
) -> u16
where
    S: Future<Output = ()> + Send + 'static,
{
    let mut listener = F::Runtime::listen(address).await.expect("a free port");
    let port = listener.local_addr().expect("a bound port").port();
    F::spawn(async move {
        while let Ok(stream) = poll_fn(|cx| listener.poll_accept(cx)).await {
            F::spawn(serve(Local::new(stream)));
        }
    });
    port
}

/// A port where nobody listens.
pub(crate) fn closed_port() -> u16 {
    let listener = TcpListener::bind(LOOPBACK).expect("a free port");
    listener.local_addr().expect("a bound port").port()
}

pub(crate) async fn echo(stream: impl AsyncRead + AsyncWrite) {
    let (read, mut write) = stream.split();
    let _ = futures::io::copy(read, &mut write).await;
    let _ = write.close().await;
}

/// Answers with everything, but only after the end of the question.
pub(crate) async fn answer_after_end(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.expect("a question");
    stream.write_all(&all).await.expect("somebody to answer");
}

/// Bytes that differ from one place to the next. They come again after a prime number of bytes, at which nothing is ever cut.
pub(crate) fn pattern(seed: usize, len: usize) -> Vec<u8> {
    const PERIOD: usize = 65_521;
    let once: Vec<u8> = (seed..seed + len.min(PERIOD)).map(|at| (at * 31 / 7).to_le_bytes()[0]).collect();
    let mut all = once.repeat(len.div_ceil(PERIOD));
    all.truncate(len);
    all
}

/// Everything up to the end. `read_to_end` zeroes byte by byte where these tests are compiled without optimisation, which takes seconds for megabytes.
pub(crate) async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}
