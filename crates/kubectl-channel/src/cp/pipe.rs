//! An archive on its way between a session, which is async, and `tar`, which blocks. What is in between is bounded.

use std::io::{self, Read, Write};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::sync::mpsc;

/// How many pieces may be in between.
const PIECES: usize = 4;

/// How long a piece is that [`Writer`] makes.
const PIECE: usize = 64 << 10;

/// For an archive that comes. Dropping the sender ends it.
pub(super) fn reader() -> (mpsc::Sender<Bytes>, Reader) {
    let (sender, pieces) = mpsc::channel(PIECES);
    (sender, Reader { pieces, piece: Bytes::new() })
}

/// For an archive that goes. [`Writer::flush`] comes last, or the end is lost.
pub(super) fn writer() -> (Writer, mpsc::Receiver<Bytes>) {
    let (pieces, receiver) = mpsc::channel(PIECES);
    (Writer { pieces, piece: BytesMut::new() }, receiver)
}

pub(super) struct Reader {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

pub(super) struct Writer {
    pieces: mpsc::Sender<Bytes>,
    piece: BytesMut,
}

impl Write for Writer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = data.len().min(PIECE - self.piece.len());
        self.piece.put_slice(&data[..count]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = self.piece.split().freeze();
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
