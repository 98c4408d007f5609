//! How a client reaches a server, on tokio: TLS and proxies. The behaviours themselves know no runtime.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod certificates;
mod chopped;
mod credentials;
mod direct;
mod proxies;
mod proxy;
mod server;
mod tls;
mod tls_bytes;

/// Makes a test on tokio of each of these.
macro_rules! on_tokio {
    ($($module:ident::$case:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let case = crate::$module::$case::<channel_tokio::Tokio>();
            tokio::time::timeout(std::time::Duration::from_secs(60), case).await.expect("took too long");
        }
    )* };
}

mod on_tokio {
    crate::tls::all!(on_tokio);
    crate::tls_bytes::all!(on_tokio);
    crate::credentials::all!(on_tokio);
    crate::proxies::all!(on_tokio);
}
