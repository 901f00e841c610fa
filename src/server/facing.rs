//! To which listener a request came. What is admitted is the same on both; only what a client gets
//! instead of a manifest depends on it.

/// Whom a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facing {
    /// Clients that name the gate, or have no other place to ask: a denial is an error.
    Clients,
    /// Clients for which the gate is a mirror that they leave after any error: a denial is made to stick.
    Mirror,
}

impl Facing {
    /// The word by which it is recorded; none for the usual one.
    pub(super) const fn recorded(self) -> Option<&'static str> {
        match self {
            Self::Clients => None,
            Self::Mirror => Some("mirror"),
        }
    }
}
