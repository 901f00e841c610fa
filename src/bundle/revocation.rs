//! Answers requests for CRLs and OCSP responses from bundles, by their URL. Verifies nothing: the
//! caller checks the signatures and the dates.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use url::Url;

use super::set::BundleSet;
use crate::clock::Timestamp;
use crate::http_client::{LocalBody, LocalServer, Method};
use crate::trust::notation::made_at;

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
    /// The response for `url` that was made last, of those whose digests are right. The exporter's statement about its
    /// end does not count: an old response must not hide a newer one, which may revoke a certificate.
    fn answer(&self, _: Method, url: &Url, _: &HeaderMap) -> io::Result<Response<LocalBody>> {
        let current = self.bundles.current();
        let mut newest: Option<(Option<Timestamp>, Bytes)> = None;
        let mut failed = current.unreadable.clone().map(io::Error::other);
        for catalog in &current.bundles {
            let bundle = catalog.bundle();
            let listed = bundle.contents().revocation.iter();
            for response in listed.filter(|it| Url::parse(&it.url).is_ok_and(|known| known == *url))
            {
                match bundle.document(&response.document) {
                    Ok(None) => {}
                    Ok(Some(content)) => {
                        let made = made_at(&content);
                        // Of equal ones, that of the newest bundle stays: it is the first.
                        if newest.as_ref().is_none_or(|(newest, _)| made > *newest) {
                            newest = Some((made, content));
                        }
                    }
                    Err(error) => failed = Some(io::Error::other(error)),
                }
            }
        }
        let (status, body) = match (newest, failed) {
            (Some((_, content)), _) => (StatusCode::OK, LocalBody::whole(content)),
            (None, Some(error)) => return Err(error),
            (None, None) => (StatusCode::NOT_FOUND, LocalBody::whole("")),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        Ok(response)
    }

    fn is_by_digest(&self, _: &Url) -> bool {
        false
    }
}
