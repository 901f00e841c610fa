//! How long the results of an anchor are used: the keys that anchors of every scheme share.

use std::time::Duration;

use crate::toml_reader::Section;

const DEFAULT_REFRESH: Duration = Duration::from_secs(5 * 60);
const DEFAULT_MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long to wait for a server if an earlier answer may be used instead. Clients wait 20 to 30 seconds, and one decision
/// waits for a registry at most twice: for the digest of a tag, and for signatures.
pub const SILENCE: Duration = Duration::from_secs(5);
/// The longest pause before a server that did not answer is queried again.
const OPEN: Duration = Duration::from_secs(5);

/// How long an answer may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// The age at which it is fetched again.
    pub refresh: Duration,
    /// The age up to which it is used while the server does not answer.
    pub max_stale: Duration,
}

impl Lifetimes {
    /// Reads the keys `refresh` and `max_stale` of an `[[anchor]]`.
    pub fn read(section: &Section<'_>) -> Self {
        Self::read_or(section, DEFAULT_REFRESH)
    }

    /// Reads the same keys of a section with another default of `refresh`.
    pub fn read_or(section: &Section<'_>, refresh: Duration) -> Self {
        Self {
            refresh: section.duration("refresh").unwrap_or(refresh),
            max_stale: section.duration("max_stale").unwrap_or(DEFAULT_MAX_STALE),
        }
    }

    /// The shorter of each lifetime.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            refresh: self.refresh.min(other.refresh),
            max_stale: self.max_stale.min(other.max_stale),
        }
    }

    /// The pause before a server that did not answer is queried again.
    pub fn patience(self) -> Duration {
        self.refresh.min(OPEN)
    }
}
