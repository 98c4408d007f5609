//! A local port that leads to a port of a pod.

use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use super::Forward;
use crate::{
    Error, handshake,
    runtime::{Accept, Runtime, Timer},
    trace::{self, Span},
};

/// The first pause before connecting again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// A local port that leads to a port of a pod, until it is dropped. Connections that were accepted go on to their own ends.
pub struct Listener {
    address: SocketAddr,
    status: Arc<Status>,
}

/// How a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenerState {
    /// What connects is forwarded.
    Connected,
    /// The connection to the pod was lost; what connects meanwhile waits.
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
struct Status {
    inner: Mutex<Inner>,
    closed: AtomicBool,
}

struct Inner {
    state: ListenerState,
    /// Counts the changes, so that a watcher knows what it has seen.
    version: u64,
    /// Who waits, by the ids of their [`Watch`]es.
    watchers: BTreeMap<u64, Waker>,
    next_watch: u64,
    /// Errors of single connections that nobody asked for yet.
    failures: Vec<String>,
}

/// Somebody who waits. Whoever does not any more leaves nothing behind: a waker keeps the memory of its task.
struct Watch<'a> {
    status: &'a Status,
    id: u64,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // Not dropped under the lock: it may be the last of a task that has something to say in its own drop.
        let waker = self.status.lock().watchers.remove(&self.id);
        drop(waker);
    }
}

/// How many failures of single connections are kept for whoever asks.
const FAILURES: usize = 64;

