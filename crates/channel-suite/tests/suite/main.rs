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

/// Makes a function a test for each runtime and each number of threads; and, if it is for each entry or each carrier of a forward, for each of these.
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
            mod spdy {
                crate::on_every_runtime!(@all super::super::$test, [, crate::support::entry::Spdy]);
            }
            mod messages {
                crate::on_every_runtime!(@all super::super::$test, [, crate::support::entry::Messages]);
            }
        }
    };
    ($test:ident each carrier) => {
        mod $test {
            mod tunnel {
                crate::on_every_runtime!(@all super::super::$test, [, crate::forward::carrier::Tunnel]);
            }
            mod raw_spdy {
                crate::on_every_runtime!(@all super::super::$test, [, crate::forward::carrier::RawSpdy]);
            }
        }
    };
    (@all $test:path, $parameter:tt) => {
        use $test as test;

        use crate::{on_every_runtime, support::flavour::*};

        on_every_runtime!(@one tokio_current_thread, TokioCurrentThread, $parameter);
        on_every_runtime!(@one tokio_many_threads, TokioManyThreads, $parameter);
        on_every_runtime!(@one smol_one_thread, SmolOneThread, $parameter);
        on_every_runtime!(@one smol_many_threads, SmolManyThreads, $parameter);
        on_every_runtime!(@one async_std, AsyncStdPool, $parameter);
    };
    (@one $name:ident, $flavour:ident, [$($parameter:tt)*]) => {
        #[test]
        fn $name() {
            run::<$flavour>(test::<$flavour $($parameter)*>());
        }
    };
}
use on_every_runtime;
