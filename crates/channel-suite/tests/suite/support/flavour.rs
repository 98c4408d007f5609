//! The runtimes, each with one thread and with several where it has both.

use std::{
    future::{Future, pending},
    panic::AssertUnwindSafe,
    sync::{LazyLock, mpsc::RecvTimeoutError},
    thread,
    time::Duration,
};

use channel_driver::runtime::Runtime;
use futures::future::FutureExt;
use smol::{Executor, LocalExecutor};

/// A runtime, and how its tasks are run.
pub(crate) trait Flavour: Send + Sync + Unpin + 'static {
    type Runtime: Runtime<Timer: Unpin>;

    /// Runs a test to its end.
    fn block_on(test: impl Future<Output = ()> + Send + 'static);

    /// Runs a task of a test, in the background.
    fn spawn(task: impl Future<Output = ()> + Send + 'static);
}

/// Far more than any test takes, also on a machine that does much else.
const BOUND: Duration = Duration::from_secs(120);

/// Runs a test, for no longer than the bound. Not timed by the runtime's own timer, which may be what is broken.
pub(crate) fn run<F: Flavour>(test: impl Future<Output = ()> + Send + 'static) {
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let running = thread::spawn(move || {
        let _done = done;
        // A panic in the thread of a pool would otherwise be told to whichever test the pool's threads began with.
        let (sender, receiver) = std::sync::mpsc::channel();
        F::block_on(async move {
            let _ = sender.send(AssertUnwindSafe(test).catch_unwind().await);
        });
        if let Ok(Err(panic)) = receiver.recv() {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            panic!("{}", text.or_else(|| panic.downcast_ref().copied()).unwrap_or("it panicked"));
        }
    });
    match is_done.recv_timeout(BOUND) {
        Err(RecvTimeoutError::Timeout) => panic!("took too long"),
        _ => {
            if let Err(panic) = running.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

pub(crate) struct TokioCurrentThread;

impl Flavour for TokioCurrentThread {
    type Runtime = channel_tokio::Tokio;

    fn block_on(test: impl Future<Output = ()> + Send + 'static) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }
}

pub(crate) struct TokioManyThreads;

impl Flavour for TokioManyThreads {
    type Runtime = channel_tokio::Tokio;

    fn block_on(test: impl Future<Output = ()> + Send + 'static) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { tokio::spawn(test).await.unwrap() });
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }
}

/// Everything that a test does is done by its own thread.
pub(crate) struct SmolOneThread;

thread_local! {
    static LOCAL: LocalExecutor<'static> = const { LocalExecutor::new() };
}

impl Flavour for SmolOneThread {
    type Runtime = channel_smol::Smol;

    fn block_on(test: impl Future<Output = ()> + Send + 'static) {
        LOCAL.with(|executor| smol::block_on(executor.run(test)));
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        LOCAL.with(|executor| executor.spawn(task).detach());
    }
}

/// Everything that a test does is done by threads that it shares with others.
pub(crate) struct SmolManyThreads;

static EXECUTOR: LazyLock<&'static Executor<'static>> = LazyLock::new(|| {
    let executor: &'static Executor<'static> = Box::leak(Box::default());
    for _ in 0..3 {
        thread::spawn(|| smol::block_on(executor.run(pending::<()>())));
    }
    executor
});

impl Flavour for SmolManyThreads {
    type Runtime = channel_smol::Smol;

    fn block_on(test: impl Future<Output = ()> + Send + 'static) {
        smol::block_on(EXECUTOR.spawn(test));
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        EXECUTOR.spawn(task).detach();
    }
}

/// async-std has one pool of threads.
pub(crate) struct AsyncStdPool;

impl Flavour for AsyncStdPool {
    type Runtime = channel_async_std::AsyncStd;

    fn block_on(test: impl Future<Output = ()> + Send + 'static) {
        async_std::task::block_on(async_std::task::spawn(test));
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        async_std::task::spawn(task);
    }
}
