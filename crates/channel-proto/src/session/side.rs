//! What differs between the two ends of a session.

/// The part of a session that differs between client and server: [`Client`](super::Client) or [`Server`](super::Server). Sealed.
pub trait Side: sealed::Side<Tells = <Self as Side>::Event> {
    /// What its sessions tell the application: [`ClientEvent`](super::ClientEvent) or [`ServerEvent`](super::ServerEvent).
    type Event: Send + 'static;
}

pub(crate) mod sealed {
    use bytes::Bytes;

    use crate::{error::ErrorKind, outcome::CloseReason, websocket::Role};

    /// What something that came from the peer amounts to.
    #[derive(Debug)]
    pub enum Taken<E> {
        Event(E),
        /// It was of use, but the application need not hear of it yet.
        Silent,
        /// It was of no use to anybody.
        Free,
        /// It was the status.
        Concluded,
    }

    pub trait Side {
        type Tells: Send + 'static;
        const ROLE: Role;
        const WRITABLE: Self::Tells;

        fn data(&mut self, channel: u8, payload: Bytes, end: bool) -> Result<Taken<Self::Tells>, ErrorKind>;

        /// An output that comes from the peer; a client's.
        type Output;

        /// What payload on this channel is for, if it is always an event and nothing more.
        fn output(channel: u8) -> Option<Self::Output>;
        fn output_event(output: Self::Output, payload: Bytes) -> Self::Tells;

        fn bare(&mut self, channel: u8) -> Taken<Self::Tells>;
        fn channel_closed(&mut self, channel: u8) -> Taken<Self::Tells>;
        fn ended(&mut self, close: Option<CloseReason>) -> Self::Tells;

        /// Whether something waits for room to be sent.
        fn is_deferring(&self) -> bool;

        /// What waited for room.
        fn deferred(&mut self) -> Option<(u8, Bytes)>;
    }
}

impl<S: sealed::Side> Side for S {
    type Event = S::Tells;
}
