//! What the crate of a runtime re-exports: the same for all of them.

/// The public names of an adapter: `adapter!(Runtime, "what AsyncRead and AsyncWrite are")`. Called in the root of its crate.
#[macro_export]
#[doc(hidden)]
macro_rules! adapter {
    ($runtime:ty) => {
        #[cfg(feature = "kubeconfig")]
        pub use $crate::kubeconfig;
        pub use $crate::proto::{
            BearerToken, CloseReason, HeartbeatConfig, Limits, Outcome, PodRequest, SessionConfig, Status,
            Streams, Subprotocol, TerminalSize, Transport, upgrade::Fallback,
        };
        pub use $crate::runtime::Transport as ByteStream;
        #[cfg(feature = "tls")]
        pub use $crate::tls;
        pub use $crate::{
            AfterRejection, Answer, AnswerFuture, Connection, Credentials, EndOfStdin, Endpoint, Error,
            HttpClient, Identity, IdentityFuture, Listener, ListenerState, Open, Output, Proxy, ProxyProblem,
            Session,
        };

        /// A client of one API server.
        pub type Client = $crate::Client<$runtime>;
        /// A command to run in a pod.
        pub type Exec = $crate::Exec<$runtime>;
        /// An attachment to the main process of a pod.
        pub type Attach = $crate::Attach<$runtime>;
        /// A port-forward to a pod.
        pub type Forward = $crate::Forward<$runtime>;
        /// A port-forward that is about to start.
        pub type PortForward = $crate::PortForward<$runtime>;
        /// A command's stdin. Closing it ends it.
        pub type Stdin = $crate::Writer<$crate::proto::ClientSession>;
        /// A command's stdout or stderr.
        pub type Stdout = $crate::Reader<$crate::proto::ClientSession>;

        /// The server's side.
        pub mod server {
            pub use $crate::{ForwardServer, Incoming, PendingConnection, ServerSession, accept};

            /// What the client sends to a command.
            pub type Stdin = $crate::Reader<$crate::proto::ServerSession>;
            /// What a command sends to the client.
            pub type Stdout = $crate::Writer<$crate::proto::ServerSession>;
        }
    };
}
