//! Which listener a request arrived on. Both admit the same content; they differ only in the response to a denied
//! request.

use std::fmt;

use http::HeaderMap;

/// The clients that a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Clients that name the gate or have no fallback: a denial is an error.
    Clients,
    /// Clients that use the gate as a mirror and fall back after any error: a denial must be final.
    Mirror(Scheme),
}

/// How clients connect to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl ListenerKind {
    /// The name in records; `None` for the public listener.
    pub(super) const fn recorded(self) -> Option<&'static str> {
        match self {
            Self::Clients => None,
            Self::Mirror(_) => Some("mirror"),
        }
    }
}

impl Scheme {
    /// The scheme that the client of a request with these headers used: a proxy in front may terminate TLS.
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
