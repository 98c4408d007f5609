//! What the behaviours are written in: a runtime, tasks, time, streams, the pod that they talk to, and the entries of a session.

pub(crate) mod counted;
pub(crate) mod entry;
pub(crate) mod flavour;
pub(crate) mod messages;
pub(crate) mod pod;
pub(crate) mod relay;
pub(crate) mod streams;
pub(crate) mod tasks;
