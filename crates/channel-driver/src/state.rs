//! The state that the halves of a session and its background task share: the machine, the socket, and what was read and not taken.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use channel_proto::{Limits, Reading, TerminalSize, WriteError};

use crate::{
    Error,
    inbound::Inbounds,
    interest::{Half, Interest},
    machine::{Machine, Sorted},
    runtime::Transport,
    trace::Span,
};

/// The spare room of a read buffer: small until a read fills it, so that a quiet session stays small.
const SMALL_READ: usize = 4 << 10;
const LARGE_READ: usize = 64 << 10;

/// How much is read ahead of a machine that takes nothing.
const MOST_INPUT: usize = 2 * LARGE_READ;

/// When somebody waits and the socket will wake nobody, since whoever read it last went off with what it got, the background
/// task looks after this time. Not at once: that would be a hop for every read.
const LOOK_SOON: Duration = Duration::from_millis(50);

/// How many reads follow one another in one poll, when nobody waits for what they bring.
pub(crate) const READS_AT_ONCE: usize = 16;

/// How many slices one write is given.
pub(crate) const SLICES: usize = 16;

/// The machine and its socket. Whoever locks it drives it.
pub(crate) struct State<M: Machine> {
    pub(crate) machine: M,
    /// `None` once the connection is over and the last byte was written.
    pub(crate) transport: Option<Box<dyn Transport>>,
    pub(crate) interest: Arc<Interest>,
    readable: Waker,
    writable: Waker,
    input: BytesMut,
    read_size: usize,
    pub(crate) inbound: Inbounds,
    reading: Reading,
    /// Since when nothing is read, as a reader is too slow.
    paused_since: Option<Instant>,
    /// How long that may be before the slow streams are reset; without end unless said.
    pub(crate) patience: Option<Duration>,
    input_end: InputEnd,
    output_end: OutputEnd,
    pub(crate) ended: Option<Result<M::Ended, Error>>,
    pub(crate) size: Option<TerminalSize>,
    /// Connections that a peer asks for, with their ports.
    pub(crate) connects: VecDeque<(usize, u16)>,
    /// When the background task's timer goes off.
    armed: Option<Instant>,
    /// When it should look at the socket, whatever the session's own timers say.
    look: Option<Instant>,
    /// Handles that the application holds.
    pub(crate) handles: usize,
    clock: fn() -> Instant,
    now: Option<Instant>,
    /// Where it was started.
    pub(crate) span: Span,
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

impl<M: Machine> State<M> {
    pub(crate) fn new(
        machine: M,
        transport: Box<dyn Transport>,
        input: BytesMut,
        limits: &Limits,
        interest: &Arc<Interest>,
        clock: fn() -> Instant,
    ) -> Self {
        let (readable, writable) = interest.io_wakers();
        Self {
            machine,
            transport: Some(transport),
            interest: interest.clone(),
            readable,
            writable,
            input,
            read_size: SMALL_READ,
            inbound: Inbounds::new(limits.unread),
            reading: Reading::Active,
            paused_since: None,
            patience: None,
            input_end: InputEnd::Open,
            output_end: OutputEnd::Open,
            ended: None,
            size: None,
            armed: None,
            look: None,
            connects: VecDeque::new(),
            handles: 0,
            clock,
            now: None,
            span: Span::current(),
        }
    }

    /// The time, read once for each time the state is locked, and only where somebody asks: on some machines that costs more than
    /// all else that a small message does here.
    pub(crate) fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(self.clock)
    }

    pub(crate) fn forget_time(&mut self) {
        self.now = None;
    }

