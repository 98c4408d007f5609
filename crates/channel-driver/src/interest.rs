//! Who is woken when the socket is ready.
//!
//! Whoever waits for something drives the session itself, so that no message costs a hop from one task to another. The socket is
//! always polled with one of two wakers of ours. The one for reading wakes the reader that waits since last; if others wait too, the
//! background task as well, which does for them what that reader leaves undone, or all of it if the reader was dropped meanwhile.

use std::{
    collections::VecDeque,
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
    due: Mutex<Due>,
    /// Whether there may be something in `due`, so that letting go of the session needs no other lock where there is not.
    any_due: AtomicBool,
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

/// What is to be done once the session is not locked any more: a waker may run its task at once, or be the last that holds it, and either may come
/// back here.
#[derive(Default)]
struct Due {
    wake: VecDeque<Waker>,
    /// Wakers that nobody needs any more.
    forget: Vec<Waker>,
    watchers: bool,
    background: bool,
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
        if let Some(replaced) = slots.put(index, waker) {
            self.owe(|due| due.forget.push(replaced));
        }
    }

    /// `half` got what it waited for.
    pub(crate) fn done(&self, half: Half) {
        let (slots, index) = self.slots(half);
        if let Some(waker) = slots.take(index) {
            self.owe(|due| due.forget.push(waker));
        }
    }

    /// Waits, from now on, for the end of the session, or for anything else that is told to all.
    pub(crate) fn watch(&self) -> EventListener {
        self.told.listen()
    }

    pub(crate) fn wait_in_background(&self, waker: &Waker) {
        match &mut *lock(&self.background) {
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

    /// There is something for `half`. As all that wakes somebody, this is for whoever holds the session's lock, and takes effect when it is
    /// [let go](Self::settle).
    pub(crate) fn wake(&self, half: Half) {
        let (slots, index) = self.slots(half);
        if let Some(waker) = slots.take(index) {
            self.owe(|due| due.wake.push_back(waker));
        }
    }

    /// There is room for those who write.
    pub(crate) fn wake_writers(&self) {
        if !self.writers.is_empty() {
            self.owe(|due| self.writers.take_all(&mut due.wake));
        }
    }

    pub(crate) fn wake_watchers(&self) {
        self.owe(|due| due.watchers = true);
    }

    pub(crate) fn wake_background(&self) {
        self.owe(|due| due.background = true);
    }

    pub(crate) fn wake_all(&self) {
        self.owe(|due| {
            self.readers.take_all(&mut due.wake);
            self.writers.take_all(&mut due.wake);
            due.watchers = true;
            due.background = true;
        });
    }

    fn owe(&self, debt: impl FnOnce(&mut Due)) {
        debt(&mut lock(&self.due));
        self.any_due.store(true, Ordering::Relaxed);
    }

    /// Does what is due, now that the session is not locked.
    pub(crate) fn settle(&self) {
        if !self.any_due.swap(false, Ordering::Relaxed) {
            return;
        }
        loop {
            let mut due = lock(&self.due);
            // One by one, so that the room for them stays.
            let (waker, forgotten) = (due.wake.pop_front(), due.forget.pop());
            let (watchers, background) = (mem::take(&mut due.watchers), mem::take(&mut due.background));
            drop(due);
            if waker.is_none() && forgotten.is_none() && !watchers && !background {
                return;
            }
            if watchers {
                self.told.notify(usize::MAX);
            }
            let background = if background { self.in_background() } else { None };
            wake(waker.into_iter().chain(background));
        }
    }

    fn in_background(&self) -> Option<Waker> {
        lock(&self.background).clone()
    }

    fn slots(&self, half: Half) -> (&Slots, usize) {
        match half {
            Half::Reader(index) => (&self.readers, index),
            Half::Writer(index) => (&self.writers, index),
        }
    }
}

impl Slots {
    /// Whether nobody waits; the session is locked.
    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Gives the waker that this one takes the place of.
    fn put(&self, index: usize, waker: &Waker) -> Option<Waker> {
        let mut waiting = lock(&self.waiting);
        if waiting.wakers.len() <= index {
            waiting.wakers.resize(index + 1, None);
        }
        waiting.newest = index;
        let slot = &mut waiting.wakers[index];
        if slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return None;
        }
        let replaced = slot.replace(waker.clone());
        self.count.fetch_add(usize::from(replaced.is_none()), Ordering::Relaxed);
        replaced
    }

    /// The session is locked.
    fn take(&self, index: usize) -> Option<Waker> {
        if self.is_empty() {
            return None;
        }
        self.taken(lock(&self.waiting).wakers.get_mut(index)?.take())
    }

    /// The one that waits since last, or else any; and whether others wait still.
    fn take_one(&self) -> (Option<Waker>, bool) {
        let mut waiting = lock(&self.waiting);
        let newest = waiting.newest;
        let newest = waiting.wakers.get_mut(newest).and_then(Option::take);
        let one = newest.or_else(|| waiting.wakers.iter_mut().find_map(Option::take));
        let one = self.taken(one);
        (one, !self.is_empty())
    }

    fn take_all(&self, to: &mut VecDeque<Waker>) {
        if !self.is_empty() {
            to.extend(lock(&self.waiting).wakers.iter_mut().filter_map(|waker| self.taken(waker.take())));
        }
    }

    fn taken(&self, waker: Option<Waker>) -> Option<Waker> {
        self.count.fetch_sub(usize::from(waker.is_some()), Ordering::Relaxed);
        waker
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
        let background = if others_wait { self.0.in_background() } else { None };
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
        let others_wait = others_wait || writer.is_none();
        let background = if others_wait { self.0.in_background() } else { None };
        wake(writer.into_iter().chain(background));
    }
}
