//! Break glass: digests that may be served for a while without an endorsement, because a person recorded a reason.
//! They are stored in a file in the store that only the gate's user can write, and the gate watches that file. An
//! unreadable file exempts nothing. Knows no rules and no signatures.

mod exemption;
mod file;
mod watched;

pub use exemption::{Exemption, LONGEST, MAX_BY, MAX_REASON, Said, Unfit};
pub use file::{ExemptionFile, ExemptionsError};
pub use watched::{Exemptions, Metrics, Reporting};

#[cfg(test)]
mod tests;
