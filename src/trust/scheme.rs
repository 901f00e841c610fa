//! The signing schemes.

use std::fmt;

/// A signing scheme. Each has its own module under `trust`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Docker Content Trust: Notary v1's variant of TUF.
    NotaryV1,
    /// Sigstore's cosign.
    Cosign,
    /// The Notary Project's notation.
    Notation,
}

impl Scheme {
    /// All schemes, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::NotaryV1, Self::Cosign, Self::Notation];

    /// The scheme with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == name)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotaryV1 => "notaryv1",
            Self::Cosign => "cosign",
            Self::Notation => "notation",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
