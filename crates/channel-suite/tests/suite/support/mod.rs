//! What the behaviours are written in: a runtime, tasks, time, pipes, and the pod that they talk to.

pub(crate) mod flavour;
pub(crate) mod pod;
pub(crate) mod tasks;
