//! What looking for signatures gives: what was found, where it was looked, and where it could not be
//! looked. Three things that no caller can take for one another.

use std::fmt;

use thiserror::Error;

use super::limit::Limit;
use crate::pull_through::FetchError;
use crate::trust::Candidate;

/// The most characters that are shown of what a registry, or whoever wrote to it, says.
const MAX_SHOWN: usize = 255;

/// A text that others may have had a hand in, as people may see it.
pub(super) fn shown(text: &str) -> String {
    crate::text::shown(text, MAX_SHOWN)
}

/// All that a search gave.
#[derive(Clone, Debug, Default)]
#[cfg(feature = "test-support")]
pub struct Located {
    /// Held against the digests that name them, and not yet believed.
    pub candidates: Vec<Candidate>,
    pub looked: Vec<Looked>,
    /// None, and no candidate either: there is no signature.
    pub unread: Vec<Unread>,
}

/// A place that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// For people: `registry.example.com/library/app:sha256-….sig`.
    pub place: String,
    pub found: Found,
}

/// What was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing of the kind that is looked for, and so many others.
    Nothing { others: usize },
    /// So many that may be signatures. Of a list, each is opened, and told of by itself if it is none.
    Signatures(usize),
    /// Something that nobody said was a signature, and is none.
    Other(String),
    /// Something that is not what it says, or what its place says, and why.
    Unfit(String),
    /// Something is named there that the registry does not have: what a copy left behind, for one.
    Missing(String),
    /// The registry cannot have signatures there.
    Cannot(String),
}

/// A place that could not be read, so that nobody knows what is there.
#[derive(Clone, Debug)]
pub struct Unread {
    pub place: String,
    pub why: Why,
}

/// Why a place could not be read.
#[derive(Clone, Debug, Error)]
pub enum Why {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Limit(#[from] Limit),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing { others: 0 } => f.write_str("nothing"),
            Self::Nothing { others } => write!(f, "nothing of this kind, and {others} others"),
            Self::Signatures(1) => f.write_str("1 signature"),
            Self::Signatures(count) => write!(f, "{count} signatures"),
            Self::Other(what) => write!(f, "something else: {what}"),
            Self::Unfit(why) => write!(f, "not what it says: {why}"),
            Self::Missing(what) => write!(f, "{what} is named there, and is not there"),
            Self::Cannot(why) => write!(f, "cannot be there: {why}"),
        }
    }
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.found)
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, shown(&self.why.to_string()))
    }
}
