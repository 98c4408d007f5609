//! The upgrade, driven over a stream.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use channel_proto::{
    Limits,
    upgrade::{self, ClientUpgrade, ServerUpgrade, UpgradeError, UpgradeRequest},
};

use crate::{
    Error,
    fallback::Agreed,
    runtime::{Runtime, Timer, Transport},
};

/// A stream after its upgrade.
pub(crate) struct Upgraded {
    pub(crate) stream: Box<dyn Transport>,
    /// What was read behind the head.
    pub(crate) rest: BytesMut,
    pub(crate) agreed: Agreed,
}

const READ: usize = 4 << 10;

/// Asks for the upgrade, and takes it or brings back the refusal.
pub(crate) async fn upgrade(
    mut stream: Box<dyn Transport>,
    request: &UpgradeRequest,
    limits: &Limits,
) -> Result<Upgraded, Error> {
    let mut upgrade = ClientUpgrade::new(request, entropy()?, limits)?;
    // A server may refuse before it read everything: the answer counts, not that writing failed.
    let written = write_all(&mut stream, upgrade.transmit()).await;
    let mut rest = BytesMut::new();
    loop {
        match upgrade.handle_input(&mut rest) {
            Ok(Some(upgraded)) => {
                let agreed = Agreed::at_once(upgraded.transport, upgraded.subprotocol);
                return Ok(Upgraded { stream, rest, agreed });
            }
            Ok(None) => {}
            Err(error) => return Err(refused(error)),
        }
        match read(&mut stream, &mut rest).await {
            Ok(0) => return Err(refused(upgrade.handle_eof())),
            Ok(_) => {}
            Err(error) => {
                let error = Error::from(error);
                if let Error::Io(_) = error {
                    // Else the peer said why before it was gone.
                    written?;
                }
                return Err(error);
            }
        }
    }
}

pub(crate) fn refused(error: UpgradeError) -> Error {
    match error {
        UpgradeError::Refused(refusal) => Error::Refused(refusal),
        UpgradeError::Failed(error) => Error::Protocol(error),
        error => Error::Usage(error.to_string()),
    }
}

/// Reads the head of a request; `None` when the stream ended before one began. Answers one that cannot be read.
pub(crate) async fn read_request<T: Transport>(
    stream: &mut T,
    limits: &Limits,
) -> Result<Option<(upgrade::Incoming, BytesMut)>, Error> {
    let mut upgrade = ServerUpgrade::new(limits);
    let mut rest = BytesMut::new();
    loop {
        match upgrade.handle_input(&mut rest) {
            Ok(Some(incoming)) => return Ok(Some((incoming, rest))),
            Ok(None) => {}
            Err(error) => {
                answer(stream, ServerUpgrade::answer_to(&error)).await?;
                return Err(error.into());
            }
        }
        if read(stream, &mut rest).await? == 0 {
            upgrade.handle_eof()?;
            return Ok(None);
        }
    }
}

/// Writes an answer and ends the connection, so that the answer arrives: closing a socket with unread input would reset it.
pub(crate) async fn answer<T: Transport>(stream: &mut T, mut answer: Bytes) -> io::Result<()> {
    write_all(stream, &mut answer).await?;
    poll_fn(|cx| stream.poll_shutdown(cx)).await?;
    let mut unread = BytesMut::new();
    for _ in 0..DRAIN_READS {
        unread.clear();
        if read(stream, &mut unread).await.is_ok_and(|count| count > 0) {
            continue;
        }
        break;
    }
    Ok(())
}

/// How many reads of what nobody wants are made before a refused connection is dropped.
const DRAIN_READS: usize = 64;

pub(crate) async fn write_all<T: Transport>(stream: &mut T, data: &mut Bytes) -> io::Result<()> {
    poll_fn(|cx| {
        while data.has_remaining() {
            match stream.poll_write(cx, &[IoSlice::new(data)]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => data.advance(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        stream.poll_flush(cx)
    })
    .await
}

pub(crate) async fn read<T: Transport>(stream: &mut T, into: &mut BytesMut) -> io::Result<usize> {
    into.reserve(READ);
    poll_fn(|cx| stream.poll_read(cx, into)).await
}

/// Random bytes from the operating system.
pub(crate) fn entropy<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Io(Arc::new(io::Error::other(error))))?;
    Ok(bytes)
}

/// Runs `future` for no longer than `limit`.
pub(crate) async fn timeout<R, T>(
    limit: Duration,
    authority: &str,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error>
where
    R: Runtime,
{
    // One beyond all time is none.
    let deadline = R::now().checked_add(limit);
    let mut timer = R::timer();
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(result) = future.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        let Some(deadline) = deadline else { return Poll::Pending };
        timer.poll_until(cx, deadline).map(|()| {
            let what = format!("no upgraded connection within {} s", limit.as_secs_f32());
            let source = Arc::new(io::Error::new(io::ErrorKind::TimedOut, what));
            Err(Error::Connect { authority: authority.to_owned(), source })
        })
    })
    .await
}
