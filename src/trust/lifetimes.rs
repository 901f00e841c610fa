//! For how long what was found is used, in the words that anchors of every scheme share. Knows not what
//! was found.

use std::time::Duration;

use crate::toml_reader::Section;

const DEFAULT_REFRESH: Duration = Duration::from_secs(5 * 60);
const DEFAULT_MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an answer is waited for where an earlier one may be used instead. Clients wait 20 to 30 seconds, and one
/// decision waits for a registry at most twice: for the digest of a tag, and for signatures.
pub const SILENCE: Duration = Duration::from_secs(5);
/// How long what could not be found out is left alone.
const OPEN: Duration = Duration::from_secs(5);

/// How long an answer may be used, in the face of servers that answer, and that do not.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Before it is asked for again.
    pub refresh: Duration,
    /// While nobody answers.
    pub max_stale: Duration,
}

impl Lifetimes {
    /// Reads the two keys of an `[[anchor]]`.
    pub fn read(section: &Section<'_>) -> Self {
        Self {
            refresh: section.duration("refresh").unwrap_or(DEFAULT_REFRESH),
            max_stale: section.duration("max_stale").unwrap_or(DEFAULT_MAX_STALE),
        }
    }

    /// The shorter ones of both.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            refresh: self.refresh.min(other.refresh),
            max_stale: self.max_stale.min(other.max_stale),
        }
    }

    /// How long servers that did not answer are left alone.
    pub fn patience(self) -> Duration {
        self.refresh.min(OPEN)
    }
}
