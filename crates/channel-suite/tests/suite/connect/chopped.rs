//! A pipe in memory that carries bytes in pieces of a few, and makes whoever waits for it wait more often than it would have to.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::BytesMut;
use channel_driver::runtime::Transport;

/// What one direction holds at most.
const CAPACITY: usize = 3000;

#[derive(Default)]
struct Direction {
    bytes: VecDeque<u8>,
    ended: bool,
    /// Counts the calls: the sizes of the pieces follow from it, and when to wait.
    turn: usize,
    /// How many bytes were written, and which of them is changed on the way.
    written: usize,
    changed: Option<usize>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of the pipe.
pub(crate) struct Chopped {
    incoming: Arc<Mutex<Direction>>,
    outgoing: Arc<Mutex<Direction>>,
}

pub(crate) fn pipe() -> (Chopped, Chopped) {
    let (there, back) = (Arc::<Mutex<Direction>>::default(), Arc::<Mutex<Direction>>::default());
    (Chopped { incoming: back.clone(), outgoing: there.clone() }, Chopped { incoming: there, outgoing: back })
}

/// The byte at this place, of those that the second end sends, is changed on the way.
pub(crate) fn changing_pipe(at: usize) -> (Chopped, Chopped) {
    let (near, far) = pipe();
    far.outgoing.lock().unwrap().changed = Some(at);
    (near, far)
}

impl Direction {
    /// The size of the next piece; `None` for a wait that is over at once.
    fn piece(&mut self, cx: &Context<'_>) -> Option<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(5) {
            cx.waker().wake_by_ref();
            return None;
        }
        Some([1, 2, 5, 700, 64, 3, 1400][self.turn % 7])
    }

    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl Transport for Chopped {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        let mut direction = self.incoming.lock().unwrap();
        let Some(piece) = direction.piece(cx) else { return Poll::Pending };
        let count = piece.min(direction.bytes.len()).min(buf.capacity() - buf.len());
        if count == 0 && !direction.ended {
            direction.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buf.extend(direction.bytes.drain(..count));
        direction.wake();
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut direction = self.outgoing.lock().unwrap();
        let Some(piece) = direction.piece(cx) else { return Poll::Pending };
        let slice = slices.iter().find(|slice| !slice.is_empty()).unwrap();
        let count = piece.min(slice.len()).min(CAPACITY - direction.bytes.len());
        if count == 0 {
            direction.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        direction.bytes.extend(&slice[..count]);
        let begin = direction.bytes.len() - count;
        if let Some(at) = direction.changed.and_then(|at| at.checked_sub(direction.written)) {
            direction.bytes.iter_mut().skip(begin).take(count).skip(at).take(1).for_each(|byte| *byte ^= 1);
        }
        direction.written += count;
        direction.wake();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut direction = self.outgoing.lock().unwrap();
        direction.ended = true;
        direction.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Chopped {
    fn drop(&mut self) {
        for direction in [&self.incoming, &self.outgoing] {
            let mut direction = direction.lock().unwrap();
            direction.ended = true;
            direction.wake();
        }
    }
}
