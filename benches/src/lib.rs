//! What the benchmarks share: sessions over memory, and how a driver handles them.

pub mod bars;
pub mod codec;
pub mod machine;
pub mod memory;
pub mod spdy;
