//! Who is woken when the socket is ready.
//!
//! Whoever waits for something drives the session itself, so that no message costs a hop from one task to another. The socket is
//! always polled with one of two wakers of ours. The one for reading wakes the reader that waits since last; if others wait too, the
//! background task as well, which does for them what that reader leaves undone, or all of it if the reader was dropped meanwhile.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

use event_listener::{Event, EventListener};

/// The tasks that wait. Halves come to wait under the session's lock alone.
#[derive(Default)]
pub(crate) struct Interest {
    readers: Slots,
    writers: Slots,
    /// For those who wait for the end, for a terminal size, or for a connection.
    told: Event,
    background: Mutex<Option<Waker>>,
    /// The socket was read until there was nothing more, and has not woken us since: it will when something comes.
    watched: AtomicBool,
}

/// The wakers of the halves of one direction, by index.
#[derive(Default)]
struct Slots {
    waiting: Mutex<Waiting>,
    /// How many there are. Whoever holds the session's lock and reads zero here need not lock `waiting` to find nobody there. The wakers of
    /// the socket, which do not hold it, have to.
    count: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    wakers: Vec<Option<Waker>>,
    newest: usize,
}

/// One half of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    Reader(usize),
    Writer(usize),
}

impl Interest {
    /// The two wakers that the socket is polled with: for reading, for writing.
    pub(crate) fn io_wakers(self: &Arc<Self>) -> (Waker, Waker) {
        (Waker::from(Arc::new(Readable(self.clone()))), Waker::from(Arc::new(Writable(self.clone()))))
    }

    /// `half` waits. To be called before the socket is polled.
    pub(crate) fn wait(&self, half: Half, waker: &Waker) {
        let (slots, index) = self.slots(half);
        slots.put(index, waker);
    }

    /// `half` got what it waited for.
    pub(crate) fn done(&self, half: Half) {
        let (slots, index) = self.slots(half);
        drop(slots.take(index));
    }

    /// Waits, from now on, for the end of the session, or for anything else that is told to all.
    pub(crate) fn watch(&self) -> EventListener {
        self.told.listen()
    }

    pub(crate) fn wait_in_background(&self, waker: &Waker) {
        match &mut *self.lock() {
            Some(known) => known.clone_from(waker),
            slot => *slot = Some(waker.clone()),
        }
    }

    /// The socket is about to be read. It may wake us before the read returns.
    pub(crate) fn watch_socket(&self) {
        self.watched.store(true, Ordering::Release);
    }

    /// The socket may have something to read, and wakes nobody for it.
    pub(crate) fn unwatch_socket(&self) {
        self.watched.store(false, Ordering::Release);
    }

    /// Whether the socket has nothing to read, and wakes us when it has.
    pub(crate) fn is_socket_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// Whether somebody waits for what comes next while the socket will wake nobody.
    pub(crate) fn is_left_waiting(&self) -> bool {
        if self.is_socket_watched() {
            return false;
        }
        !self.readers.is_empty() || !self.writers.is_empty() || self.told.total_listeners() > 0
    }

    /// There is something for `half`.
    pub(crate) fn wake(&self, half: Half) {
        let (slots, index) = self.slots(half);
        wake(slots.take(index));
    }

    /// There is room for those who write.
    pub(crate) fn wake_writers(&self) {
        wake(self.writers.take_all());
    }

    pub(crate) fn wake_watchers(&self) {
        self.told.notify(usize::MAX);
    }

    pub(crate) fn wake_background(&self) {
        let waker = self.lock().clone();
        wake(waker);
    }

    pub(crate) fn wake_all(&self) {
        wake(self.readers.take_all().chain(self.writers.take_all()));
        self.wake_watchers();
        self.wake_background();
    }

    fn slots(&self, half: Half) -> (&Slots, usize) {
        match half {
            Half::Reader(index) => (&self.readers, index),
            Half::Writer(index) => (&self.writers, index),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.background.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// Whether nobody waits; the session is locked.
    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    fn put(&self, index: usize, waker: &Waker) {
        let mut waiting = self.lock();
        if waiting.wakers.len() <= index {
            waiting.wakers.resize(index + 1, None);
        }
        waiting.newest = index;
        match &mut waiting.wakers[index] {
            Some(known) => known.clone_from(waker),
            slot => {
                *slot = Some(waker.clone());
                self.count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The session is locked.
    fn take(&self, index: usize) -> Option<Waker> {
        if self.is_empty() {
            return None;
        }
        self.taken(self.lock().wakers.get_mut(index)?.take())
    }

    /// The one that waits since last, or else any; and whether others wait still.
    fn take_one(&self) -> (Option<Waker>, bool) {
        let mut waiting = self.lock();
        let newest = waiting.newest;
        let newest = waiting.wakers.get_mut(newest).and_then(Option::take);
        let one = newest.or_else(|| waiting.wakers.iter_mut().find_map(Option::take));
        let one = self.taken(one);
        (one, !self.is_empty())
    }

    /// The session is locked. Nearly always one or none, which allocates nothing.
    fn take_all(&self) -> impl Iterator<Item = Waker> + use<> {
        let (one, rest) = match self.count.load(Ordering::Relaxed) {
            0 => (None, Vec::new()),
            1 => (self.take_one().0, Vec::new()),
            _ => {
                let mut waiting = self.lock();
                self.count.store(0, Ordering::Relaxed);
                (None, mem::take(&mut waiting.wakers))
            }
        };
        one.into_iter().chain(rest.into_iter().flatten())
    }

    fn taken(&self, waker: Option<Waker>) -> Option<Waker> {
        self.count.fetch_sub(usize::from(waker.is_some()), Ordering::Relaxed);
        waker
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes outside the lock: a waker may run the task at once, and the task may come back here.
fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

struct Readable(Arc<Interest>);

impl Wake for Readable {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unwatch_socket();
        let (reader, others_wait) = self.0.readers.take_one();
        let others_wait = others_wait || reader.is_none() || self.0.told.total_listeners() > 0;
        let background = if others_wait { self.0.lock().clone() } else { None };
        wake(reader.into_iter().chain(background));
    }
}

struct Writable(Arc<Interest>);

impl Wake for Writable {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Some transports, TLS for one, read while they write, and then wake the writer for what comes.
        self.0.unwatch_socket();
        let (writer, others_wait) = self.0.writers.take_one();
        if others_wait || writer.is_none() {
            self.0.wake_background();
        }
        wake(writer);
    }
}
