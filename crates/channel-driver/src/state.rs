//! The state that the halves of a session and its background task share: the machine, the socket, and what was read and not taken.

use std::{
    io::{self, IoSlice},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use channel_proto::{Limits, Reading, TerminalSize, WriteError};

use crate::{
    Error,
    inbound::Inbound,
    interest::{Half, Interest},
    machine::{Machine, Sorted},
    runtime::Transport,
};

/// The spare room of a read buffer: small until a read fills it, so that a quiet session stays small.
const SMALL_READ: usize = 4 << 10;
const LARGE_READ: usize = 64 << 10;

/// How many streams of one direction a session has at most: stdout and stderr.
const HALVES: usize = 2;

/// When somebody waits and the socket will wake nobody, since whoever read it last went off with what it got, the background
/// task looks after this time. Not at once: that would be a hop for every read.
const LOOK_SOON: Duration = Duration::from_millis(50);

/// How many reads follow one another in one poll, when nobody waits for what they bring.
const READS_AT_ONCE: usize = 16;

/// How many slices one write is given.
const SLICES: usize = 16;

/// What the halves of a session hold together.
pub(crate) struct Shared<M: Machine> {
    state: Mutex<State<M>>,
    pub(crate) interest: Arc<Interest>,
    now: fn() -> Instant,
}

/// The machine and its socket. Whoever locks it drives it.
pub(crate) struct State<M: Machine> {
    pub(crate) machine: M,
    /// `None` once the connection is over and the last byte was written.
    transport: Option<Box<dyn Transport>>,
    interest: Arc<Interest>,
    readable: Waker,
    writable: Waker,
    input: BytesMut,
    read_size: usize,
    inbound: [Inbound; HALVES],
    unread_limit: usize,
    reading: Reading,
    input_end: InputEnd,
    output_end: OutputEnd,
    ended: Option<Result<M::Ended, Error>>,
    size: Option<TerminalSize>,
    /// When the background task's timer goes off.
    armed: Option<Instant>,
    /// When it should look at the socket, whatever the session's own timers say.
    look: Option<Instant>,
    /// Handles that the application holds.
    pub(crate) handles: usize,
}

/// How far the peer's byte stream came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InputEnd {
    Open,
    /// It ended, and the session has yet to be told, after what came before.
    Reached,
    Told,
}

/// How far our byte stream came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputEnd {
    Open,
    /// The peer takes no more. What it sent before may still be read.
    Broken,
    /// We ended it.
    Shut,
}

impl<M: Machine> Shared<M> {
    /// `input` is what was read behind the upgrade's head.
    pub(crate) fn new(
        machine: M,
        transport: Box<dyn Transport>,
        input: BytesMut,
        limits: &Limits,
        now: fn() -> Instant,
    ) -> Arc<Self> {
        let interest = Arc::new(Interest::default());
        let (readable, writable) = interest.io_wakers();
        let state = State {
            machine,
            transport: Some(transport),
            interest: interest.clone(),
            readable,
            writable,
            input,
            read_size: SMALL_READ,
            inbound: Default::default(),
            unread_limit: limits.unread,
            reading: Reading::Active,
            input_end: InputEnd::Open,
            output_end: OutputEnd::Open,
            ended: None,
            size: None,
            armed: None,
            look: None,
            handles: 0,
        };
        Arc::new(Self { state: Mutex::new(state), interest, now })
    }

    /// A panic of an application's waker must not take every half with it, so poison is passed over: each method leaves a sound state.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Instant {
        (self.now)()
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

