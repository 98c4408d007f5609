//! Tasks that wait for what is told to all of them.

use std::{collections::BTreeMap, mem, task::Waker};

/// Who waits, by a number for each. Whoever does not any more leaves nothing behind: a waker keeps the memory of its task.
///
/// Wakers are given back, never dropped here: it is done under a lock, and the last waker of a task may drop what it holds.
#[derive(Default)]
pub(crate) struct Watchers {
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

impl Watchers {
    /// A number for somebody who will wait.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    #[must_use = "to be dropped outside the lock"]
    pub(crate) fn wait(&mut self, number: u64, waker: &Waker) -> Option<Waker> {
        match self.waiting.get(&number) {
            Some(known) if known.will_wake(waker) => None,
            _ => self.waiting.insert(number, waker.clone()),
        }
    }

    #[must_use = "to be dropped outside the lock"]
    pub(crate) fn remove(&mut self, number: u64) -> Option<Waker> {
        self.waiting.remove(&number)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// All who wait, to be woken outside the lock.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        mem::take(&mut self.waiting).into_values()
    }
}
