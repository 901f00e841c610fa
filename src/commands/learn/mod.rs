//! `countersign learn`: rules and anchors proposed from what was seen signed, as a configuration that
//! is to be read before it is used. Proposes nothing that serves what is not signed.

mod current;
mod found;
mod groups;
mod proposal;
mod repositories;

pub use current::Current;
pub use found::look;
pub use proposal::propose;
pub use repositories::{Repositories, Repository, Requirement};

#[cfg(test)]
mod tests;
