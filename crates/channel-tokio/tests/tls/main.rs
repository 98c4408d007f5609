//! TLS on tokio. The behaviours themselves know no runtime.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod cases;
mod certificates;
mod chopped;
mod server;

use std::time::Duration;

use channel_tokio::Tokio;

macro_rules! on_tokio {
    ($($case:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let case = cases::$case::<Tokio>();
            tokio::time::timeout(Duration::from_secs(60), case).await.expect("took too long");
        }
    )* };
}

cases::all!(on_tokio);
