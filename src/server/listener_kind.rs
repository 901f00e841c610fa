//! To which listener a request came. What is admitted is the same on both; only what a client gets
//! instead of a manifest depends on it.

use std::fmt;

use http::HeaderMap;

/// Whom a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Clients that name the gate, or have no other place to ask: a denial is an error.
    Clients,
    /// Clients for which the gate is a mirror that they leave after any error: a denial is made to stick.
    Mirror(Scheme),
}

/// How clients reach a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl ListenerKind {
    /// The word by which it is recorded; none for the usual one.
    pub(super) const fn recorded(self) -> Option<&'static str> {
        match self {
            Self::Clients => None,
            Self::Mirror(_) => Some("mirror"),
        }
    }
}

impl Scheme {
    /// The scheme that the client of a request with these headers used: a proxy before the listener may end TLS.
    pub(super) fn seen_by(self, headers: &HeaderMap) -> Self {
        let forwarded = headers.get("x-forwarded-proto").map(|value| value.as_bytes());
        if forwarded == Some(b"https") { Self::Https } else { self }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}
