//! A client's and a server's session beside each other, without a network: on a clock that only the test moves, over
//! wires that cut and delay what they carry as a seed says. One behaviour per module; each test runs over every entry that has
//! the behaviour: the bytes of a WebSocket, whole messages, and the streams of a SPDY connection.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

mod harness;

mod backpressure;
mod echo;
mod endings;
mod half_close;
mod heartbeat;
mod linger;
mod outputs;
mod resize;
mod status;
