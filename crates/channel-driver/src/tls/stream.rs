//! A TLS connection as a transport: rustls between the caller's bytes and those of another transport.
//!
//! Reading never writes and writing never reads, so that no waker is registered for the wrong direction. What a peer wants answered
//! (a key update, RFC 8446 §4.6.3) is answered before the next data, which is all that is asked for.
//!
//! rustls' unbuffered API, since the buffers are then ours: the records of one large read are decrypted where they are, and an idle stream
//! holds none.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rustls::{
    client::{ClientConnectionData, UnbufferedClientConnection},
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, UnbufferedStatus, WriteTraffic},
};

use super::{TlsError, outgoing::Outgoing};
use crate::{handshake, runtime::Transport};

/// Room for ciphertext in one read: small until a read fills it, so that a quiet stream stays small.
const SMALL_READ: usize = 4 << 10;
const LARGE_READ: usize = 64 << 10;

/// More ciphertext than this is never held: it is above the largest record and the largest handshake message (64 KiB) that rustls takes.
const MOST_RECEIVED: usize = 256 << 10;

/// One of the two sides of TLS, as rustls has it.
pub trait Side: Send + Unpin + 'static {
    /// rustls' type.
    type Data;

    /// Goes on with what was received; see [`UnbufferedConnectionCommon`](rustls::unbuffered::UnbufferedConnectionCommon).
    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(received)
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(received)
    }
}

/// A TLS connection over `T`. The end of the stream is the peer's close_notify, or without one the end of the transport: whether all has come is
/// for the session to know, which asks for a status.
pub struct TlsStream<T, S> {
    transport: T,
    connection: S,
    /// The peer's name, for errors.
    peer: Box<str>,
    /// Ciphertext that was read.
    received: BytesMut,
    read_size: usize,
    /// What was decrypted and not taken.
    plaintext: BytesMut,
    outgoing: Outgoing,
    input: Input,
    output: Output,
}

/// How far the peer's stream came.
enum Input {
    Open,
    Ended,
    Failed(TlsError),
}

/// How far our stream came.
#[derive(PartialEq, Eq)]
enum Output {
    Open,
    /// It was said that nothing more comes.
    Closed,
}

impl<T: Transport, S: Side> TlsStream<T, S> {
    pub(super) fn new(transport: T, connection: S, peer: &str) -> Self {
        Self {
            transport,
            connection,
            peer: peer.into(),
            received: BytesMut::new(),
            read_size: SMALL_READ,
            plaintext: BytesMut::new(),
            outgoing: Outgoing::default(),
            input: Input::Open,
            output: Output::Open,
        }
    }

    /// rustls' side of it: the version, the peer's certificates.
    pub fn connection(&self) -> &S {
        &self.connection
    }

    /// To be done before anything else. If it fails for a reason of TLS, the peer is told.
    pub(super) async fn handshake(&mut self) -> io::Result<()> {
        let done = poll_fn(|cx| self.poll_handshake(cx)).await;
        if done.is_err() {
            let _ = poll_fn(|cx| self.outgoing.poll_drain(cx, &mut self.transport)).await;
        }
        done
    }

    /// Ends the transport in a way that lets the peer read what it was told.
    pub(super) async fn linger(mut self) -> io::Result<()> {
        handshake::answer(&mut self.transport, bytes::Bytes::new()).await
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let shaken = match self.step(None, |_, _| Ok(()))? {
                Step::Again => continue,
                Step::Open | Step::Over => Shaken::Done,
                Step::Blocked => Shaken::NotYet,
            };
            ready!(self.outgoing.poll_drain(cx, &mut self.transport))?;
            ready!(self.transport.poll_flush(cx))?;
            if shaken == Shaken::Done {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_receive(cx))? == 0 {
                let what = "the connection ended during the TLS handshake";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, what)));
            }
        }
    }

    /// Takes one step with what was received. Decrypted data goes to `sink` as far as there is room, and the rest of it is kept; `write`
    /// is called if data can be encrypted. An error sticks.
    fn step(
        &mut self,
        mut sink: Option<&mut BytesMut>,
        write: impl FnOnce(&mut WriteTraffic<'_, S::Data>, &mut Outgoing) -> Result<(), rustls::Error>,
    ) -> io::Result<Step> {
        if let Input::Failed(error) = &self.input {
            return Err(error.clone().into());
        }
        let UnbufferedStatus { mut discard, state } = self.connection.process(&mut self.received);
        let step = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    None => break Ok(Step::Again),
                    Some(Err(error)) => break Err(error),
                    Some(Ok(record)) => {
                        discard += record.discard;
                        let rest = match &mut sink {
                            Some(sink) => fill(sink, record.payload),
                            None => record.payload,
                        };
                        self.plaintext.extend_from_slice(rest);
                    }
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                self.outgoing.encode(&mut data).map(|()| Step::Again)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                // It is queued, in order, which is as good.
                data.done();
                Ok(Step::Again)
            }
            Ok(ConnectionState::PeerClosed) => {
                self.input = Input::Ended;
                Ok(Step::Again)
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                write(&mut traffic, &mut self.outgoing).map(|()| Step::Open)
            }
            Ok(ConnectionState::BlockedHandshake) => Ok(Step::Blocked),
            // Closed; and early data, which no configuration of ours allows.
            Ok(_) => Ok(Step::Over),
            Err(error) => Err(error),
        };
        self.received.advance(discard);
        step.map_err(|error| self.fail(error))
    }

    /// The connection is lost to an error. What rustls has to say of it to the peer is queued.
    fn fail(&mut self, error: rustls::Error) -> io::Error {
        // Once: an alert would be handed out before more is taken in, and of that nothing is wanted.
        if let Ok(ConnectionState::EncodeTlsData(mut alert)) =
            self.connection.process(&mut self.received).state
        {
            let _ = self.outgoing.encode(&mut alert);
        }
        self.received = BytesMut::new();
        let error = TlsError::new(&self.peer, error);
        self.input = Input::Failed(error.clone());
        error.into()
    }

    /// Reads ciphertext; 0 is the end of the transport.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.received.len() > MOST_RECEIVED {
            let error = rustls::Error::General("a message without end".to_owned());
            return Poll::Ready(Err(self.fail(error)));
        }
        if self.received.capacity() - self.received.len() < self.read_size / 2 {
            self.received.reserve(self.read_size);
        }
        let spare = self.received.capacity() - self.received.len();
        let Poll::Ready(count) = self.transport.poll_read(cx, &mut self.received)? else {
            if self.received.is_empty() && self.received.capacity() > SMALL_READ {
                self.received = BytesMut::new();
            }
            return Poll::Pending;
        };
        self.read_size = if count >= spare.min(SMALL_READ) { LARGE_READ } else { SMALL_READ };
        Poll::Ready(Ok(count))
    }
}

