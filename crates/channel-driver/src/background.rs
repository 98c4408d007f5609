//! The task behind a session: pings, dead peers, and whatever nobody waits for.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::{
    machine::Machine,
    runtime::{Runtime, Timer},
    shared::Shared,
};

/// The socket is looked at no less often than this, in case that whoever was woken for it has been dropped.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long the last bytes may take once the session is over: a peer that does not read them must not keep the connection.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// Ends with the connection.
pub(crate) struct Background<M: Machine, R: Runtime> {
    shared: Arc<Shared<M>>,
    timer: R::Timer,
    give_up: Option<Instant>,
}

impl<M: Machine, R: Runtime> Background<M, R> {
    pub(crate) fn spawn(shared: Arc<Shared<M>>)
    where
        R::Timer: Unpin,
    {
        R::spawn(Self { shared, timer: R::timer(), give_up: None });
    }
}

impl<M: Machine, R: Runtime<Timer: Unpin>> Future for Background<M, R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.shared.interest.wait_in_background(cx.waker());
        loop {
            let mut state = this.shared.lock();
            let now = state.now();
            if state.handles == 0 {
                state.leave();
            }
            state.pump();
            if state.is_last() && now >= *this.give_up.get_or_insert(now + LAST_BYTES) {
                state.drop_connection();
            }
            if state.is_over() {
                return Poll::Ready(());
            }
            let look = now + LOOK_EVERY;
            let deadline = state.due().into_iter().chain(this.give_up).fold(look, Instant::min);
            state.arm(Some(deadline));
            drop(state);
            match this.timer.poll_until(cx, deadline) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {
                    let mut state = this.shared.lock();
                    state.handle_timeout();
                    state.release();
                }
            }
        }
    }
}
