//! How sessions behave, written once, and run on every runtime.
//!
//! What only tokio has, time that stands still and its own I/O traits, is tested in `channel-tokio`.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod backpressure;
mod cancel;
mod carry;
mod connect;
mod exec;
mod forward;
mod runtime;
mod server;
mod support;

/// Makes a function a test for each runtime and each number of threads; and, if it is for each entry, for each of these.
macro_rules! on_every_runtime {
    ($test:ident) => {
        mod $test {
            crate::on_every_runtime!(@all super::$test, []);
        }
    };
    ($test:ident each entry) => {
        mod $test {
            mod bytes {
                crate::on_every_runtime!(@all super::super::$test, [, crate::support::entry::Bytes]);
            }
            mod messages {
                crate::on_every_runtime!(@all super::super::$test, [, crate::support::entry::Messages]);
            }
        }
    };
    (@all $test:path, $entry:tt) => {
        use $test as test;

        use crate::{on_every_runtime, support::flavour::*};

        on_every_runtime!(@one tokio_current_thread, TokioCurrentThread, $entry);
        on_every_runtime!(@one tokio_many_threads, TokioManyThreads, $entry);
        on_every_runtime!(@one smol_one_thread, SmolOneThread, $entry);
        on_every_runtime!(@one smol_many_threads, SmolManyThreads, $entry);
        on_every_runtime!(@one async_std, AsyncStdPool, $entry);
    };
    (@one $name:ident, $flavour:ident, [$($entry:tt)*]) => {
        #[test]
        fn $name() {
            run::<$flavour>(test::<$flavour $($entry)*>());
        }
    };
}
use on_every_runtime;
