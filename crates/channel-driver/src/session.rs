//! A client's session, as the application holds it.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::BytesMut;
use channel_proto::{
    ClientSession, Outcome, SessionConfig, Streams, Subprotocol, TerminalSize, Transport,
    session::ResizeError, upgrade::Refusal,
};

use crate::{
    Error,
    background::Background,
    fallback::Agreed,
    halves::{Handle, Reader, Writer},
    handshake::Upgraded,
    machine::index,
    runtime::{Runtime, Transport as Stream},
    shared::Shared,
};

/// A command that runs in a pod, or an attachment.
///
/// Take the streams out of it and use them, in any task. When the session and all its streams are dropped, the connection is closed.
pub struct Session {
    /// The command's stdin, if it was asked for. Dropping it ends stdin, as does closing it, which also says if the subprotocol cannot.
    pub stdin: Option<Writer<ClientSession>>,
    /// The command's stdout, if it was asked for.
    pub stdout: Option<Reader<ClientSession>>,
    /// The command's stderr, if it was asked for.
    pub stderr: Option<Reader<ClientSession>>,
    agreed: Agreed,
    handle: Handle<ClientSession>,
}

/// All that a command put out, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// What it wrote to stdout; on a terminal, everything.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Session {
    pub(crate) fn start<R: Runtime<Timer: Unpin>>(
        upgraded: Upgraded,
        streams: Streams,
        config: &SessionConfig,
    ) -> Self {
        let Upgraded { stream, rest, agreed } = upgraded;
        let new = match agreed.transport {
            Transport::WebSocket => ClientSession::client,
            Transport::Spdy => ClientSession::client_over_spdy,
        };
        let machine = new(streams, agreed.subprotocol, config, R::now());
        let shared = Shared::new(machine, stream, rest, &config.limits, R::now);
        let reader = |wanted: bool, output| {
            let reader = Reader::new(&shared, index(output));
            // One that nobody asked for is dropped at once, which drops what comes for it.
            wanted.then_some(reader)
        };
        let session = Self {
            stdin: streams.stdin.then(|| Writer::new(&shared, 0)),
            stdout: reader(streams.stdout, channel_proto::Output::Stdout),
            stderr: reader(streams.stderr, channel_proto::Output::Stderr),
            agreed,
            handle: Handle::new(&shared),
        };
        Background::<ClientSession, R>::spawn(Arc::clone(&shared));
        session
    }

    /// A session on a stream that somebody else upgraded to WebSocket. `rest` is what was read behind the head of the 101.
    pub fn over<R: Runtime<Timer: Unpin>>(
        stream: impl Stream,
        rest: BytesMut,
        subprotocol: Subprotocol,
        streams: Streams,
        config: &SessionConfig,
    ) -> Self {
        let agreed = Agreed::at_once(Transport::WebSocket, subprotocol);
        Self::start::<R>(Upgraded { stream: Box::new(stream), rest, agreed }, streams, config)
    }

    /// A session on a stream that somebody else upgraded to SPDY, otherwise as [`over`](Self::over).
    pub fn over_spdy<R: Runtime<Timer: Unpin>>(
        stream: impl Stream,
        rest: BytesMut,
        subprotocol: Subprotocol,
        streams: Streams,
        config: &SessionConfig,
    ) -> Self {
        let agreed = Agreed::at_once(Transport::Spdy, subprotocol);
        Self::start::<R>(Upgraded { stream: Box::new(stream), rest, agreed }, streams, config)
    }

    /// What the connection was upgraded to.
    pub fn transport(&self) -> Transport {
        self.agreed.transport
    }

    /// The subprotocol that was negotiated. What it can do depends on the [`transport`](Self::transport) too.
    pub fn subprotocol(&self) -> Subprotocol {
        self.agreed.subprotocol
    }

    /// What the server refused before it took this, in order.
    pub fn refusals(&self) -> &[Refusal] {
        &self.agreed.refusals
    }

    /// Whether stdin can be ended while the output goes on: over WebSocket in v5 alone, over SPDY always.
    pub fn can_half_close(&self) -> bool {
        self.subprotocol().can_half_close_over(self.transport())
    }

    /// Tells the command's terminal its size. Never waits.
    ///
    /// # Errors
    /// The session has no terminal, or, over SPDY before v3, no way to tell its size.
    pub fn resize(&self, size: TerminalSize) -> Result<(), ResizeError> {
        self.handle.shared.command(|session, _| session.resize(size))
    }

    /// Waits for the end of the session, and tells it, any number of times. Somebody must read the outputs meanwhile: unread ones hold it up.
    ///
    /// # Errors
    /// The peer broke the protocol or went silent, or the connection failed in another way than being cut.
    pub async fn outcome(&self) -> Result<Outcome, Error> {
        self.handle.shared.ended().await
    }

    /// Ends stdin where that is possible, drops the outputs that were not taken out of the session, and waits for its end.
    ///
    /// # Errors
    /// As [`outcome`](Self::outcome).
    pub async fn wait(mut self) -> Result<Outcome, Error> {
        (self.stdin, self.stdout, self.stderr) = (None, None, None);
        self.outcome().await
    }

    /// Ends stdin where that is possible, and collects the outputs that were not taken out of the session until it ends.
    ///
    /// # Errors
    /// As [`outcome`](Self::outcome).
    pub async fn output(mut self) -> Result<Output, Error> {
        self.stdin = None;
        let mut stdout = pin!(collect(self.stdout.take()));
        let mut stderr = pin!(collect(self.stderr.take()));
        let (mut out, mut err) = (None, None);
        // Both at once: one left unread would hold up the other.
        poll_fn(|cx| {
            poll_once(&mut out, stdout.as_mut(), cx);
            poll_once(&mut err, stderr.as_mut(), cx);
            if out.is_some() && err.is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let (stdout, stderr) = (out.unwrap_or_default(), err.unwrap_or_default());
        let outcome = self.outcome().await?;
        Ok(Output { stdout, stderr, outcome })
    }
}

fn poll_once<T>(done: &mut Option<T>, future: Pin<&mut impl Future<Output = T>>, cx: &mut Context<'_>) {
    if done.is_none()
        && let Poll::Ready(output) = future.poll(cx)
    {
        *done = Some(output);
    }
}

/// All that comes. How the session ended says whether it is all there was.
async fn collect(reader: Option<Reader<ClientSession>>) -> Vec<u8> {
    let mut all = Vec::new();
    if let Some(mut reader) = reader {
        while let Ok(Some(chunk)) = reader.chunk().await {
            all.extend_from_slice(&chunk);
        }
    }
    all
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("agreed", &self.agreed).finish_non_exhaustive()
    }
}
