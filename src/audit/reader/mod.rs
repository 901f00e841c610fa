//! Reads the pulls from audit logs: line by line, one entry per image, within limits. Knows the fields of an audit
//! event, and no configuration.

mod line;
mod pulls;
mod read;

pub use line::{Line, MESSAGE, Pull, TARGET};
pub use pulls::{Image, PullSummary, Pulls};
pub use read::{MAX_LINE, Tally, read};

#[cfg(test)]
mod tests;
