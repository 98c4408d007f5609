//! The HTTP/1.1 request and the 101 answer that begin a session, for both ends, and the answers that refuse it.
//!
//! A client: [`UpgradeRequest`] says what to ask for, and over which [`Transport`](crate::Transport); [`ClientUpgrade`]
//! asks and judges the answer, which is [`Upgraded`] or a [`Refusal`]. A server: [`ServerUpgrade`] reads the request;
//! [`Incoming::accept`], [`accept_spdy`](Incoming::accept_spdy) and [`accept_port_forward`](Incoming::accept_port_forward)
//! judge it; [`refuse`], [`refuse_with`] and [`respond`] write every other answer.
//!
//! What follows a head, the first frames perhaps, stays in the caller's buffer.

mod accept;
mod body;
mod client;
mod head;
mod key;
mod offer;
mod refusal;
mod respond;
mod server;

pub use self::{
    accept::Accepted,
    body::BodyEnd,
    client::{ClientUpgrade, UpgradeError, Upgraded},
    offer::{BearerIn, UpgradeRequest},
    refusal::{Fallback, Refusal},
    respond::{ContentType, refuse, refuse_with, respond},
    server::{Incoming, InvalidBearer, ServerUpgrade},
};
