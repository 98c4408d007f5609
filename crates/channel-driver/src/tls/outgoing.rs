//! Ciphertext on its way out.

use std::{
    io::{self, IoSlice},
    task::{Context, Poll},
};

use bytes::BytesMut;
use rustls::{
    Error,
    unbuffered::{EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, WriteTraffic},
};

use crate::runtime::Transport;

/// The plaintext of a full record (RFC 8446 §5.1).
const RECORD: usize = 16 << 10;

/// How much plaintext one write takes: some full records, for one write to the socket.
const WRITE: usize = 4 * RECORD;

/// What a record adds to its plaintext, with either version and any cipher, or a little less: a guess that saves a second try.
const OVERHEAD: usize = 32;

/// Ciphertext that the transport has not taken yet.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Initialised, since rustls writes into a slice; so it is kept while there is much to send.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Small slices, put together for a record of their own.
    gathered: BytesMut,
}

impl Outgoing {
    /// A message of the handshake, or an alert.
    pub(super) fn encode<D>(&mut self, data: &mut EncodeTlsData<'_, D>) -> Result<(), Error> {
        self.put(OVERHEAD, |out| match data.encode(out) {
            Err(EncodeError::InsufficientSize(wants)) => Put::Again(wants),
            Err(error) => Put::Done(Err(Error::General(error.to_string()))),
            Ok(count) => Put::Done(Ok(count)),
        })
    }

    /// Our close_notify.
    pub(super) fn close<D>(&mut self, traffic: &mut WriteTraffic<'_, D>) -> Result<(), Error> {
        self.put(OVERHEAD, |out| sort(traffic.queue_close_notify(out)))
    }

    /// Encrypts some of `slices`, and tells how much. Large slices are taken as they are, small ones share a record.
    pub(super) fn encrypt<D>(
        &mut self,
        traffic: &mut WriteTraffic<'_, D>,
        slices: &[IoSlice<'_>],
    ) -> Result<usize, Error> {
        let mut slices = slices;
        let (mut taken, mut offset) = (0, 0);
        while let Some((first, behind)) = slices.split_first() {
            let room = WRITE - taken;
            let first = &first[offset..];
            if room == 0 {
                break;
            }
            if first.is_empty() {
                (slices, offset) = (behind, 0);
                continue;
            }
            let whole = if behind.is_empty() { first.len() } else { first.len() / RECORD * RECORD };
            let count = whole.min(room);
            if count > 0 {
                self.encrypt_slice(traffic, &first[..count])?;
                (taken, offset) = (taken + count, offset + count);
                continue;
            }
            let mut gathered = std::mem::take(&mut self.gathered);
            gathered.clear();
            gathered.reserve(RECORD);
            while let Some((first, behind)) = slices.split_first() {
                let first = &first[offset..];
                let count = first.len().min(RECORD - gathered.len()).min(room - gathered.len());
                gathered.extend_from_slice(&first[..count]);
                if count < first.len() {
                    offset += count;
                    break;
                }
                (slices, offset) = (behind, 0);
            }
            let encrypted = self.encrypt_slice(traffic, &gathered);
            taken += gathered.len();
            self.gathered = gathered;
            encrypted?;
        }
        Ok(taken)
    }

    fn encrypt_slice<D>(&mut self, traffic: &mut WriteTraffic<'_, D>, data: &[u8]) -> Result<(), Error> {
        let guess = data.len() + data.len().div_ceil(RECORD) * OVERHEAD;
        self.put(guess, |out| sort(traffic.encrypt(data, out)))
    }

    /// Lets `write` write behind what is there, into at least `guess` bytes, and once more into as many as it wants.
    fn put(&mut self, guess: usize, mut write: impl FnMut(&mut [u8]) -> Put) -> Result<(), Error> {
        let mut room = guess;
        loop {
            if self.bytes.len() < self.end + room {
                self.bytes.resize(self.end + room, 0);
            }
            match write(&mut self.bytes[self.end..]) {
                Put::Again(InsufficientSizeError { required_size }) => room = required_size,
                Put::Done(result) => {
                    self.end += result?;
                    return Ok(());
                }
            }
        }
    }

    /// Writes all of it.
    pub(super) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        transport: &mut impl Transport,
    ) -> Poll<io::Result<()>> {
        while self.start < self.end {
            let slice = IoSlice::new(&self.bytes[self.start..self.end]);
            match transport.poll_write(cx, &[slice]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.start += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        (self.start, self.end) = (0, 0);
        Poll::Ready(Ok(()))
    }

    /// Gives the memory back, if there is nothing in it.
    pub(super) fn release(&mut self) {
        if self.start == self.end {
            *self = Self::default();
        }
    }
}

/// What writing into a slice came to.
enum Put {
    /// The slice was too short, and nothing was written.
    Again(InsufficientSizeError),
    Done(Result<usize, Error>),
}

fn sort(result: Result<usize, EncryptError>) -> Put {
    match result {
        Err(EncryptError::InsufficientSize(wants)) => Put::Again(wants),
        Err(EncryptError::EncryptExhausted) => Put::Done(Err(Error::EncryptError)),
        Ok(count) => Put::Done(Ok(count)),
    }
}
