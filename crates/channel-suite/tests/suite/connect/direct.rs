//! A client's transport with rustls' own server at its other end, in memory and without waiting: for what a server of ours does not do.

use std::{
    io::{self, IoSlice, Read},
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use bytes::BytesMut;
use channel_driver::runtime::Transport;
use rustls::{ServerConfig, ServerConnection};

#[derive(Clone)]
pub(crate) struct Direct(Arc<Mutex<Peer>>);

pub(crate) struct Peer {
    pub(crate) connection: ServerConnection,
    /// What it sent that was not read.
    sent: Vec<u8>,
}

impl Direct {
    pub(crate) fn new(config: ServerConfig) -> Self {
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        Self(Arc::new(Mutex::new(Peer { connection, sent: Vec::new() })))
    }

    pub(crate) fn peer(&self) -> MutexGuard<'_, Peer> {
        self.0.lock().unwrap()
    }
}

impl Peer {
    /// What the client sent, decrypted.
    pub(crate) fn received(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        match self.connection.reader().read_to_end(&mut received) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => panic!("{error}"),
            _ => received,
        }
    }
}

impl Transport for Direct {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        let mut peer = self.peer();
        let Peer { connection, sent } = &mut *peer;
        while connection.wants_write() {
            connection.write_tls(sent).unwrap();
        }
        let count = sent.len().min(buf.capacity() - buf.len());
        buf.extend(sent.drain(..count));
        // Nobody is woken: the test asks when there is something.
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut peer = self.peer();
        let count = peer.connection.read_tls(&mut &*slices[0]).unwrap();
        peer.connection.process_new_packets().unwrap();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
