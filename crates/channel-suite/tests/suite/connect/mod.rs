//! How a client reaches a server: TLS, credentials and proxies, on every runtime. The behaviours themselves know none.

mod certificates;
mod chopped;
mod credentials;
mod direct;
mod proxies;
mod proxy;
mod server;
mod tls;
mod tls_bytes;

/// Makes a test on each runtime of each of these.
macro_rules! on_every_runtime {
    ($($module:ident::$case:ident)*) => { $(
        mod $case {
            on_every_runtime!(@one tokio_current_thread, TokioCurrentThread, $module::$case);
            on_every_runtime!(@one tokio_many_threads, TokioManyThreads, $module::$case);
            on_every_runtime!(@one smol_one_thread, SmolOneThread, $module::$case);
            on_every_runtime!(@one smol_many_threads, SmolManyThreads, $module::$case);
            on_every_runtime!(@one async_std, AsyncStdPool, $module::$case);
        }
    )* };
    (@one $name:ident, $flavour:ident, $module:ident::$case:ident) => {
        #[test]
        fn $name() {
            use crate::support::flavour::*;
            run::<$flavour>(crate::connect::$module::$case::<<$flavour as Flavour>::Runtime>());
        }
    };
}

mod on_every_runtime {
    crate::connect::tls::all!(on_every_runtime);
    crate::connect::tls_bytes::all!(on_every_runtime);
    crate::connect::credentials::all!(on_every_runtime);
    crate::connect::proxies::all!(on_every_runtime);
}
