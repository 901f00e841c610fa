//! One exemption: a digest of one repository that may be served for a while without an endorsement. Pure; knows
//! neither the file nor the current time.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::clock::Timestamp;
use crate::oci::{Digest, RepositoryRef};

/// The longest duration of an exemption.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The shortest duration; anything less is a mistake.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest reason, in bytes.
pub const MAX_REASON: usize = 500;
/// The longest name in `by`, in bytes.
pub const MAX_BY: usize = 100;

/// A person's recorded decision that one digest of one repository may be served until a given time.
///
/// The field is private and the constructor is visible only to `exemptions`, so every value was read from the file
/// that only the gate's user can write. Cheap to clone. Other modules cannot create one:
///
/// ```compile_fail,E0624
/// use countersign::exemptions::{Exemption, Said};
/// fn forge(said: Said) {
///     let _ = Exemption::new(said);
/// }
/// ```
///
/// ```compile_fail,E0423
/// use countersign::exemptions::{Exemption, Said};
/// fn forge(said: Said) -> Exemption {
///     Exemption(std::sync::Arc::new(said))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemption(Arc<Said>);

/// The content of an exemption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub repository: RepositoryRef,
    pub digest: Digest,
    /// Why, in the words of the person who made it.
    pub reason: String,
    /// Who made it.
    pub by: String,
    pub made: Timestamp,
    /// The exemption ends at this instant.
    pub until: Timestamp,
}

/// Why an exemption is invalid.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unfit {
    #[error("--reason must not be empty")]
    NoReason,
    #[error("the {0} is longer than {1} bytes or contains control characters")]
    Text(&'static str, usize),
    #[error("--for must be from one second to {} days", LONGEST.as_secs() / 86_400)]
    Length,
}

impl Exemption {
    /// An exemption with that content, if it is valid.
    pub(super) fn new(said: Said) -> Result<Self, Unfit> {
        let is_text = |text: &str, most| text.len() <= most && !text.contains(char::is_control);
        if said.reason.trim().is_empty() {
            return Err(Unfit::NoReason);
        }
        if !is_text(&said.reason, MAX_REASON) {
            return Err(Unfit::Text("reason", MAX_REASON));
        }
        if said.by.is_empty() || !is_text(&said.by, MAX_BY) {
            return Err(Unfit::Text("name of the person", MAX_BY));
        }
        let length = said.until.since(said.made);
        if length < SHORTEST || length > LONGEST {
            return Err(Unfit::Length);
        }
        Ok(Self(Arc::new(said)))
    }

    pub fn says(&self) -> &Said {
        &self.0
    }

    /// Whether it is in force at `now`. If the clock was set back to before it was made, it is not.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.0.made <= now && now < self.0.until
    }

    /// Whether it exempts that digest in that repository.
    pub fn is_of(&self, repository: &RepositoryRef, digest: &Digest) -> bool {
        self.is_in(repository) && self.0.digest == *digest
    }

    /// Whether it exempts a digest of that repository.
    pub fn is_in(&self, repository: &RepositoryRef) -> bool {
        self.0.repository == *repository
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Said {
        Said {
            repository: "r.example/app".parse().unwrap(),
            digest: Digest::of(b"one"),
            reason: "the signer is on holiday".to_owned(),
            by: "alice (uid 1000)".to_owned(),
            made: Timestamp::from_unix(100),
            until: Timestamp::from_unix(200),
        }
    }

    #[test]
    fn it_is_in_force_from_when_it_was_made_until_it_ends() {
        let exemption = Exemption::new(said()).unwrap();
        let holds = |at| exemption.is_in_force(Timestamp::from_unix(at));
        assert_eq!([99, 100, 199, 200, 201].map(holds), [false, true, true, false, false]);
    }

    #[test]
    fn it_exempts_one_digest_of_one_repository_of_one_registry() {
        let exemption = Exemption::new(said()).unwrap();
        let is_of = |registry: &str, repository: &str, content: &[u8]| {
            let repository = format!("{registry}/{repository}").parse().unwrap();
            exemption.is_of(&repository, &Digest::of(content))
        };
        assert!(is_of("r.example", "app", b"one"));
        assert!(!is_of("r.example", "app", b"two"));
        assert!(!is_of("r.example", "other/app", b"one"));
        assert!(!is_of("other.example", "app", b"one"));
    }

    #[test]
    fn an_exemption_needs_a_reason_and_a_limited_duration() {
        let new = |change: &dyn Fn(&mut Said)| {
            let mut said = said();
            change(&mut said);
            Exemption::new(said).map(drop)
        };
        let lasts =
            |seconds: u64| new(&|said| said.until = said.made.plus(Duration::from_secs(seconds)));
        assert_eq!(new(&|said| said.reason = " ".to_owned()), Err(Unfit::NoReason));
        assert!(new(&|said| said.reason = "x".repeat(MAX_REASON + 1)).is_err());
        assert!(new(&|said| said.reason = "a\nb".to_owned()).is_err());
        assert!(new(&|said| said.by = String::new()).is_err());
        assert_eq!(lasts(LONGEST.as_secs()), Ok(()));
        assert_eq!(lasts(LONGEST.as_secs() + 1), Err(Unfit::Length));
        assert_eq!(lasts(0), Err(Unfit::Length));
        assert_eq!(new(&|said| said.until = Timestamp::from_unix(1)), Err(Unfit::Length));
    }
}
