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

use crate::watchers::Watchers;

/// The tasks that wait. Halves come to wait, and go, under the session's lock alone.
#[derive(Default)]
pub(crate) struct Interest {
    readers: Slots,
    writers: Slots,
    others: Mutex<Others>,
    due: Mutex<Due>,
    /// Whether there may be something in `due`, so that letting go of the session needs no other lock where there is not.
    any_due: AtomicBool,
    /// The socket was read until there was nothing more, and has not woken us since: it will when something comes.
    watched: AtomicBool,
}

#[derive(Default)]
struct Others {
    /// Those who wait for the end, for a terminal size, or for a connection.
    watchers: Watchers,
    background: Option<Waker>,
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
    background: bool,
    /// Somebody is at it, who does what comes meanwhile as well.
    settling: bool,
}

/// What many at once are woken with is given back afterwards.
const KEPT: usize = 16;

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

    /// Somebody who will wait for the end of the session, or for anything else that is told to all.
    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch { interest: self, number: lock(&self.others).watchers.number() }
    }

    pub(crate) fn wait_in_background(&self, waker: &Waker) {
        let mut others = lock(&self.others);
        if others.background.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return;
        }
        let before = others.background.replace(waker.clone());
        drop(others);
        drop(before);
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
        !self.readers.is_empty() || !self.writers.is_empty() || !lock(&self.others).watchers.is_empty()
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
        let watchers = lock(&self.others).watchers.take();
        self.owe(|due| due.wake.extend(watchers));
    }

    pub(crate) fn wake_background(&self) {
        self.owe(|due| due.background = true);
    }

    pub(crate) fn wake_all(&self) {
        self.owe(|due| {
            self.readers.take_all(&mut due.wake);
            self.writers.take_all(&mut due.wake);
        });
        self.wake_watchers();
        self.wake_background();
    }

    fn owe(&self, debt: impl FnOnce(&mut Due)) {
        let mut due = lock(&self.due);
        debt(&mut due);
        self.any_due.store(true, Ordering::Relaxed);
    }

    /// Does what is due, now that the session is not locked. A waker that comes back here leaves the rest to whoever called it.
    pub(crate) fn settle(&self) {
        if !self.any_due.load(Ordering::Relaxed) || mem::replace(&mut lock(&self.due).settling, true) {
            return;
        }
        for debt in Debts(Some(self)) {
            match debt {
                Debt::Wake(waker) => waker.wake(),
                Debt::Forget(waker) => drop(waker),
                Debt::Background => wake(self.in_background()),
            }
        }
    }

    fn in_background(&self) -> Option<Waker> {
        lock(&self.others).background.clone()
    }

    fn slots(&self, half: Half) -> (&Slots, usize) {
        match half {
            Half::Reader(index) => (&self.readers, index),
            Half::Writer(index) => (&self.writers, index),
        }
    }
}

/// Somebody who waits for what is told to all.
pub(crate) struct Watch<'a> {
    interest: &'a Interest,
    number: u64,
}

impl Watch<'_> {
    /// The session is locked.
    pub(crate) fn wait(&self, waker: &Waker) {
        let replaced = lock(&self.interest.others).watchers.wait(self.number, waker);
        if let Some(replaced) = replaced {
            self.interest.owe(|due| due.forget.push(replaced));
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let waker = lock(&self.interest.others).watchers.remove(self.number);
        drop(waker);
    }
}

enum Debt {
    Wake(Waker),
    Forget(Waker),
    Background,
}

/// What is due, one by one, until nothing is.
struct Debts<'a>(Option<&'a Interest>);

impl Iterator for Debts<'_> {
    type Item = Debt;

    fn next(&mut self) -> Option<Debt> {
        let interest = self.0?;
        let mut due = lock(&interest.due);
        let debt = due.wake.pop_front().map(Debt::Wake);
        let debt = debt.or_else(|| due.forget.pop().map(Debt::Forget));
        let debt = debt.or_else(|| mem::take(&mut due.background).then_some(Debt::Background));
        if debt.is_none() {
            due.wake.shrink_to(KEPT);
            due.settling = false;
            interest.any_due.store(false, Ordering::Relaxed);
            self.0 = None;
        }
        debt
    }
}

impl Drop for Debts<'_> {
    /// A waker panicked. Whoever lets go of the session next does the rest.
    fn drop(&mut self) {
        if let Some(interest) = self.0 {
            lock(&interest.due).settling = false;
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

    /// The session is locked. Nearly always one or none, and then the table stays.
    fn take_all(&self, to: &mut VecDeque<Waker>) {
        match self.count.load(Ordering::Relaxed) {
            0 => {}
            1 => to.extend(self.take_one().0),
            _ => {
                let mut waiting = lock(&self.waiting);
                self.count.store(0, Ordering::Relaxed);
                to.extend(mem::take(&mut waiting.wakers).into_iter().flatten());
            }
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
        let others = lock(&self.0.others);
        let others_wait = others_wait || reader.is_none() || !others.watchers.is_empty();
        let background = if others_wait { others.background.clone() } else { None };
        drop(others);
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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Does something when it wakes.
    struct Does<F>(F);

    impl<F: Fn() + Send + Sync + 'static> Wake for Does<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }

    fn waker(does: impl Fn() + Send + Sync + 'static) -> Waker {
        Arc::new(Does(does)).into()
    }

    fn counting(count: &Arc<AtomicUsize>) -> Waker {
        let count = count.clone();
        waker(move || _ = count.fetch_add(1, Ordering::Relaxed))
    }

    #[test]
    fn a_waker_that_panics_takes_no_other_with_it() {
        let (interest, woken) = (Interest::default(), Arc::default());
        interest.wait(Half::Reader(0), &waker(|| panic!("as this test wants it")));
        interest.wait(Half::Reader(1), &counting(&woken));
        interest.wait(Half::Writer(0), &counting(&woken));
        interest.watch().wait(&counting(&woken));
        interest.wait_in_background(&counting(&woken));
        interest.wake_all();
        assert!(catch_unwind(AssertUnwindSafe(|| interest.settle())).is_err());
        interest.settle();
        assert_eq!(woken.load(Ordering::Relaxed), 3, "but for the watcher, who had gone");
        interest.settle();
        assert_eq!(woken.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_waker_that_comes_back_is_not_inside_another() {
        let (interest, depth, woken) =
            (Arc::new(Interest::default()), Arc::new(AtomicUsize::new(0)), Arc::default());
        for index in 0..3 {
            let (interest, depth) = (interest.clone(), depth.clone());
            let last = counting(&woken);
            let back = interest.clone();
            let comes_back = move || {
                assert_eq!(depth.fetch_add(1, Ordering::Relaxed), 0);
                back.wait(Half::Writer(index), &last);
                back.wake(Half::Writer(index));
                back.settle();
                depth.fetch_sub(1, Ordering::Relaxed);
            };
            interest.wait(Half::Reader(index), &waker(comes_back));
        }
        interest.wake_all();
        interest.settle();
        assert_eq!(woken.load(Ordering::Relaxed), 3);
        assert!(interest.readers.is_empty() && interest.writers.is_empty());
    }
}
