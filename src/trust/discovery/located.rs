//! The result of a search for signatures: which were found, which places were searched, and which places could not be
//! read. Three separate types, so that no caller confuses them.

use std::fmt;

use thiserror::Error;

use super::limit::Limit;
use crate::pull_through::FetchError;
use crate::trust::Candidate;

/// The most characters shown of a text from a registry.
const MAX_SHOWN: usize = 255;

/// Untrusted text, made safe to show.
pub(super) fn shown(text: &str) -> String {
    crate::text::shown(text, MAX_SHOWN)
}

/// The complete result of a search.
#[derive(Clone, Debug, Default)]
#[cfg(feature = "test-support")]
pub struct Located {
    /// They match their digests, but are not verified.
    pub candidates: Vec<Candidate>,
    pub looked: Vec<Looked>,
    /// If this and `candidates` are empty, there is no signature.
    pub unread: Vec<Unread>,
}

/// A place that was searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// For display: `registry.example.com/library/app:sha256-….sig`.
    pub place: String,
    pub found: Found,
}

/// What was found in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No signature of the requested kind, and this number of other entries.
    Nothing { others: usize },
    /// This number of possible signatures. Each entry of a list is opened; one that is not a signature is reported
    /// separately.
    Signatures(usize),
    /// Content that does not claim to be a signature, and is not one.
    Other(String),
    /// Content that contradicts its descriptor or its place, and how.
    Unfit(String),
    /// An entry whose content the registry does not have, for example after an incomplete copy.
    Missing(String),
    /// The registry cannot have signatures there.
    Cannot(String),
}

/// A place that could not be read, so its content is unknown.
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

impl Why {
    /// Whether the content exceeds a limit of this program, so that asking again does not help.
    pub fn is_limit(&self) -> bool {
        match self {
            Self::Limit(_) => true,
            Self::Fetch(error) => error.exceeds_limit(),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing { others: 0 } => f.write_str("nothing"),
            Self::Nothing { others } => {
                write!(f, "no signature of this kind among {others} entries")
            }
            Self::Signatures(1) => f.write_str("1 signature"),
            Self::Signatures(count) => write!(f, "{count} signatures"),
            Self::Other(what) => write!(f, "not a signature: {what}"),
            Self::Unfit(why) => write!(f, "unusable: {why}"),
            Self::Missing(what) => write!(f, "{what} is listed but does not exist"),
            Self::Cannot(why) => write!(f, "not possible here: {why}"),
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
