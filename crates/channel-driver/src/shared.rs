//! What the halves of a session do with the state they share.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use bytes::{BufMut, Bytes, BytesMut};
use channel_proto::{Limits, TerminalSize, WriteError};

use crate::{
    Error,
    inbound::Inbound,
    interest::{Half, Interest},
    machine::Machine,
    runtime::Transport,
    socket::SLICES,
    state::{READS_AT_ONCE, State, broken},
};

/// What the halves of a session hold together.
pub(crate) struct Shared<M: Machine> {
    state: Mutex<State<M>>,
    pub(crate) interest: Arc<Interest>,
}

impl<M: Machine> Shared<M> {
    /// `input` is what was read behind the upgrade's head.
    pub(crate) fn new(
        machine: M,
        transport: Box<dyn Transport>,
        input: BytesMut,
        limits: &Limits,
        clock: fn() -> Instant,
    ) -> Arc<Self> {
        let interest = Arc::new(Interest::default());
        let state = State::new(machine, transport, input, limits, &interest, clock);
        Arc::new(Self { state: Mutex::new(state), interest })
    }

    pub(crate) fn lock(&self) -> Locked<'_, M> {
        let mut state = self.lock_to_look();
        state.forget_time();
        Locked { state, _settle: Settle(&self.interest) }
    }

    /// For who changes nothing, and may hold another lock: nobody is woken afterwards.
    ///
    /// A panic of a waker, which may be cloned under the lock, must not take every half with it, so poison is passed over: each method leaves a sound
    /// state.
    pub(crate) fn lock_to_look(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies what came for a reader to `sink`, as much as is there without waiting. Nothing is the end of the stream.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        index: usize,
        sink: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        let mut copied = 0;
        self.poll_with(cx, index, |inbound| {
            copied += inbound.copy_to(sink);
            if sink.has_remaining_mut() { Wants::More } else { Wants::Nothing }
        })
        .map_ok(|()| copied)
    }

    /// The next slice for a reader, as it came. An empty one is the end of the stream.
    pub(crate) fn poll_chunk(&self, cx: &mut Context<'_>, index: usize) -> Poll<io::Result<Bytes>> {
        let mut chunk = Bytes::new();
        self.poll_with(cx, index, |inbound| {
            chunk = inbound.take();
            if chunk.is_empty() { Wants::More } else { Wants::Nothing }
        })
        .map_ok(|()| chunk)
    }

    /// The slices for a reader that are there without waiting, as they came, behind those that are in `chunks` already: a number of them, or
    /// some `enough` bytes. None is the end of the stream.
    pub(crate) fn poll_chunks(
        &self,
        cx: &mut Context<'_>,
        index: usize,
        chunks: &mut VecDeque<Bytes>,
        enough: usize,
    ) -> Poll<io::Result<()>> {
        let mut taken = 0;
        self.poll_with(cx, index, |inbound| {
            let chunk = inbound.take();
            taken += chunk.len();
            if !chunk.is_empty() {
                chunks.push_back(chunk);
            }
            if taken < enough && chunks.len() < SLICES { Wants::More } else { Wants::Nothing }
        })
    }

    /// Offers what came for a reader to `take` until it wants nothing more, or has something and more would have to be waited for.
    fn poll_with(
        &self,
        cx: &mut Context<'_>,
        index: usize,
        mut take: impl FnMut(&mut Inbound) -> Wants,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let (mut got, mut reads) = (Got::Nothing, 0);
        let drained = !state.has_unsent();
        loop {
            if state.inbound.len(index) > 0 {
                got = Got::Something;
                if state.inbound.with(index, &mut take) == Wants::Nothing {
                    break;
                }
            }
            if state.parse(Some(index)) {
                continue;
            }
            if got == Got::Something {
                break;
            }
            if let Some(end) = state.read_end(index) {
                state.interest.done(Half::Reader(index));
                state.after_reading(drained);
                return Poll::Ready(end);
            }
            if state.fill().is_pending() {
                state.interest.wait(Half::Reader(index), cx.waker());
                // Once more: what came in between woke somebody else.
                if state.fill().is_pending() {
                    state.after_reading(drained);
                    return Poll::Pending;
                }
            }
            reads += 1;
            if reads == READS_AT_ONCE {
                // What comes is all for others, and there is much of it: they have their turn, and so have those who wait for the lock.
                state.after_reading(drained);
                drop(state);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        state.interest.done(Half::Reader(index));
        state.after_reading(drained);
        Poll::Ready(Ok(()))
    }

    /// Writes some of `data` to a stream; `write` puts it into the session and tells how much it took.
    pub(crate) fn poll_write<T>(
        &self,
        cx: &mut Context<'_>,
        index: usize,
        mut write: impl FnMut(&mut M) -> Result<T, WriteError>,
    ) -> Poll<io::Result<T>> {
        let mut state = self.lock();
        for attempt in 0.. {
            state.check_writable(index)?;
            match write(&mut state.machine) {
                Ok(taken) => {
                    state.interest.done(Half::Writer(index));
                    let _ = state.flush();
                    state.peek();
                    return Poll::Ready(Ok(taken));
                }
                Err(WriteError::Blocked) => {
                    state.interest.wait(Half::Writer(index), cx.waker());
                    state.peek();
                    // Where all was written there is room, unless the peer has to do something first: then an event tells that it did.
                    if (state.flush().is_pending() && state.has_unsent()) || attempt > 0 {
                        return Poll::Pending;
                    }
                }
                Err(error) => return Poll::Ready(Err(broken(error))),
            }
        }
        Poll::Pending
    }

    /// Why nothing can be written to a stream, if that is so.
    pub(crate) fn check_writable(&self, index: usize) -> io::Result<()> {
        self.lock().check_writable(index)
    }

    /// Waits until what the writer of a stream waits for is so, or that stream fails before. What it fails with afterwards is told by its halves.
    pub(crate) fn poll_until(
        &self,
        cx: &mut Context<'_>,
        index: usize,
        is_so: impl FnOnce(&mut M) -> bool,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        state.interest.wait(Half::Writer(index), cx.waker());
        state.pump();
        if is_so(&mut state.machine) {
            state.interest.done(Half::Writer(index));
            return Poll::Ready(Ok(()));
        }
        state.check_writable(index)?;
        Poll::Pending
    }

    /// Waits until everything queued so far was given to the socket.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>, index: usize) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if state.flush().is_pending() {
            state.interest.wait(Half::Writer(index), cx.waker());
            // Once more: what made room in between woke somebody else.
            if state.flush().is_pending() {
                state.peek();
                return Poll::Pending;
            }
            state.interest.done(Half::Writer(index));
        }
        state.check_flushed(index)?;
        Poll::Ready(Ok(()))
    }

    /// Runs a command of the session, and sends what it put out.
    pub(crate) fn command<T>(&self, command: impl FnOnce(&mut M, Instant) -> T) -> T {
        let mut state = self.lock();
        let now = state.now();
        let result = command(&mut state.machine, now);
        let _ = state.flush();
        state.after();
        result
    }

    /// Nobody writes to this stream any more. Who did may have been waiting, as in [`discard`](Self::discard).
    pub(crate) fn writer_dropped(&self, index: usize) {
        self.command(|machine, _| {
            self.interest.done(Half::Writer(index));
            machine.writer_dropped(index);
        });
    }

    /// Runs a command whose output can wait until this task gives way: the background task sends it, unless it went before with something else.
    /// What many have to say by then leaves in one write.
    pub(crate) fn defer<T>(&self, command: impl FnOnce(&mut M) -> T) -> T {
        let mut state = self.lock();
        state.interest.wake_background();
        command(&mut state.machine)
    }

    /// Frees the index of a stream. The machine forgets it under the same lock, so that nobody gets what was another's.
    pub(crate) fn forget(&self, index: usize, forget: impl FnOnce(&mut M)) {
        let mut state = self.lock();
        forget(&mut state.machine);
        state.inbound.forget(index);
        let _ = state.flush();
        state.after();
    }

    /// The end of the session. Reads what is there to read, as far as the readers allow.
    pub(crate) async fn ended(&self) -> Result<M::Ended, Error> {
        self.watch(|state| state.ended.clone()).await
    }

    /// The end of the session and of the connection under it: everything was written.
    pub(crate) async fn closed(&self) -> Result<M::Ended, Error> {
        self.watch(|state| state.ended.clone().filter(|_| state.is_over())).await
    }

    /// The terminal's newest size, if it changed since it was last asked for; `None` at the end of the session.
    pub(crate) async fn size(&self) -> Option<TerminalSize> {
        self.watch(|state| state.until_end(|state| state.size.take())).await
    }

    /// The next connection that the peer asks for, with its port; `None` at the end of the session.
    pub(crate) async fn connect(&self) -> Option<(usize, u16)> {
        self.watch(|state| state.until_end(State::take_connect)).await
    }

    /// Drives the session until `done` gives something.
    async fn watch<T>(&self, mut done: impl FnMut(&mut State<M>) -> Option<T>) -> T {
        let watch = self.interest.watch();
        poll_fn(|cx| {
            let mut state = self.lock();
            watch.wait(cx.waker());
            state.pump();
            done(&mut state).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Refuses the connections that the peer asks for from now on, and those that wait.
    pub(crate) fn stop_connects(&self) {
        let mut state = self.lock();
        state.stop_connects();
        let _ = state.flush();
        state.after();
    }

    /// Nobody reads this stream any more: what comes for it is dropped, so that it holds up nothing else. Who did may have been waiting: the one
    /// wake-up of the socket must not be its.
    pub(crate) fn discard(&self, index: usize) {
        let mut state = self.lock();
        state.interest.done(Half::Reader(index));
        state.inbound.discard(index);
        state.interest.wake_background();
    }
}

/// The state, locked. Who is to be woken is woken once it is not any more.
pub(crate) struct Locked<'a, M: Machine> {
    // Dropped in this order.
    state: MutexGuard<'a, State<M>>,
    _settle: Settle<'a>,
}

struct Settle<'a>(&'a Interest);

impl Drop for Settle<'_> {
    fn drop(&mut self) {
        self.0.settle();
    }
}

impl<M: Machine> Deref for Locked<'_, M> {
    type Target = State<M>;

    fn deref(&self) -> &State<M> {
        &self.state
    }
}

impl<M: Machine> DerefMut for Locked<'_, M> {
    fn deref_mut(&mut self) -> &mut State<M> {
        &mut self.state
    }
}

/// Whether a reader takes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    More,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Got {
    Something,
    Nothing,
}
