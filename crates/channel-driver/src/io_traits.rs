//! The I/O traits of the runtimes' worlds, on the streams of a session. Traits only: no runtime comes with them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use channel_proto::{ClientSession, ServerSession};

use crate::{Connection, EndOfStdin, Machine, Reader, Writer};

#[cfg(feature = "tokio-io")]
mod tokio_io {
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    impl<M: Machine> AsyncRead for Reader<M> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Reader::poll_read(&mut self, cx, buf).map_ok(|_| ())
        }
    }

    impl AsyncRead for Connection {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Connection::poll_read(&mut self, cx, buf).map_ok(|_| ())
        }
    }

    impl AsyncWrite for Connection {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            Connection::poll_write(&mut self, cx, data)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Connection::poll_flush(&mut self, cx)
        }

        /// Ends our half; see [`Connection::poll_close`].
        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_close(cx)
        }
    }

    impl AsyncWrite for Writer<ClientSession> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            Writer::poll_write(&mut self, cx, data)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Writer::poll_flush(&mut self, cx)
        }

        /// Ends stdin; see [`Writer::poll_close`].
        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_close(cx, EndOfStdin::HalfCloseOnly)
        }
    }

    impl AsyncWrite for Writer<ServerSession> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            Writer::poll_write(&mut self, cx, data)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Writer::poll_flush(&mut self, cx)
        }

        /// Only flushes: an output ends with its session.
        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Writer::poll_flush(&mut self, cx)
        }
    }
}
