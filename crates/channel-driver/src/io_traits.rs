//! The I/O traits of the runtimes' worlds, on the streams of a session. Traits only: no runtime comes with them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use channel_proto::{ClientSession, ServerSession};

use crate::{Connection, EndOfStdin, Machine, Reader, Writer};

/// The traits of one world, by the names that stand where this is called. Worlds differ in what is read into, in what
/// reading tells, and in what ending a stream is called.
macro_rules! io_traits {
    ($buffer:ty, $told:ty, $tell:expr, $end:ident) => {
        io_traits!(@read Reader<M>, [M: Machine], $buffer, $told, $tell);
        io_traits!(@read Connection, [], $buffer, $told, $tell);
        io_traits!(@write Connection, $end, |connection, cx| connection.poll_close(cx));
        io_traits!(@write Writer<ClientSession>, $end, |stdin, cx| {
            stdin.poll_close(cx, EndOfStdin::HalfCloseOnly)
        });
        // Only flushes: an output ends with its session.
        io_traits!(@write Writer<ServerSession>, $end, |output, cx| output.poll_flush(cx));
    };
    (@read $stream:ty, [$($generics:tt)*], $buffer:ty, $told:ty, $tell:expr) => {
        impl<$($generics)*> AsyncRead for $stream {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                mut buf: &mut $buffer,
            ) -> Poll<io::Result<$told>> {
                <$stream>::poll_read(&mut self, cx, &mut buf).map_ok($tell)
            }
        }
    };
    (@write $stream:ty, $end:ident, $close:expr) => {
        impl AsyncWrite for $stream {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                <$stream>::poll_write(&mut self, cx, data)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                <$stream>::poll_flush(&mut self, cx)
            }

            fn $end(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let close: fn(&mut $stream, &mut Context<'_>) -> Poll<io::Result<()>> = $close;
                close(&mut self, cx)
            }
        }
    };
}

#[cfg(feature = "tokio-io")]
mod tokio_io {
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    io_traits!(ReadBuf<'_>, (), |_| (), poll_shutdown);
}

#[cfg(feature = "futures-io")]
mod futures_io {
    use ::futures_io::{AsyncRead, AsyncWrite};

    use super::*;

    io_traits!([u8], usize, |count| count, poll_close);
}
