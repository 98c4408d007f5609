//! The state that the halves of a session and its background task share: the machine, the socket, and what was read and not taken.

mod connects;
mod ends;

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use channel_proto::{Limits, Reading, TerminalSize};

pub(crate) use ends::broken;

use crate::{
    Error,
    inbound::Inbounds,
    interest::{Half, Interest},
    machine::{Machine, Sorted},
    runtime::Transport,
    socket::Socket,
    trace::Span,
};

/// When somebody waits and the socket will wake nobody, since whoever read it last went off with what it got, the background
/// task looks after this time. Not at once: that would be a hop for every read.
const LOOK_SOON: Duration = Duration::from_millis(50);

/// How many reads follow one another in one poll, when nobody waits for what they bring.
pub(crate) const READS_AT_ONCE: usize = 16;

/// The machine and its socket. Whoever locks it drives it.
pub(crate) struct State<M: Machine> {
    pub(crate) machine: M,
    socket: Socket,
    pub(crate) interest: Arc<Interest>,
    pub(crate) inbound: Inbounds,
    reading: Reading,
    /// Since when nothing is read, as a reader is too slow.
    paused_since: Option<Instant>,
    /// How long that may be before the slow streams are reset; without end unless said.
    pub(crate) patience: Option<Duration>,
    leaving: Leaving,
    pub(crate) ended: Option<Result<M::Ended, Error>>,
    pub(crate) size: Option<TerminalSize>,
    /// Connections that a peer asks for, with their ports; `None` once nobody takes them any more.
    connects: Option<VecDeque<(usize, u16)>>,
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

/// Whether the application let go of the session before it was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// What was written before still goes out, and what comes is dropped.
    Yes,
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
        Self {
            machine,
            socket: Socket::new(transport, input, interest),
            interest: interest.clone(),
            inbound: Inbounds::new(limits),
            reading: Reading::Active,
            paused_since: None,
            patience: None,
            leaving: Leaving::No,
            ended: None,
            size: None,
            armed: None,
            look: None,
            connects: Some(VecDeque::new()),
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
        let drained = self.machine.is_drained();
        while self.parse(None) {}
        if self.ended.is_none() && self.socket.input().is_empty() && self.fill().is_ready() {
            while self.parse(None) {}
        }
        self.after_reading(drained);
    }

    /// What is due after something was read, and before that all was sent or not. What waited then has somebody who sends it: the socket will wake
    /// them, or the background task was woken, so that what many have to say leaves together.
    pub(crate) fn after_reading(&mut self, drained: bool) {
        if drained && self.has_unsent() {
            let _ = self.flush();
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
        if !self.socket.has_news() && self.machine.is_idle() {
            return false;
        }
        let now = self.now();
        let event = match self.machine.next(now, self.socket.input()) {
            Ok(None) if self.socket.take_end() => {
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
            Some(Sorted::Connect(index, port)) => self.asked_to_connect(index, port),
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

    /// Reads from the socket once. Pending also when there is no point in reading.
    pub(crate) fn fill(&mut self) -> Poll<()> {
        if self.reading == Reading::Paused || self.ended.is_some() {
            return Poll::Pending;
        }
        self.socket.fill().map(|read| {
            if let Err(error) = read {
                self.end(Err(error.into()));
            }
        })
    }

    /// Gives the socket what waits to be written.
    pub(crate) fn flush(&mut self) -> Poll<()> {
        if self.socket.flush(&mut self.machine).is_pending() {
            return Poll::Pending;
        }
        self.finish()
    }

    /// Ends our side of the stream once the last of it was written, and the connection once nothing more is to be read. Not before: a socket
    /// that is closed while something is unread in it is reset, and takes with it what the peer has yet to read.
    fn finish(&mut self) -> Poll<()> {
        let last = self.machine.ends_stream() || self.ended.is_some() || self.leaving == Leaving::Yes;
        if !last || self.socket.is_closed() {
            return Poll::Ready(());
        }
        if self.socket.shut().is_pending() {
            return Poll::Pending;
        }
        if self.ended.is_some() {
            self.socket.close();
        }
        Poll::Ready(())
    }

    /// The application let go of the session.
    pub(crate) fn leave(&mut self) {
        if self.leaving == Leaving::Yes || self.machine.is_closing() || self.ended.is_some() {
            return;
        }
        self.span.dropped();
        let now = self.now();
        self.machine.abort(now);
        self.leaving = Leaving::Yes;
    }

    /// Whether nothing is waited for any more but that the last bytes are on their way.
    pub(crate) fn is_last(&self) -> bool {
        self.leaving == Leaving::Yes || self.ended.is_some()
    }

    /// What `take` gives; within that, nothing at the end of the session.
    pub(crate) fn until_end<T>(&mut self, take: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match take(self) {
            None if self.ended.is_none() => None,
            taken => Some(taken),
        }
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
        since.zip(self.patience).and_then(|(since, patience)| since.checked_add(patience))
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
        self.socket.close();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.socket.is_closed()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Gives back the buffers that an idle session does not need.
    pub(crate) fn release(&mut self) {
        self.socket.release();
        self.machine.transmit().release();
    }

    /// Whether something waits to be given to the socket.
    pub(crate) fn has_unsent(&mut self) -> bool {
        !self.machine.is_drained()
    }
}
