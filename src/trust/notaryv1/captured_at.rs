//! The proof of when trust data was fetched and verified, and how long it counts. Pure.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::trust::refusal::{Reason, Refusal, Restriction};
use crate::trust::restrictions::days;
use crate::trust::signing_time::is_ahead;

use super::frozen::FrozenFile;

/// Why there is no proof of when the files were fetched: a clause for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotProven(pub(super) String);

/// The proof of when trust data was fetched and verified. Created only from a statement that a pinned exporter signed
/// ([`Exporters`](super::Exporters)), or for a file with the pinned SHA-256 ([`FrozenFile`]). Other modules cannot create one:
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
    /// The SHA-256 of the file, which the configuration names. The archive does not change any more.
    Frozen,
}

impl CapturedAt {
    /// The capture that `key` states. Only `Exporters` verifies such statements.
    pub(super) fn stated(at: Timestamp, key: String, max_age: Duration) -> Self {
        Self { at, ends: at.plus(max_age), witness: Witness::Exporter { key, max_age } }
    }

    /// A capture in a frozen archive, which ends at `until`.
    pub(super) fn frozen(_: &FrozenFile, at: Timestamp, until: Timestamp) -> Self {
        Self { at, ends: until, witness: Witness::Frozen }
    }

    /// When the files were fetched and verified.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// When the proof ends: it replaces the expiry of the timestamp until then.
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }

    /// When an exporter's statement ends. `None` for a frozen archive, which no statement extends.
    pub(super) fn statement_ends(&self) -> Option<Timestamp> {
        match self.witness {
            Witness::Exporter { .. } => Some(self.ends),
            Witness::Frozen => None,
        }
    }

    /// When the frozen archive ends; `None` for an exporter's statement.
    pub(super) fn frozen_until(&self) -> Option<Timestamp> {
        match self.witness {
            Witness::Exporter { .. } => None,
            Witness::Frozen => Some(self.ends),
        }
    }

    pub const fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Refuses a proof from the future, and one that has ended at `now`.
    pub(super) fn in_force(&self, now: Timestamp) -> Result<(), Refusal> {
        if is_ahead(self.at, now) {
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
            Witness::Frozen => {
                let because =
                    format!("the archive is frozen and ended at {:#} (`until`)", self.ends);
                Refusal::new(Reason::Expired, because)
            }
        })
    }
}

impl fmt::Display for NotProven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When and how, for people: `at T, as the exporter KEY states; this replaces the expiry of the timestamp until E`, or the time
/// and the end of a frozen archive.
impl fmt::Display for CapturedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, ends, witness } = self;
        match witness {
            Witness::Exporter { key, .. } => write!(
                f,
                "at {at:#}, as the exporter {key} states; this replaces the expiry of the timestamp until {ends:#}"
            ),
            Witness::Frozen => {
                write!(f, "FROZEN since {at:#}: newer signatures are unknown; ends {ends:#}")
            }
        }
    }
}
