//! Files that are whole or not there at all.

pub mod atomic;
