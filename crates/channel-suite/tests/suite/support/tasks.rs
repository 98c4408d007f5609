//! Tasks and time, on any runtime.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use channel_driver::runtime::{Runtime, Timer};
use futures::channel::oneshot;

use super::flavour::Flavour;

/// A task whose result can be waited for.
pub(crate) struct Task<T> {
    result: oneshot::Receiver<T>,
    finished: Arc<AtomicBool>,
}

impl<T> Task<T> {
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.result).poll(cx).map(|result| result.expect("a task of the test panicked"))
    }
}

pub(crate) fn spawn<F: Flavour, T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    let (sender, result) = oneshot::channel();
    let finished = Arc::new(AtomicBool::new(false));
    let finishing = finished.clone();
    F::spawn(async move {
        let done = task.await;
        finishing.store(true, Ordering::Release);
        let _ = sender.send(done);
    });
    Task { result, finished }
}

pub(crate) async fn sleep<F: Flavour>(length: Duration) {
    let until = F::Runtime::now() + length;
    let mut timer = F::Runtime::timer();
    poll_fn(|cx| timer.poll_until(cx, until)).await;
}

/// What the future gives, if it does so in time.
pub(crate) async fn timeout<F: Flavour, T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let until = F::Runtime::now() + limit;
    let mut timer = F::Runtime::timer();
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => timer.poll_until(cx, until).map(|()| None),
    })
    .await
}

pub(crate) async fn until<F: Flavour>(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        sleep::<F>(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}
