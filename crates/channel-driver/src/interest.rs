//! Who is woken when the socket is ready.
//!
//! Whoever waits for something drives the session itself, so that no message costs a hop from one task to another. The socket is
//! always polled with one of two wakers of ours. The one for reading wakes the reader that waits since last; if others wait too, the
//! background task as well, which does for them what that reader leaves undone, or all of it if the reader was dropped meanwhile.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

/// The tasks that wait.
#[derive(Default)]
pub(crate) struct Interest {
    waiting: Mutex<Waiting>,
    /// The socket was read until there was nothing more, and has not woken us since: it will when something comes.
    watched: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    readers: Slots,
    writers: Slots,
    /// Those who wait for the end, or for a terminal size.
    watchers: Vec<Waker>,
    background: Option<Waker>,
}

/// The wakers of the halves of one direction, by index.
#[derive(Default)]
struct Slots {
    wakers: Vec<Option<Waker>>,
    count: usize,
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
        let mut waiting = self.lock();
        let (slots, index) = waiting.slots(half);
        slots.put(index, waker);
    }

    /// `half` got what it waited for.
    pub(crate) fn done(&self, half: Half) {
        let mut waiting = self.lock();
        let (slots, index) = waiting.slots(half);
        slots.take(index);
    }

    /// Waits for the end of the session, or for anything else that is told to all.
    pub(crate) fn watch(&self, waker: &Waker) {
        let mut waiting = self.lock();
        if !waiting.watchers.iter().any(|known| known.will_wake(waker)) {
            waiting.watchers.push(waker.clone());
        }
    }

    pub(crate) fn wait_in_background(&self, waker: &Waker) {
        match &mut self.lock().background {
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
        let waiting = self.lock();
        waiting.readers.count > 0 || !waiting.watchers.is_empty()
    }

    /// There is something for `half`.
    pub(crate) fn wake(&self, half: Half) {
        let mut waiting = self.lock();
        let (slots, index) = waiting.slots(half);
        let waker = slots.take(index);
        drop(waiting);
        wake(waker);
    }

    /// There is room for those who write.
    pub(crate) fn wake_writers(&self) {
        let writers = self.lock().writers.take_all();
        wake(writers);
    }

    pub(crate) fn wake_watchers(&self) {
        let watchers = mem::take(&mut self.lock().watchers);
        wake(watchers);
    }

    pub(crate) fn wake_background(&self) {
        let waker = self.lock().background.clone();
        wake(waker);
    }

    pub(crate) fn wake_all(&self) {
        let mut waiting = self.lock();
        let halves = waiting.readers.take_all().chain(waiting.writers.take_all());
        let rest = mem::take(&mut waiting.watchers).into_iter().chain(waiting.background.clone());
        drop(waiting);
        wake(halves.chain(rest));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn slots(&mut self, half: Half) -> (&mut Slots, usize) {
        match half {
            Half::Reader(index) => (&mut self.readers, index),
            Half::Writer(index) => (&mut self.writers, index),
        }
    }
}

impl Slots {
    fn put(&mut self, index: usize, waker: &Waker) {
        if self.wakers.len() <= index {
            self.wakers.resize(index + 1, None);
        }
        self.newest = index;
        match &mut self.wakers[index] {
            Some(known) => known.clone_from(waker),
            slot => {
                *slot = Some(waker.clone());
                self.count += 1;
            }
        }
    }

    fn take(&mut self, index: usize) -> Option<Waker> {
        let taken = self.wakers.get_mut(index)?.take();
        self.count -= usize::from(taken.is_some());
        taken
    }

    /// The one that waits since last, or else any.
    fn take_one(&mut self) -> Option<Waker> {
        if self.count == 0 {
            return None;
        }
        let any = || self.wakers.iter().position(Option::is_some);
        let index = match self.wakers.get(self.newest) {
            Some(Some(_)) => Some(self.newest),
            _ => any(),
        };
        self.take(index?)
    }

    /// Nearly always one or none, which allocates nothing.
    fn take_all(&mut self) -> impl Iterator<Item = Waker> + use<> {
        let one = self.take_one();
        let rest = match self.count {
            0 => Vec::new(),
            _ => mem::take(&mut self.wakers),
        };
        self.count = 0;
        one.into_iter().chain(rest.into_iter().flatten())
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
        let mut waiting = self.0.lock();
        let reader = waiting.readers.take_one();
        let others = waiting.readers.count > 0 || !waiting.watchers.is_empty();
        let background = waiting.background.clone().filter(|_| others || reader.is_none());
        drop(waiting);
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
        let mut waiting = self.0.lock();
        let writer = waiting.writers.take_one();
        let others = waiting.writers.count > 0;
        let background = waiting.background.clone().filter(|_| others || writer.is_none());
        drop(waiting);
        wake(writer.into_iter().chain(background));
    }
}
