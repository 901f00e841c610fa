//! Admit or deny.

pub mod denial;

pub use denial::{Denial, Denied, Doubt, Undecided};
