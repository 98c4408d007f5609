//! A local port that leads to a port of a pod.

mod status;

use std::{fmt, future::poll_fn, io, net::SocketAddr, sync::Arc, time::Duration};

use async_lock::Semaphore;

use super::{Connection, Forward, backoff::Backoff};
use crate::{
    Error,
    runtime::{Accept, Runtime, Timer},
    trace::{self, Span},
};
pub use status::ListenerState;
use status::Status;

/// How many accepted connections may wait for a connection to the pod. The rest wait where the system keeps them, and cost us neither a task nor
/// a socket.
const WAITING: usize = 128;

/// How long to wait when the system has no more sockets for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A local port that leads to a port of a pod, until it is dropped. Connections that were accepted go on to their own ends.
pub struct Listener {
    address: SocketAddr,
    status: Arc<Status>,
}

impl Listener {
    pub(super) async fn start<R: Runtime<Timer: Unpin>>(
        forward: Forward<R>,
        address: SocketAddr,
        port: u16,
    ) -> Result<Self, Error> {
        let listener = R::listen(address).await?;
        let address = listener.local_addr()?;
        let status = Arc::new(Status::new());
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
        self.status.state()
    }

    /// Waits until its state is another than `seen`, and tells it.
    pub async fn changed(&self, seen: &ListenerState) -> ListenerState {
        self.status.wait(|state| state != seen).await
    }

    /// What single connections failed with since this was last asked. The others went on.
    pub fn take_failures(&self) -> Vec<String> {
        self.status.take_failures()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.status.close();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Accepts until the listener is dropped or its port is gone.
async fn serve<R: Runtime<Timer: Unpin>>(
    mut listener: R::Listener,
    forward: Forward<R>,
    port: u16,
    status: Arc<Status>,
) {
    let places = Arc::new(Semaphore::new(WAITING));
    loop {
        let Some(place) = status.unless_closed(places.acquire_arc()).await else { return };
        match status.unless_closed(poll_fn(|cx| listener.poll_accept(cx))).await {
            None => return,
            Some(Ok(local)) => {
                let (forward, status) = (forward.clone(), status.clone());
                R::spawn(async move {
                    let Some(remote) = connect(&forward, port, &status).await else { return };
                    drop(place);
                    if let Err(error) = remote.carry::<R>(local).await {
                        status.fail_one(&error);
                    }
                });
            }
            Some(Err(error)) if is_passing(&error) => pause::<R>(ACCEPT_PAUSE).await,
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
) -> Option<Connection> {
    let mut backoff = Backoff::new();
    loop {
        match status.unless_closed(forward.pool.connect(port)).await? {
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

/// Opens a connection to the pod again when there is none any more, before anybody asks for it. Over channels there is none to open.
async fn keep_connected<R: Runtime<Timer: Unpin>>(forward: Forward<R>, status: Arc<Status>) {
    let mut backoff = Backoff::new();
    let (mut attempts, mut why) = (0, "it was lost before".to_owned());
    loop {
        let (living, stands) = (forward.pool.living(), forward.pool.stands());
        if attempts > 0 && (living.is_some() || !stands) {
            trace::connected_again(attempts);
            status.set(ListenerState::Connected);
            attempts = 0;
        }
        if !stands {
            return;
        }
        if let Some(link) = living {
            let since = R::now();
            let Some(lost) = status.unless_closed(link.lost()).await else { return };
            backoff.held(R::now() - since);
            why = lost;
            continue;
        }
        status.set(ListenerState::Reconnecting { attempts, why: why.clone() });
        attempts += 1;
        let delay = backoff.next();
        trace::reconnecting(attempts, delay);
        if status.unless_closed(pause::<R>(delay)).await.is_none() {
            return;
        }
        match status.unless_closed(forward.pool.link()).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => why = error.to_string(),
            None => return,
        }
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
