//! The byte streams of a command: pipes, a pseudo-terminal, or shares in those of a main process.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pty_process::{OwnedReadPty, OwnedWritePty};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::broadcast::{Reader, SharedStdin};

/// Standard input.
///
/// Shutting it down, or dropping it, is end of input for a pipe. On a terminal it is not: there, only a
/// control character in the data ends the input of a program (`exec-v5-half-close-tty`). Nor is it for a main
/// process, whose input stays open for other sessions.
///
/// Writing to a pipe fails with [`io::ErrorKind::BrokenPipe`] when nobody reads any more; a terminal swallows
/// the data. It is no error of the session: real servers drop the rest of the input and go on
/// (`exec-v5-exit-with-stdin-open`).
#[derive(Debug)]
pub(crate) struct Stdin(Writer);

#[derive(Debug)]
enum Writer {
    Pipe(ChildStdin),
    Terminal(OwnedWritePty),
    Main(SharedStdin),
    Closed,
}

impl Stdin {
    pub(super) fn pipe(pipe: ChildStdin) -> Self {
        Self(Writer::Pipe(pipe))
    }

    pub(super) fn terminal(terminal: OwnedWritePty) -> Self {
        Self(Writer::Terminal(terminal))
    }

    pub(super) fn main(stdin: SharedStdin) -> Self {
        Self(Writer::Main(stdin))
    }
}

impl AsyncWrite for Stdin {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Writer::Pipe(pipe) => Pin::new(pipe).poll_write(cx, data),
            Writer::Terminal(terminal) => {
                Pin::new(terminal).poll_write(cx, data).map_err(|error| match is_hung_up(&error) {
                    true => io::ErrorKind::BrokenPipe.into(),
                    false => error,
                })
            }
            Writer::Main(stdin) => stdin.poll_write(cx, data),
            Writer::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = Writer::Closed;
        Poll::Ready(Ok(()))
    }
}

/// Standard output or error. Reads go straight from the operating system into the caller's buffer (from a
/// main process: from the buffer that its sessions share).
///
/// Reading fails for a session that fell behind a main process (see [`super::broadcast`]), and else only if
/// the operating system fails.
#[derive(Debug)]
pub(crate) enum Output {
    /// A pipe.
    Stdout(ChildStdout),
    /// A pipe.
    Stderr(ChildStderr),
    /// All output of a terminal.
    Terminal(OwnedReadPty),
    /// A share in a main process's output.
    Main(Reader),
}

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Stdout(pipe) => Pin::new(pipe).poll_read(cx, buffer),
            Self::Stderr(pipe) => Pin::new(pipe).poll_read(cx, buffer),
            Self::Terminal(terminal) => match ready!(Pin::new(terminal).poll_read(cx, buffer)) {
                Err(error) if is_hung_up(&error) => Poll::Ready(Ok(())),
                result => Poll::Ready(result),
            },
            Self::Main(reader) => reader.poll_read(cx, buffer),
        }
    }
}

/// Whether the error says that no process has the terminal open any more, as Linux puts it.
fn is_hung_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