    /// Offers what came for a reader to `take` until it wants nothing more, or has something and more would have to be waited for.
    fn poll_with(
        &self,
        cx: &mut Context<'_>,
        index: usize,
        mut take: impl FnMut(&mut Inbound) -> Wants,
    ) -> Poll<io::Result<()>> {
        let now = self.now();
        let mut state = self.lock();
        let mut got = Got::Nothing;
        loop {
            let before = state.inbound[index].len();
            if before > 0 {
                got = Got::Something;
            }
            if take(&mut state.inbound[index]) == Wants::Nothing {
                break;
            }
            if state.parse(now, Some(index)) {
                continue;
            }
            if got == Got::Something {
                break;
            }
            if let Some(end) = state.read_end(index) {
                return Poll::Ready(end);
            }
            state.interest.wait(Half::Reader(index), cx.waker());
            if state.fill().is_pending() {
                return Poll::Pending;
            }
        }
        state.interest.done(Half::Reader(index));
        state.after(now);
        Poll::Ready(Ok(()))
    }

    /// Writes some of `data` to a stream; `write` puts it into the session and tells how much it took.
    pub(crate) fn poll_write<T>(
        &self,
        cx: &mut Context<'_>,
        index: usize,
        mut write: impl FnMut(&mut M) -> Result<T, WriteError>,
    ) -> Poll<io::Result<T>> {
        let now = self.now();
        let mut state = self.lock();
        loop {
            state.check_writable()?;
            match write(&mut state.machine) {
                Ok(taken) => {
                    state.interest.done(Half::Writer(index));
                    let _ = state.flush();
                    state.peek(now);
                    return Poll::Ready(Ok(taken));
                }
                Err(WriteError::Blocked) => {
                    state.interest.wait(Half::Writer(index), cx.waker());
                    state.peek(now);
                    if state.flush().is_pending() && state.is_full() {
                        return Poll::Pending;
                    }
                }
                Err(error) => return Poll::Ready(Err(broken(error))),
            }
        }
    }

