//! Who is woken when the socket is ready.
//!
//! Whoever waits for something drives the session itself, so that no message costs a hop from one task to another. The
//! socket is always polled with one of two wakers of ours, which wake whoever waits, or, when nobody does, the
//! background task. A waiter that was dropped while it waited is woken in vain, once; the background task looks at the
//! socket at least every few seconds, whatever happens.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

/// How many halves of one direction there are at most: stdout and stderr.
pub(crate) const HALVES: usize = 2;

/// The tasks that wait.
#[derive(Default)]
pub(crate) struct Interest {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    readers: [Option<Waker>; HALVES],
    writers: [Option<Waker>; HALVES],
    /// Those who wait for the end, or for a terminal size.
    watchers: Vec<Waker>,
    background: Option<Waker>,
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
        match waiting.slot(half) {
            Some(known) => known.clone_from(waker),
            slot => *slot = Some(waker.clone()),
        }
    }

    /// `half` got what it waited for.
    pub(crate) fn done(&self, half: Half) {
        *self.lock().slot(half) = None;
    }

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

    /// There is something for `half`.
    pub(crate) fn wake(&self, half: Half) {
        let waker = self.lock().slot(half).take();
        wake(waker);
    }

    /// There is room for those who write.
    pub(crate) fn wake_writers(&self) {
        let writers = mem::take(&mut self.lock().writers);
        wake(writers.into_iter().flatten());
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
        let all = mem::take(&mut *self.lock());
        wake(all.readers.into_iter().chain(all.writers).flatten().chain(all.watchers).chain(all.background));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn slot(&mut self, half: Half) -> &mut Option<Waker> {
        match half {
            Half::Reader(index) => &mut self.readers[index],
            Half::Writer(index) => &mut self.writers[index],
        }
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

    /// Readers first: they take what came and tell the others what concerns them.
    fn wake_by_ref(self: &Arc<Self>) {
        let mut waiting = self.0.lock();
        let readers = mem::take(&mut waiting.readers);
        if readers.iter().any(Option::is_some) {
            drop(waiting);
            return wake(readers.into_iter().flatten());
        }
        let writers = waiting.writers.clone();
        let watchers = mem::take(&mut waiting.watchers);
        if !watchers.is_empty() || writers.iter().any(Option::is_some) {
            drop(waiting);
            return wake(writers.into_iter().flatten().chain(watchers));
        }
        let background = waiting.background.clone();
        drop(waiting);
        wake(background);
    }
}

struct Writable(Arc<Interest>);

impl Wake for Writable {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut waiting = self.0.lock();
        let writers = mem::take(&mut waiting.writers);
        let background = if writers.iter().any(Option::is_some) { None } else { waiting.background.clone() };
        drop(waiting);
        wake(writers.into_iter().flatten().chain(background));
    }
}
