//! Exec and attach in Kubernetes pods, on tokio.
//!
//! ```no_run
//! use channel_tokio::{Client, Endpoint};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(Endpoint::new("http://127.0.0.1:8001")?); // kubectl proxy
//!
//! // Like std::process::Command.
//! let output = client.exec("default", "web-0").command(["uname", "-a"]).output().await?;
//! assert!(output.outcome.success());
//!
//! // Streams. Ending stdin is a half-close: the output still arrives.
//! let mut session = client.exec("default", "web-0").command(["wc", "-c"]).stdin().stdout().start().await?;
//! let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
//! stdin.write_all(b"hello").await?;
//! stdin.shutdown().await?;
//! let mut count = String::new();
//! stdout.read_to_string(&mut count).await?;
//! assert!(session.wait().await?.success());
//! # Ok(())
//! # }
//! ```
//!
//! The streams are tokio's [`AsyncRead`] and [`AsyncWrite`]. Everything else is the same for every runtime, and
//! is documented in [`channel_driver`].

#[cfg(feature = "hyper")]
pub mod hyper;
#[cfg(feature = "kube")]
pub mod kube;

use std::{
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::BytesMut;
use channel_driver::{
    runtime::{Accept, Runtime, Timer, Transport as Stream},
    tcp,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep_until},
};

channel_driver::adapter!(Tokio);

/// tokio, as the driver knows it.
#[derive(Debug, Clone, Copy)]
pub struct Tokio;

impl Runtime for Tokio {
    type Stream = Io<TcpStream>;
    type Timer = TokioTimer;
    type Listener = Listening;

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn timer() -> TokioTimer {
        TokioTimer(None)
    }

    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(future);
    }

    async fn listen(address: SocketAddr) -> io::Result<Listening> {
        Ok(Listening(TcpListener::bind(address).await?))
    }

    fn break_off(stream: &Io<TcpStream>) {
        tcp::break_off(&stream.0);
    }

    async fn connect(host: &str, port: u16) -> io::Result<Io<TcpStream>> {
        Ok(Io::tcp(TcpStream::connect((host, port)).await?))
    }
}

/// A listener of tokio's.
#[derive(Debug)]
pub struct Listening(TcpListener);

impl Accept for Listening {
    type Stream = Io<TcpStream>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Io<TcpStream>>> {
        let (stream, _) = std::task::ready!(self.0.poll_accept(cx))?;
        Poll::Ready(Ok(Io::tcp(stream)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A timer of tokio's.
#[derive(Debug)]
pub struct TokioTimer(Option<Pin<Box<Sleep>>>);

impl Timer for TokioTimer {
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let deadline = deadline.into();
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

/// Any stream of tokio's, for sessions on a connection that somebody else opened or upgraded.
#[derive(Debug)]
pub struct Io<T>(pub T);

impl Io<TcpStream> {
    /// A TCP connection, which is [set up](tcp::set_up): what a server accepted, for one.
    pub fn tcp(stream: TcpStream) -> Self {
        tcp::set_up(&stream);
        Self(stream)
    }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for Io<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        // Reads into spare capacity as it is, without zeroing it; the limit keeps it from growing the buffer.
        let spare = buf.capacity() - buf.len();
        let mut buf = bytes::BufMut::limit(buf, spare);
        tokio_util::io::poll_read_buf(Pin::new(&mut self.0), cx, &mut buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match slices {
            // Cheaper than a vectored write of one.
            [slice] => Pin::new(&mut self.0).poll_write(cx, slice),
            slices => Pin::new(&mut self.0).poll_write_vectored(cx, slices),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
