//! The proof of when trust data was fetched and verified, and how long it counts. Pure.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::trust::refusal::{Reason, Refusal, Restriction};
use crate::trust::restrictions::days;

/// How far in the future a capture may be: the clocks of two machines differ.
pub const MAX_SKEW: Duration = Duration::from_secs(5 * 60);

/// Why there is no proof of when the files were fetched: a clause for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotProven(pub(super) String);

/// The proof of when trust data was fetched and verified. Created only from a statement that a pinned exporter signed
/// ([`Exporters`]). Other modules cannot create one:
///
/// ```compile_fail,E0451
/// use countersign::clock::Timestamp;
/// use countersign::trust::notaryv1::{CapturedAt, Witness};
/// fn invented(at: Timestamp, ends: Timestamp, witness: Witness) -> CapturedAt {
///     CapturedAt { at, ends, witness }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedAt {
    at: Timestamp,
    ends: Timestamp,
    witness: Witness,
}

/// What proves the time of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// The statement of the exporter whose key has this id, the SHA-256 of its SubjectPublicKeyInfo in hex. It counts for
    /// `max_age`.
    Exporter { key: String, max_age: Duration },
}

impl CapturedAt {
    /// The capture that `key` states. Only [`Exporters`] verifies such statements.
    pub(super) fn stated(at: Timestamp, key: String, max_age: Duration) -> Self {
        Self { at, ends: at.plus(max_age), witness: Witness::Exporter { key, max_age } }
    }

    /// When the files were fetched and verified.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// When the proof ends: it replaces the expiry of the timestamp until then.
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }

    #[cfg(feature = "test-support")]
    pub const fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Refuses a proof from the future, and one that has ended at `now`.
    pub(super) fn in_force(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.at > now.plus(MAX_SKEW) {
            let because = format!(
                "the trust data was captured at {:#}, which is in the future; check the clocks of this machine and of \
                 the exporter",
                self.at
            );
            return Err(Refusal::new(Reason::Expired, because));
        }
        if self.ends >= now {
            return Ok(());
        }
        Err(match &self.witness {
            Witness::Exporter { max_age, .. } => {
                let because = format!(
                    "the trust data was captured at {:#}, more than {} ago (`max_age`)",
                    self.at,
                    days(*max_age)
                );
                Refusal::new(Reason::Expired, because).by(Restriction::MaxAge)
            }
        })
    }
}

impl fmt::Display for NotProven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