    /// Everything that can be done without waiting for anybody: write, read as far as the readers allow, and end.
    pub(crate) fn pump(&mut self) {
        let _ = self.flush();
        for read in 0.. {
            while self.parse(None) {}
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
        // A machine that had to stop until its answers were written may go on with what it holds.
        while self.parse(None) {
            let _ = self.flush();
        }
        self.after();
    }

    /// Reads what is there without waiting, so that a writer notices the end of the session.
    pub(crate) fn peek(&mut self) {
        while self.parse(None) {}
        if self.ended.is_none() && self.input.is_empty() && self.fill().is_ready() {
            while self.parse(None) {}
        }
        self.after();
    }

    /// Takes one event out of what was read. Whether there may be another.
    ///
    /// A reader whose unread data reached the limit stops everything that comes behind it, unless it is `wanted` by just this reader, who has
    /// taken all of it.
    pub(crate) fn parse(&mut self, wanted: Option<usize>) -> bool {
        if self.ended.is_some() {
            return false;
        }
        if self.inbound.is_full(wanted) {
            self.set_reading(Reading::Paused);
            return false;
        }
        self.set_reading(Reading::Active);
        if self.input.is_empty() && self.input_end != InputEnd::Reached && self.machine.is_idle() {
            return false;
        }
        let now = self.now();
        let event = match self.machine.next(now, &mut self.input) {
            Ok(None) if self.input_end == InputEnd::Reached => {
                self.input_end = InputEnd::Told;
                self.machine.handle_eof();
                self.machine.poll()
            }
            Ok(event) => event,
            Err(error) => {
                self.end(Err(error.into()));
                return false;
            }
        };
        match event {
            None => return false,
            Some(Sorted::Data(index, data)) => {
                self.inbound.push(index, data);
                self.wake_reader(index, wanted);
            }
            Some(Sorted::DataEnd(index)) => {
                self.inbound.end(index);
                self.wake_reader(index, wanted);
            }
            Some(Sorted::Failed(index, kind, why)) => {
                self.inbound.fail(index, kind, why);
                self.interest.wake(Half::Reader(index));
                self.interest.wake(Half::Writer(index));
            }
            Some(Sorted::Writable(index)) => self.interest.wake(Half::Writer(index)),
            Some(Sorted::Room) => self.interest.wake_writers(),
            Some(Sorted::Connect(index, port)) => {
                self.connects.push_back((index, port));
                self.interest.wake_watchers();
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

    fn wake_reader(&self, index: usize, wanted: Option<usize>) {
        if wanted != Some(index) {
            self.interest.wake(Half::Reader(index));
        }
    }

    fn set_reading(&mut self, reading: Reading) {
        if self.reading != reading {
            self.reading = reading;
            let now = self.now();
            self.paused_since = (reading == Reading::Paused).then_some(now);
            self.machine.set_reading(now, reading);
        }
    }

    /// Reads from the socket once. Pending also when there is no point in reading: somebody must take what came first, or nothing comes any more.
    pub(crate) fn fill(&mut self) -> Poll<()> {
        if self.reading == Reading::Paused || self.input_end != InputEnd::Open || self.ended.is_some() {
            return Poll::Pending;
        }
        if self.interest.is_socket_watched() {
            return Poll::Pending;
        }
        // A machine that takes nothing until its answers were written leaves all of this here. No frame has to be there whole that is longer.
        if self.input.len() >= MOST_INPUT {
            return Poll::Pending;
        }
        let Some(transport) = &mut self.transport else { return Poll::Pending };
        if self.input.capacity() - self.input.len() < self.read_size / 2 {
            self.input.reserve(self.read_size);
        }
        let spare = self.input.capacity() - self.input.len();
        self.interest.watch_socket();
        let read = transport.poll_read(&mut Context::from_waker(&self.readable), &mut self.input);
        if read.is_ready() {
            self.interest.unwatch_socket();
        }
        match read {
            Poll::Pending => {
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
    pub(crate) fn after(&mut self) {
        if self.reading == Reading::Paused && !self.inbound.is_full(None) {
            // Whoever waits for what comes behind the data that was just taken has no waker at the socket.
            self.set_reading(Reading::Active);
            self.interest.wake_all();
        }
        if self.ended.is_some() {
            let _ = self.flush();
        }
        if self.look.is_none() && self.interest.is_left_waiting() {
            self.look = Some(self.now() + LOOK_SOON);
        }
        let due = self.due();
        let earlier = due.is_some_and(|due| self.armed.is_none_or(|armed| due < armed));
        if earlier {
            self.interest.wake_background();
        }
    }

    /// When the background task has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        // Once it is over the machine has no more to do at any time.
        let timeout = if self.ended.is_some() { None } else { self.machine.poll_timeout() };
        timeout.into_iter().chain(self.look).chain(self.end_of_patience()).min()
    }

    fn end_of_patience(&self) -> Option<Instant> {
        // Once it is over nobody is held up, and a time that is past would keep the background task from sleeping.
        let since = self.paused_since.filter(|_| self.ended.is_none());
        since.zip(self.patience).map(|(since, patience)| since + patience)
    }

    /// Resets the streams that held up the others for too long.
    fn reset_slow(&mut self) {
        for index in self.inbound.full() {
            self.machine.reset(index);
            self.inbound.give_up(
                index,
                io::ErrorKind::ConnectionReset,
                "reset, since what came for it was not read",
            );
            self.interest.wake(Half::Reader(index));
            self.interest.wake(Half::Writer(index));
        }
        let _ = self.flush();
    }

    /// The time of a timer came.
    pub(crate) fn handle_timeout(&mut self) {
        self.look = None;
        self.interest.unwatch_socket();
        if self.ended.is_some() {
            return;
        }
        let now = self.now();
        if self.end_of_patience().is_some_and(|end| now >= end) {
            self.reset_slow();
        }
        if let Err(error) = self.machine.handle_timeout(now) {
            self.end(Err(error.into()));
        }
    }

    pub(crate) fn arm(&mut self, deadline: Option<Instant>) {
        self.armed = deadline;
    }

    fn end(&mut self, ended: Result<M::Ended, Error>) {
        if self.ended.is_none() {
            self.span.ended(ended.as_ref().map(M::end_kind));
        }
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
        if let Some(transport) = &mut self.transport {
            transport.release();
        }
    }

    pub(crate) fn is_full(&mut self) -> bool {
        !self.machine.transmit().is_empty()
    }

    /// How reading a stream ends, if it has.
    pub(crate) fn read_end(&mut self, index: usize) -> Option<io::Result<()>> {
        if let Some(end) = self.inbound.end_of(index) {
            return Some(end);
        }
        Some(match self.ended.as_ref()? {
            Err(error) => Err(error.clone().into()),
            Ok(ended) => self.machine.read_end(index, ended),
        })
    }

    /// Whether all that was written was given to the socket, nothing being pending. That the session ended since then is no failure of that.
    pub(crate) fn check_flushed(&mut self, index: usize) -> io::Result<()> {
        self.inbound.failure_of(index)?;
        let lost = self.output_end == OutputEnd::Broken || self.is_full();
        match &self.ended {
            Some(Err(error)) => Err(error.clone().into()),
            _ if lost => Err(broken(WriteError::Ended)),
            _ => Ok(()),
        }
    }

    pub(crate) fn check_writable(&self, index: usize) -> io::Result<()> {
        self.inbound.failure_of(index)?;
        match &self.ended {
            Some(Err(error)) => Err(error.clone().into()),
            Some(Ok(_)) => Err(broken(WriteError::Ended)),
            None if self.output_end == OutputEnd::Broken => Err(broken(WriteError::Ended)),
            None => Ok(()),
        }
    }
}

pub(crate) fn broken(error: WriteError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

/// Whether an error only says that the peer is gone: then the session ends as after an end of the stream, and says that no status came.
fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
