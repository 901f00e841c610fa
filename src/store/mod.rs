//! Files that are whole or not there at all, in a folder that one process owns.

pub mod atomic;
mod config;
mod lock;

pub use config::Config;
pub use lock::{LockError, StoreLock};