    /// Waits until everything queued so far was given to the socket.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>, index: usize) -> Poll<io::Result<()>> {
        let now = self.now();
        let mut state = self.lock();
        state.interest.wait(Half::Writer(index), cx.waker());
        if state.flush().is_pending() {
            state.peek(now);
            return Poll::Pending;
        }
        state.interest.done(Half::Writer(index));
        state.check_writable()?;
        Poll::Ready(Ok(()))
    }

    /// Runs a command of the session, and sends what it put out.
    pub(crate) fn command<T>(&self, command: impl FnOnce(&mut M, Instant) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        let result = command(&mut state.machine, now);
        let _ = state.flush();
        state.after(now);
        result
    }

    /// The end of the session, once it came. Reads what is there to read, as far as the readers allow.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<Result<M::Ended, Error>> {
        let now = self.now();
        let mut state = self.lock();
        state.interest.watch(cx.waker());
        state.pump(now);
        state.ended.clone().map_or(Poll::Pending, Poll::Ready)
    }

    /// The end of the session and of the connection under it: everything was written.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<M::Ended, Error>> {
        let now = self.now();
        let mut state = self.lock();
        state.interest.watch(cx.waker());
        state.pump(now);
        match (&state.transport, &state.ended) {
            (None, Some(ended)) => Poll::Ready(ended.clone()),
            _ => Poll::Pending,
        }
    }

    /// The terminal's newest size, if it changed since it was last asked for; `None` at the end of the session.
    pub(crate) fn poll_size(&self, cx: &mut Context<'_>) -> Poll<Option<TerminalSize>> {
        let now = self.now();
        let mut state = self.lock();
        state.interest.watch(cx.waker());
        state.pump(now);
        match state.size.take() {
            Some(size) => Poll::Ready(Some(size)),
            None if state.ended.is_some() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Nobody reads this stream any more: what comes for it is dropped, so that it holds up nothing else.
    pub(crate) fn discard(&self, index: usize) {
        let mut state = self.lock();
        state.inbound[index].discard();
        state.interest.wake_background();
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

impl<M: Machine> State<M> {
    /// Everything that can be done without waiting for anybody: write, read as far as the readers allow, and end.
    pub(crate) fn pump(&mut self, now: Instant) {
        let _ = self.flush();
        for read in 0.. {
            while self.parse(now, None) {}
            if self.fill().is_pending() {
                break;
            }
            if read == READS_AT_ONCE {
                // A peer that sends without end must not keep this task from its neighbours.
                self.interest.wake_background();
                break;
            }
        }
        let _ = self.flush();
        self.after(now);
    }

    /// Reads what is there without waiting, so that a writer notices the end of the session.
    fn peek(&mut self, now: Instant) {
        while self.parse(now, None) {}
        if self.ended.is_none() && self.input.is_empty() {
            let _ = self.fill();
            while self.parse(now, None) {}
        }
        self.after(now);
    }

    /// Takes one event out of what was read. Whether there may be another.
    ///
    /// A reader whose unread data reached the limit stops everything that comes behind it, unless it is `wanted` by just this reader, who has
    /// taken all of it.
    fn parse(&mut self, now: Instant, wanted: Option<usize>) -> bool {
        if self.ended.is_some() {
            return false;
        }
        if self.is_unread(wanted) {
            self.set_reading(now, Reading::Paused);
            return false;
        }
        self.set_reading(now, Reading::Active);
        if let Err(error) = self.machine.handle_input(now, &mut self.input) {
            self.end(Err(error.into()));
            return false;
        }
        let event = match self.machine.poll() {
            None if self.input_end == InputEnd::Reached => {
                self.input_end = InputEnd::Told;
                self.machine.handle_eof();
                self.machine.poll()
            }
            event => event,
        };
        match event {
            None => return false,
            Some(Sorted::Data(index, data)) => {
                self.inbound[index].push(data);
                self.wake_reader(index, wanted);
            }
            Some(Sorted::DataEnd(index)) => {
                self.inbound[index].end();
                self.wake_reader(index, wanted);
            }
            Some(Sorted::Size(size)) => {
                self.size = Some(size);
                self.interest.wake_watchers();
            }
            Some(Sorted::End(ended)) => self.end(Ok(ended)),
            Some(Sorted::Nothing) => {}
        }
        true
    }

    /// Whether a reader other than this one left so much that nothing more may come.
    fn is_unread(&self, except: Option<usize>) -> bool {
        (0..HALVES).any(|index| self.inbound[index].len() >= self.unread_limit && Some(index) != except)
    }

    fn wake_reader(&self, index: usize, wanted: Option<usize>) {
        if wanted != Some(index) {
            self.interest.wake(Half::Reader(index));
        }
    }

    fn set_reading(&mut self, now: Instant, reading: Reading) {
        if self.reading != reading {
            self.reading = reading;
            self.machine.set_reading(now, reading);
        }
    }

    /// Reads from the socket once. Pending also when there is no point in reading: somebody must take what came first, or nothing comes any more.
    fn fill(&mut self) -> Poll<()> {
        if self.reading == Reading::Paused || self.input_end != InputEnd::Open || self.ended.is_some() {
            return Poll::Pending;
        }
        let Some(transport) = &mut self.transport else { return Poll::Pending };
        if self.input.capacity() - self.input.len() < self.read_size / 2 {
            self.input.reserve(self.read_size);
        }
        let spare = self.input.capacity() - self.input.len();
        match transport.poll_read(&mut Context::from_waker(&self.readable), &mut self.input) {
            Poll::Pending => {
                self.interest.socket_watched();
                if self.input.is_empty() && self.input.capacity() > SMALL_READ {
                    self.input = BytesMut::new();
                }
                return Poll::Pending;
            }
            Poll::Ready(Ok(0)) => self.input_end = InputEnd::Reached,
            Poll::Ready(Ok(count)) => {
                self.read_size = if count >= spare.min(SMALL_READ) { LARGE_READ } else { SMALL_READ };
            }
            Poll::Ready(Err(error)) if is_cut(&error) => self.input_end = InputEnd::Reached,
            Poll::Ready(Err(error)) => {
                self.input_end = InputEnd::Told;
                self.end(Err(error.into()));
            }
        }
        Poll::Ready(())
    }

    /// Gives the socket what waits to be written.
    pub(crate) fn flush(&mut self) -> Poll<()> {
        let Some(transport) = &mut self.transport else { return Poll::Ready(()) };
        let mut cx = Context::from_waker(&self.writable);
        let mut wrote = false;
        loop {
            let transmit = self.machine.transmit();
            if self.output_end != OutputEnd::Open {
                transmit.advance(transmit.len());
            }
            if transmit.is_empty() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = transmit.chunks_vectored(&mut slices);
            match transport.poll_write(&mut cx, &slices[..used]) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(count)) if count > 0 => {
                    transmit.advance(count);
                    wrote = true;
                }
                // The peer may have sent its status before it stopped reading: only our side is over.
                Poll::Ready(_) => self.output_end = OutputEnd::Broken,
            }
        }
        if wrote {
            self.interest.wake_writers();
        }
        match transport.poll_flush(&mut cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => self.output_end = OutputEnd::Broken,
        }
        self.finish()
    }

    /// Ends our side of the stream once the last of it was written, and the connection once nothing more is to be read.
    fn finish(&mut self) -> Poll<()> {
        let Some(transport) = &mut self.transport else { return Poll::Ready(()) };
        if !self.machine.ends_stream() && self.ended.is_none() {
            return Poll::Ready(());
        }
        if self.output_end == OutputEnd::Open {
            match transport.poll_shutdown(&mut Context::from_waker(&self.writable)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(_) => self.output_end = OutputEnd::Shut,
            }
        }
        if self.ended.is_some() {
            self.transport = None;
            self.input = BytesMut::new();
            self.interest.wake_all();
        }
        Poll::Ready(())
    }

    /// What is due after anything happened.
    fn after(&mut self, now: Instant) {
        if self.reading == Reading::Paused && !self.is_unread(None) {
            // Whoever waits for what comes behind the data that was just taken has no waker at the socket.
            self.set_reading(now, Reading::Active);
            self.interest.wake_all();
        }
        if self.ended.is_some() {
            let _ = self.flush();
        }
        if self.look.is_none() && self.interest.is_left_waiting() {
            self.look = Some(now + LOOK_SOON);
        }
        let due = self.due();
        let earlier = due.is_some_and(|due| self.armed.is_none_or(|armed| due < armed));
        if earlier || (self.ended.is_some() && self.transport.is_some()) {
            self.interest.wake_background();
        }
    }

    /// When the background task has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        let timeout = self.machine.poll_timeout();
        self.look.map_or(timeout, |look| Some(timeout.map_or(look, |timeout| timeout.min(look))))
    }

    /// The time of a timer came.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.look = None;
        if self.ended.is_some() {
            return;
        }
        if let Err(error) = self.machine.handle_timeout(now) {
            self.end(Err(error.into()));
        }
    }

    pub(crate) fn arm(&mut self, deadline: Option<Instant>) {
        self.armed = deadline;
    }

    fn end(&mut self, ended: Result<M::Ended, Error>) {
        self.ended.get_or_insert(ended);
        self.interest.wake_all();
    }

    /// Drops the connection as it is.
    pub(crate) fn drop_connection(&mut self) {
        self.transport = None;
        self.interest.wake_all();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.transport.is_none()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Gives back the buffers that an idle session does not need.
    pub(crate) fn release(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.machine.transmit().release();
    }

    fn is_full(&mut self) -> bool {
        !self.machine.transmit().is_empty()
    }

    /// How reading a stream ends, if it has.
    fn read_end(&mut self, index: usize) -> Option<io::Result<()>> {
        if self.inbound[index].is_ended() {
            return Some(Ok(()));
        }
        Some(match self.ended.as_ref()? {
            Err(error) => Err(error.clone().into()),
            Ok(ended) => self.machine.read_end(index, ended),
        })
    }

    fn check_writable(&self) -> io::Result<()> {
        match &self.ended {
            Some(Err(error)) => Err(error.clone().into()),
            Some(Ok(_)) => Err(broken(WriteError::Ended)),
            None if self.output_end == OutputEnd::Broken => Err(broken(WriteError::Ended)),
            None => Ok(()),
        }
    }
}

fn broken(error: WriteError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

/// Whether an error only says that the peer is gone: then the session ends as after an end of the stream, and says that no status came.
fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