/// What [`TlsStream::step`] came to.
enum Step {
    /// There may be more to do.
    Again,
    /// Data goes both ways; more can be decrypted only when more is received.
    Open,
    /// The handshake wants more to be received.
    Blocked,
    /// Both sides said that nothing more comes.
    Over,
}

#[derive(PartialEq, Eq)]
enum Shaken {
    Done,
    NotYet,
}

/// Copies what fits, and gives back the rest.
fn fill<'a>(sink: &mut BytesMut, data: &'a [u8]) -> &'a [u8] {
    let room = sink.capacity() - sink.len();
    let (fits, rest) = data.split_at(data.len().min(room));
    sink.extend_from_slice(fits);
    rest
}

impl<T: Transport, S: Side> Transport for TlsStream<T, S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        let before = buf.len();
        loop {
            if !self.plaintext.is_empty() {
                let rest = fill(buf, &self.plaintext).len();
                self.plaintext.advance(self.plaintext.len() - rest);
            }
            while !self.received.is_empty() && buf.len() < buf.capacity() {
                match self.step(Some(buf), |_, _| Ok(())) {
                    Ok(Step::Again) => {}
                    Ok(_) => break,
                    // What came before is given out first; the error is kept.
                    Err(_) if buf.len() > before => break,
                    Err(error) => {
                        // The peer is told if it can be at once.
                        let _ = self.outgoing.poll_drain(cx, &mut self.transport);
                        return Poll::Ready(Err(error));
                    }
                }
            }
            let count = buf.len() - before;
            match &self.input {
                _ if count > 0 => return Poll::Ready(Ok(count)),
                Input::Open => {}
                Input::Ended => return Poll::Ready(Ok(0)),
                Input::Failed(error) => return Poll::Ready(Err(error.clone().into())),
            }
            if ready!(self.poll_receive(cx))? == 0 {
                self.input = Input::Ended;
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // So never more than one write's worth waits here.
        ready!(self.outgoing.poll_drain(cx, &mut self.transport))?;
        let mut taken = 0;
        loop {
            let step = self.step(None, |traffic, outgoing| {
                taken = outgoing.encrypt(traffic, slices)?;
                Ok(())
            });
            match step? {
                Step::Again => {}
                Step::Open => break,
                Step::Blocked | Step::Over => {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
            }
        }
        match self.outgoing.poll_drain(cx, &mut self.transport) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // What is left goes out with the next flush.
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.outgoing.poll_drain(cx, &mut self.transport))?;
        self.transport.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.output == Output::Open {
            match self.step(None, |traffic, outgoing| outgoing.close(traffic)) {
                Ok(Step::Again) => {}
                // Without TLS there is nothing to say in it, and the transport ends all the same.
                Ok(_) | Err(_) => self.output = Output::Closed,
            }
        }
        ready!(self.outgoing.poll_drain(cx, &mut self.transport))?;
        self.transport.poll_shutdown(cx)
    }

    fn release(&mut self) {
        if self.received.is_empty() {
            self.received = BytesMut::new();
        }
        if self.plaintext.is_empty() {
            self.plaintext = BytesMut::new();
        }
        self.outgoing.release();
        self.transport.release();
    }
}
