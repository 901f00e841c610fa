//! The key `artifacts` of a rule: which artifacts come with the images that it admits.

use super::word::word;
use crate::toml_reader::Section;

/// Which artifacts about an admitted image are served without an endorsement of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Artifacts {
    /// The signatures, attestations and SBOMs whose types the gate lists.
    #[default]
    Listed,
    /// Artifacts of any type, except those that an engine could treat as an image.
    All,
}

impl Artifacts {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let words = [("listed", Self::Listed), ("all", Self::All)];
        word(section, "artifacts", words).unwrap_or_default()
    }

    /// The addition to the summary of a rule.
    pub(super) const fn summary(self) -> &'static str {
        match self {
            Self::Listed => "",
            Self::All => "; UNSIGNED ARTIFACTS OF ANY TYPE are served with it",
        }
    }
}
