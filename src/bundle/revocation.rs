//! Answers requests for CRLs and OCSP responses from bundles, by their URL. Verifies nothing: the
//! caller checks the signatures and the dates.

use std::cmp::Reverse;
use std::io;
use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};
use url::Url;

use super::file::Bundle;
use super::set::BundleSet;
use crate::http_client::{LocalBody, LocalServer, Method};

/// The revocation data in a set of bundles.
#[derive(Debug)]
pub(super) struct BundleRevocation {
    bundles: Arc<BundleSet>,
}

impl BundleRevocation {
    pub(super) fn new(bundles: Arc<BundleSet>) -> Self {
        Self { bundles }
    }
}

impl LocalServer for BundleRevocation {
    /// The response for `url` that is valid for the longest time according to the exporters, of those whose digests are
    /// right.
    fn answer(&self, _: Method, url: &Url, _: &HeaderMap) -> io::Result<Response<LocalBody>> {
        let current = self.bundles.current();
        let mut found: Vec<(Option<i64>, &Bundle, &str)> = Vec::new();
        for catalog in &current.bundles {
            let bundle = catalog.bundle();
            for response in &bundle.contents().revocation {
                if Url::parse(&response.url).is_ok_and(|known| known == *url) {
                    found.push((response.ends, bundle, response.document.as_str()));
                }
            }
        }
        // Stable: of equal ones, that of the newest bundle stays first.
        found.sort_by_key(|(ends, ..)| Reverse(*ends));
        let mut content = None;
        let mut failed = current.unreadable.clone().map(io::Error::other);
        for (_, bundle, title) in found {
            match bundle.document(title) {
                Ok(None) => {}
                Ok(right) => {
                    content = right;
                    break;
                }
                Err(error) => failed = Some(io::Error::other(error)),
            }
        }
        if let (None, Some(error)) = (&content, failed) {
            return Err(error);
        }
        let (status, body) = match content {
            Some(content) => (StatusCode::OK, LocalBody::whole(content)),
            None => (StatusCode::NOT_FOUND, LocalBody::whole("")),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        Ok(response)
    }

    fn is_by_digest(&self, _: &Url) -> bool {
        false
    }
}
