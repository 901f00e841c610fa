//! Break-glass: digests that may be served for a while though nobody vouches for them, because a person
//! said so, and why. They stand in a file below the store that only the gate's user can write; a gate
//! watches it. What cannot be read exempts nothing. Knows no rule and no signature.

mod exemption;
mod file;
mod watched;

pub use exemption::{Exemption, LONGEST, MAX_BY, MAX_REASON, Said, Unfit};
pub use file::{ExemptionFile, ExemptionsError};
pub use watched::{Exemptions, Metrics, Telling};

#[cfg(test)]
mod tests;
