//! Answers requests for CRLs and OCSP responses from bundles, by their URL. Verifies nothing: the
//! caller checks the signatures and the dates.

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
    /// The response for `url` that is valid for the longest time according to the exporters.
    fn answer(&self, _: Method, url: &Url, _: &HeaderMap) -> io::Result<Response<LocalBody>> {
        let current = self.bundles.current();
        let mut newest: Option<(Option<i64>, &Bundle, &str)> = None;
        for catalog in &current.bundles {
            let bundle = catalog.bundle();
            for response in &bundle.contents().revocation {
                let is_same = Url::parse(&response.url).is_ok_and(|known| known == *url);
                if is_same && newest.as_ref().is_none_or(|(ends, ..)| response.ends > *ends) {
                    newest = Some((response.ends, bundle, response.document.as_str()));
                }
            }
        }
        let content = match newest {
            Some((_, bundle, title)) => bundle.document(title).map_err(io::Error::other)?,
            None => None,
        };
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