impl Listener {
    pub(super) async fn start<R: Runtime<Timer: Unpin>>(
        forward: Forward<R>,
        address: SocketAddr,
        port: u16,
    ) -> Result<Self, Error> {
        let listener = R::listen(address).await?;
        let address = listener.local_addr()?;
        let inner = Inner {
            state: ListenerState::Connected,
            version: 0,
            watchers: BTreeMap::new(),
            next_watch: 0,
            failures: Vec::new(),
        };
        let status = Arc::new(Status { inner: Mutex::new(inner), closed: AtomicBool::new(false) });
        R::spawn(serve::<R>(listener, forward.clone(), port, status.clone()));
        let span = Span::listener(address, port);
        R::spawn(span.of(keep_connected(forward, status.clone())));
        Ok(Self { address, status })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it is.
    pub fn state(&self) -> ListenerState {
        self.status.lock().state.clone()
    }

    /// Waits until its state is another than `seen`, and tells it.
    pub async fn changed(&self, seen: &ListenerState) -> ListenerState {
        let watch = self.status.watch();
        poll_fn(|cx| {
            let mut inner = self.status.lock();
            if inner.state != *seen {
                return Poll::Ready(inner.state.clone());
            }
            inner.watchers.insert(watch.id, cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// What single connections failed with since this was last asked. The others went on.
    pub fn take_failures(&self) -> Vec<String> {
        std::mem::take(&mut self.status.lock().failures)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.status.closed.store(true, Ordering::Release);
        self.status.wake();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Status {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> Watch<'_> {
        let mut inner = self.lock();
        inner.next_watch += 1;
        Watch { status: self, id: inner.next_watch }
    }

    fn wake(&self) {
        let watchers = std::mem::take(&mut self.lock().watchers);
        watchers.into_values().for_each(Waker::wake);
    }

    fn set(&self, state: ListenerState) {
        let mut inner = self.lock();
        inner.state = state;
        inner.version += 1;
        drop(inner);
        self.wake();
    }

    fn fail_one(&self, error: &io::Error) {
        let mut inner = self.lock();
        if inner.failures.len() < FAILURES {
            inner.failures.push(error.to_string());
        }
        drop(inner);
        self.wake();
    }

    /// Waits while the connection to the pod is being opened again.
    async fn reconnected(&self) {
        let watch = self.watch();
        poll_fn(|cx| {
            let mut inner = self.lock();
            if !matches!(inner.state, ListenerState::Reconnecting { .. }) {
                return Poll::Ready(());
            }
            inner.watchers.insert(watch.id, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Runs `future`, unless the listener is dropped before it ends.
    async fn unless_closed<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let watch = self.watch();
        poll_fn(|cx| {
            self.lock().watchers.insert(watch.id, cx.waker().clone());
            if self.closed.load(Ordering::Acquire) {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// Accepts until the listener is dropped or its port is gone.
async fn serve<R: Runtime<Timer: Unpin>>(
    mut listener: R::Listener,
    forward: Forward<R>,
    port: u16,
    status: Arc<Status>,
) {
    loop {
        match status.unless_closed(poll_fn(|cx| listener.poll_accept(cx))).await {
            None => return,
            Some(Ok(local)) => {
                let (forward, status) = (forward.clone(), status.clone());
                R::spawn(async move {
                    let Some(remote) = connect(&forward, port, &status).await else { return };
                    if let Err(error) = remote.carry::<R>(local).await {
                        status.fail_one(&error);
                    }
                });
            }
            Some(Err(error)) if is_passing(&error) => pause::<R>(PAUSES.0).await,
            Some(Err(error)) => return status.set(ListenerState::Failed(error.to_string())),
        }
    }
}

/// Connects to the pod's port, however often the connection to the pod has to be opened for it. Over channels there is none to wait for: what fails
/// is this one.
async fn connect<R: Runtime<Timer: Unpin>>(
    forward: &Forward<R>,
    port: u16,
    status: &Status,
) -> Option<super::Connection> {
    let mut backoff = Backoff::new();
    loop {
        match status.unless_closed(forward.connect(port)).await? {
            Ok(connection) => return Some(connection),
            Err(error) if !forward.pool.stands() => {
                status.fail_one(&error.into());
                return None;
            }
            Err(_) => {
                status.unless_closed(pause::<R>(backoff.next())).await?;
                // One task asks the server again, not each that waits.
                status.unless_closed(status.reconnected()).await?;
            }
        }
    }
}

/// Opens the connection to the pod again whenever it was lost, before anybody asks for it; if there is one.
async fn keep_connected<R: Runtime<Timer: Unpin>>(forward: Forward<R>, status: Arc<Status>) {
    let mut backoff = Backoff::new();
    let mut attempts = 0;
    loop {
        let Some(link) = status.unless_closed(forward.pool.link()).await else { return };
        let why = match link {
            Ok(link) => {
                if attempts > 0 {
                    trace::connected_again(attempts);
                    status.set(ListenerState::Connected);
                }
                if !forward.pool.stands() {
                    return;
                }
                attempts = 0;
                let since = R::now();
                let Some(why) = status.unless_closed(link.lost()).await else { return };
                // One that was taken and lost at once is no reason to be back at once.
                if R::now() - since >= backoff.next {
                    backoff = Backoff::new();
                }
                why
            }
            Err(error) => error.to_string(),
        };
        status.set(ListenerState::Reconnecting { attempts, why });
        attempts += 1;
        let delay = backoff.next();
        trace::reconnecting(attempts, delay);
        if status.unless_closed(pause::<R>(delay)).await.is_none() {
            return;
        }
    }
}

/// Pauses that double up to the longest, each shortened at random by up to a half, so that many clients of one server do not come back at once.
struct Backoff {
    next: Duration,
}

impl Backoff {
    fn new() -> Self {
        Self { next: PAUSES.0 }
    }

    fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(PAUSES.1);
        // Without entropy they come back together, and that is all.
        let random = handshake::entropy::<1>().map_or(0, |[byte]| byte);
        pause - pause * u32::from(random) / 512
    }
}

async fn pause<R: Runtime>(length: Duration) {
    let until = R::now() + length;
    let mut timer = R::timer();
    poll_fn(|cx| timer.poll_until(cx, until)).await;
}

/// Whether accepting may succeed later: the client was gone already, or the system is short of something.
fn is_passing(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotConnected)
}
