//! What audit logs say of pulls: read line by line, each image once, within ceilings. Knows the names of an
//! audit event's fields, and of no configuration.

mod line;
mod pulls;
mod read;

pub use line::{Line, MESSAGE, Pull, TARGET, Verdict};
pub use pulls::{Image, PullSummary, Pulls};
pub use read::{MAX_LINE, Tally, read};

#[cfg(test)]
mod tests;
