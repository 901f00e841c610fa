//! `countersign learn`: proposes rules and anchors from recorded pulls, as a configuration that people review before
//! they use it. Proposes no rule that serves unsigned images.

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
