//! A runtime whose tasks are counted.

use std::{
    any::TypeId, collections::BTreeMap, future::Future, io, marker::PhantomData, net::SocketAddr,
    sync::Mutex, time::Instant,
};

use channel_driver::runtime::Runtime;

use super::flavour::Flavour;

/// That of a flavour, for the one test that counts `Here`.
pub(crate) struct Counted<F, Here>(PhantomData<fn() -> (F, Here)>);

static TASKS: Mutex<BTreeMap<TypeId, usize>> = Mutex::new(BTreeMap::new());

/// How many there are.
pub(crate) fn tasks<F: Flavour, Here: 'static>() -> usize {
    TASKS.lock().unwrap().get(&TypeId::of::<(F, Here)>()).copied().unwrap_or(0)
}

/// Counts a task until it is dropped.
struct Count(TypeId);

impl Count {
    fn new(of: TypeId) -> Self {
        *TASKS.lock().unwrap().entry(of).or_default() += 1;
        Self(of)
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        *TASKS.lock().unwrap().entry(self.0).or_default() -= 1;
    }
}

impl<F: Flavour, Here: 'static> Runtime for Counted<F, Here> {
    type Stream = <F::Runtime as Runtime>::Stream;
    type Timer = <F::Runtime as Runtime>::Timer;
    type Listener = <F::Runtime as Runtime>::Listener;

    fn now() -> Instant {
        <F::Runtime as Runtime>::now()
    }

    fn timer() -> <F::Runtime as Runtime>::Timer {
        <F::Runtime as Runtime>::timer()
    }

    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        let count = Count::new(TypeId::of::<(F, Here)>());
        <F::Runtime as Runtime>::spawn(async move {
            let _count = count;
            future.await;
        });
    }

    fn listen(
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<<F::Runtime as Runtime>::Listener>> + Send {
        <F::Runtime as Runtime>::listen(address)
    }

    fn break_off(stream: &<F::Runtime as Runtime>::Stream) {
        <F::Runtime as Runtime>::break_off(stream);
    }

    fn connect(
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<<F::Runtime as Runtime>::Stream>> + Send {
        <F::Runtime as Runtime>::connect(host, port)
    }
}
