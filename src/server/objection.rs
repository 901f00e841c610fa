//! Requests that are refused before they are parsed: without exactly one valid host (RFC 9112, 3.2), or beyond the
//! limit. The listener finds the objection, and its service sends the response.

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Version};

/// Why a request must be refused; stored among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// 400: its host is missing, named twice, or invalid.
    Host(&'static str),
    /// 503: too many requests are in progress.
    Busy,
}

impl Objection {
    /// The message for clients.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Host(sentence) => sentence,
            Self::Busy => "too many requests are in progress: retry later",
        }
    }
}

/// The objection to the host of a request, if any.
pub(super) fn to_host(request: &Parts) -> Option<Objection> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let required = match request.version {
        Version::HTTP_09 | Version::HTTP_10 => false,
        Version::HTTP_11 => true,
        // HTTP/2 and later: `:authority` replaces `Host`.
        _ => request.uri.authority().is_none(),
    };
    match (first, second) {
        (_, Some(_)) => Some(Objection::Host("the request has more than one Host header")),
        (None, None) if required => Some(Objection::Host("the request has no Host header")),
        (Some(host), None) if !is_valid(host) => {
            Some(Objection::Host("the Host header is not a host with an optional port"))
        }
        (None | Some(_), None) => None,
    }
}

/// An empty value is valid: it means that there is no authority.
fn is_valid(host: &HeaderValue) -> bool {
    let bytes = host.as_bytes();
    bytes.is_empty() || Authority::try_from(bytes).is_ok() && !bytes.contains(&b'@')
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn objection(version: Version, uri: &str, hosts: &[&str]) -> Option<Objection> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        to_host(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_request_names_one_host() {
        for host in ["x", "x:5050", "127.0.0.1", "[::1]:80", ""] {
            assert_eq!(objection(Version::HTTP_11, "/", &[host]), None, "{host}");
        }
        for hosts in [&[][..], &["x", "x"], &["x", "y"], &["a b"], &["a@b"], &["a/b"], &["a\\b"]] {
            let found = objection(Version::HTTP_11, "/", hosts);
            assert!(matches!(found, Some(Objection::Host(_))), "{hosts:?}: {found:?}");
        }
        assert_eq!(objection(Version::HTTP_10, "/", &[]), None);
        assert!(objection(Version::HTTP_10, "/", &["x", "x"]).is_some());
        assert_eq!(objection(Version::HTTP_2, "https://x/", &[]), None);
        assert_eq!(objection(Version::HTTP_2, "/", &["x"]), None);
        assert!(objection(Version::HTTP_2, "/", &[]).is_some());
    }
}
