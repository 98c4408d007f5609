//! Drives the machines of [`channel_proto`] over any async runtime.
//!
//! Applications use it through the crate of their runtime, `channel-tokio` for one, which brings a [`Runtime`](runtime::Runtime) and re-exports the rest.
//!
//! The halves of a session share its machine and its socket under one lock, and whoever waits for something drives them: reading stdout reads the
//! socket, writing stdin writes it. There is no channel between tasks, no second buffer, and no task to hop to; the background task of a
//! session only pings, and does what nobody waits for.

mod adapter;
#[cfg(feature = "async-io")]
pub mod async_io;
mod background;
mod client;
mod connect;
mod credentials;
mod endpoint;
mod error;
mod fallback;
mod forward;
#[cfg(feature = "futures-io")]
mod futures_io;
mod halves;
mod handshake;
mod http_client;
mod inbound;
mod interest;
#[cfg(any(feature = "tokio-io", feature = "futures-io"))]
mod io_traits;
#[cfg(feature = "kubeconfig")]
pub mod kubeconfig;
mod machine;
mod pages;
mod proxy;
mod read_buffer;
pub mod runtime;
mod server;
mod session;
mod shared;
mod socket;
mod state;
#[cfg(feature = "tcp")]
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
mod trace;
mod watchers;

#[doc(hidden)]
pub use channel_proto as proto;
pub use client::{Attach, Client, Exec};
pub use connect::Open;
pub use credentials::{AfterRejection, Credentials, Identity, IdentityFuture};
pub use endpoint::Endpoint;
pub use error::Error;
pub use forward::{
    Connection, Forward, ForwardServer, Listener, ListenerState, PendingConnection, PortForward,
};
#[cfg(feature = "futures-io")]
pub use futures_io::Io;
pub use halves::{EndOfStdin, Reader, Writer};
pub use http_client::{Answer, AnswerFuture, HttpClient};
pub use machine::{EndKind, Machine, Sorted};
pub use proxy::{Proxy, ProxyProblem};
pub use server::{Incoming, ServerSession, accept};
pub use session::{Output, Session};
