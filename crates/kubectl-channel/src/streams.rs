//! Bytes between this process and a session: nothing lost, nothing held back.

use std::{
    io::{self, Read},
    os::fd::AsFd,
    thread,
};

use bytes::Bytes;
use channel_tokio::{EndOfStdin, Stdin, Stdout};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use std::future::poll_fn;
use tokio::{sync::mpsc, task::spawn_blocking};

/// Room for one read of stdin: what a pipe holds.
const READ: usize = 64 << 10;

/// Copies an output of the command to `to`, and returns at its end or when the session breaks off: which of them it was
/// the session's outcome says.
///
/// # Errors
/// `to` takes no more.
pub(crate) async fn copy(from: Option<Stdout>, mut to: impl AsFd + Send + 'static) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    while let Ok(Some(chunk)) = from.chunk().await {
        let written = spawn_blocking(move || write_all(&to, &chunk).map(|()| to));
        to = written.await??;
    }
    Ok(())
}

/// Past std's buffers, and also to what somebody else made non-blocking, as terminals and sockets often are.
fn write_all(to: impl AsFd, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match rustix::io::write(&to, data) {
            Ok(count) => data = &data[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(&to, PollFlags::OUT)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait(on: impl AsFd, what: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::new(&on, what)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Copies this process's stdin to the command's, and ends that when this ends.
///
/// # Errors
/// Stdin cannot be read. [`Unsupported`](io::ErrorKind::Unsupported): the subprotocol cannot end it.
pub(crate) async fn feed(mut to: Stdin, end: EndOfStdin) -> io::Result<()> {
    let mut from = read_stdin()?;
    while let Some(data) = from.recv().await {
        if to.write_bytes(data?).await.is_err() {
            // The command takes no more. How the session ends tells the rest.
            return Ok(());
        }
    }
    match poll_fn(|cx| to.poll_close(cx, end)).await {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Err(error),
        // Nor is a session that fails before it sent the end something that stdin has to tell.
        _ => Ok(()),
    }
}

/// Reads stdin in a thread that nothing waits for: it may block for ever, and must not keep this process from ending.
fn read_stdin() -> io::Result<mpsc::Receiver<io::Result<Bytes>>> {
    let (sender, receiver) = mpsc::channel(1);
    thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut buffer = vec![0; READ];
        loop {
            let read = match io::stdin().lock().read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => Ok(Bytes::copy_from_slice(&buffer[..count])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match wait(io::stdin(), PollFlags::IN) {
                        Ok(()) => continue,
                        Err(error) => Err(error),
                    }
                }
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
        }
    })?;
    Ok(receiver)
}
