//! Which upgraded connections there are, and which are being opened.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use channel_proto::{
    Subprotocol,
    forward::{Forward as Machine, ForwardError},
};
use event_listener::{Event, EventListener};

use crate::{
    Error,
    fallback::Agreed,
    forward::{Connection, FirstByte, backoff::Backoff},
    halves::Handle,
};

/// One upgraded connection.
pub(in crate::forward) struct Link {
    handle: Handle<Machine>,
}

impl Link {
    pub(super) fn new(handle: Handle<Machine>) -> Self {
        Self { handle }
    }

    pub(super) fn connect(&self, port: u16, first_byte: FirstByte) -> Result<Connection, ForwardError> {
        let shared = &self.handle.shared;
        // The request goes out with what is written first, if that is soon.
        let id = shared.defer(|machine| {
            let id = machine.connect(port)?;
            if first_byte == FirstByte::WhenAccepted {
                machine.await_accept(id);
            }
            Ok(id)
        })?;
        Ok(Connection::new(shared, id))
    }

    /// How much goes over it, if new connections can.
    fn load(&self) -> Option<usize> {
        let state = self.handle.shared.lock_to_look();
        (!state.has_ended() && !state.machine.is_going_away()).then_some(state.handles)
    }

    /// Waits until it is lost, and tells how.
    pub(in crate::forward) async fn lost(&self) -> String {
        match self.handle.shared.ended().await {
            Ok(Some(close)) => close.to_string(),
            Ok(None) => "the connection ended".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

/// What a pool and the tasks that open its links share.
pub(super) struct Links {
    inner: Mutex<Inner>,
    changed: Event,
    closing: Event,
}

pub(super) struct Inner {
    links: Vec<Arc<Link>>,
    /// Whose turn it is among those that carry the same.
    turn: usize,
    /// Of the link that was opened last.
    pub(super) agreed: Agreed,
    /// How many there should be, if they stand.
    spread: usize,
    /// How many are being opened beside those that there are.
    further: usize,
    /// Until when no further one is opened, if one is missing, and when that was last done.
    paused: Option<(Instant, Instant)>,
    backoff: Backoff,
    /// An attempt to open one where there is none. All who wait share it, and what it fails with.
    attempt: Attempt,
    attempts: u64,
    failure: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    None,
    UnderWay,
}

/// A link that is being opened. However that ends, nobody waits for it any longer when this is dropped.
pub(super) struct Claim {
    links: Arc<Links>,
    purpose: Purpose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// There was none.
    First,
    /// There are fewer than there should be.
    Further,
}

/// What there is for a connection that is wanted.
pub(super) enum Found {
    /// A link, and what else is to be opened, beside it.
    Link(Arc<Link>, Vec<Claim>),
    /// There is none: it has to be waited for, and opened if that was not begun yet.
    Waits(Option<Claim>),
    /// The attempt that was waited for gave none.
    Failed(Error),
}

impl Links {
    pub(super) fn new(first: Link, agreed: Agreed, spread: usize) -> Arc<Self> {
        let inner = Inner {
            links: vec![Arc::new(first)],
            turn: 0,
            agreed,
            spread,
            further: 0,
            paused: None,
            backoff: Backoff::new(),
            attempt: Attempt::None,
            attempts: 0,
            failure: None,
        };
        Arc::new(Self { inner: inner.into(), changed: Event::new(), closing: Event::new() })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until a link was opened, or could not be.
    pub(super) fn changed(&self) -> EventListener {
        self.changed.listen()
    }

    /// Until nobody wants any link.
    pub(super) fn closing(&self) -> EventListener {
        self.closing.listen()
    }

    /// Nobody wants any link.
    pub(super) fn close(&self) {
        let links = std::mem::take(&mut self.lock().links);
        drop(links);
        self.closing.notify(usize::MAX);
    }

    /// Does something with those that are not lost. The lost ones are dropped behind the lock: the last handle to a session wakes somebody.
    pub(super) fn with_living<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let lost: Vec<_> = inner.links.extract_if(.., |link| link.load().is_none()).collect();
        let result = act(&mut inner);
        drop(inner);
        drop(lost);
        result
    }

    /// The link that carries least. For one who asks again, `seen` is how many attempts were over when it asked first.
    pub(super) fn find(self: &Arc<Self>, now: Instant, seen: &mut Option<u64>) -> Found {
        self.with_living(|inner| {
            if let Some(link) = inner.least() {
                let missing = inner.claim(now);
                return Found::Link(link, (0..missing).map(|_| self.claim(Purpose::Further)).collect());
            }
            if *seen.get_or_insert(inner.attempts) != inner.attempts {
                // It was lost again at once if nothing else is known.
                let failure = inner.failure.clone();
                return Found::Failed(failure.unwrap_or(Error::Forward(ForwardError::GoingAway)));
            }
            if inner.attempt == Attempt::UnderWay {
                return Found::Waits(None);
            }
            inner.attempt = Attempt::UnderWay;
            Found::Waits(Some(self.claim(Purpose::First)))
        })
    }

    fn claim(self: &Arc<Self>, purpose: Purpose) -> Claim {
        Claim { links: self.clone(), purpose }
    }
}

impl Inner {
    /// The link that carries least.
    pub(super) fn least(&mut self) -> Option<Arc<Link>> {
        let count = self.links.len();
        self.turn = self.turn.wrapping_add(1);
        let in_turn = (0..count).map(|step| &self.links[(self.turn % count + step) % count]);
        in_turn.min_by_key(|link| link.load().unwrap_or(usize::MAX)).cloned()
    }

    /// Whether the connections have an upgraded connection under them that is there without them, and can be lost. Over channels there is none:
    /// each has its own.
    pub(super) fn stand(&self) -> bool {
        matches!(self.agreed.subprotocol, Subprotocol::Tunnel | Subprotocol::PortForward)
    }

    fn wanted(&self) -> usize {
        if self.stand() { self.spread } else { 1 }
    }

    /// How many further ones to open now. A server that refuses them, or loses them at once, is asked again with growing pauses, not by each connection.
    fn claim(&mut self, now: Instant) -> usize {
        let missing = self.wanted().saturating_sub(self.links.len() + self.further);
        if missing == 0 || self.paused.is_some_and(|(until, _)| now < until) {
            return 0;
        }
        if let Some((_, since)) = self.paused {
            self.backoff.held(now.saturating_duration_since(since));
        }
        self.paused = Some((now + self.backoff.next(), now));
        self.further += missing;
        missing
    }
}

impl Claim {
    pub(super) fn settle(self, opened: Result<(Link, Agreed), Error>) {
        let too_late = self.links.with_living(|inner| {
            match opened {
                Ok((link, agreed)) => {
                    inner.agreed = agreed;
                    inner.failure = None;
                    if inner.links.len() >= inner.wanted() {
                        return Some(link);
                    }
                    inner.links.push(Arc::new(link));
                }
                Err(error) if self.purpose == Purpose::First => inner.failure = Some(error),
                // Those that live will do.
                Err(_) => {}
            }
            None
        });
        // One that was long in coming found its place taken.
        drop(too_late);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut inner = self.links.lock();
        match self.purpose {
            Purpose::First => {
                inner.attempt = Attempt::None;
                inner.attempts += 1;
            }
            Purpose::Further => inner.further -= 1,
        }
        drop(inner);
        self.links.changed.notify(usize::MAX);
    }
}
