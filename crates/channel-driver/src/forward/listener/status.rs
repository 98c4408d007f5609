//! How a listener is, and who waits for it to change.

use std::{
    future::Future,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use event_listener::Event;

use crate::forward::pool::unless;

/// How a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenerState {
    /// What connects is forwarded.
    Connected,
    /// The connection to the pod was lost, and if there are several, all of them; what connects meanwhile waits.
    Reconnecting {
        /// How often it was tried since.
        attempts: u32,
        /// Why it was lost, or why the last attempt failed.
        why: String,
    },
    /// The local port is gone.
    Failed(String),
}

/// What a listener and its tasks share.
pub(super) struct Status {
    inner: Mutex<Inner>,
    /// There is another state, or one more failure.
    changed: Event,
    closed: AtomicBool,
    closing: Event,
}

struct Inner {
    state: ListenerState,
    /// Errors of single connections that nobody asked for yet.
    failures: Vec<String>,
}

/// How many failures of single connections are kept for whoever asks.
const FAILURES: usize = 64;

impl Status {
    pub(super) fn new() -> Self {
        let inner = Inner { state: ListenerState::Connected, failures: Vec::new() };
        Self {
            inner: inner.into(),
            changed: Event::new(),
            closed: AtomicBool::new(false),
            closing: Event::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> ListenerState {
        self.lock().state.clone()
    }

    pub(super) fn set(&self, state: ListenerState) {
        self.lock().state = state;
        self.changed.notify(usize::MAX);
    }

    pub(super) fn fail_one(&self, error: &io::Error) {
        let mut inner = self.lock();
        if inner.failures.len() < FAILURES {
            inner.failures.push(error.to_string());
        }
        drop(inner);
        // Whoever waits for a change may want to hear of this too.
        self.changed.notify(usize::MAX);
    }

    pub(super) fn take_failures(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().failures)
    }

    /// Waits for a state that is `wanted`.
    pub(super) async fn wait(&self, wanted: impl Fn(&ListenerState) -> bool) -> ListenerState {
        loop {
            let changed = self.changed.listen();
            let state = self.state();
            if wanted(&state) {
                return state;
            }
            changed.await;
        }
    }

    /// Waits while the connection to the pod is being opened again.
    pub(super) async fn reconnected(&self) {
        self.wait(|state| !matches!(state, ListenerState::Reconnecting { .. })).await;
    }

    /// The listener was dropped.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.closing.notify(usize::MAX);
    }

    /// Runs `future`, unless the listener is dropped before it ends.
    pub(super) async fn unless_closed<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let closing = self.closing.listen();
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        unless(closing, future).await
    }
}
