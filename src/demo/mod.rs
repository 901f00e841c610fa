//! The parts of `countersign demo`: servers in this process, over memory, for the gate to stand before.
//! The tests use them too. Nothing here is for production.

mod registry;

pub use registry::MemoryRegistry;
