//! One response of the gate, with accessors for tests.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(unreachable_pub, reason = "reads the same wherever it is included")]
#![allow(dead_code, reason = "shared by tests that each use a part of it")]

use bytes::Bytes;
use countersign::oci::Digest;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use serde_json::Value;

/// One answer of the gate.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// The reason phrase of the status line, if it is not the standard one; otherwise empty.
    pub reason: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(crate) async fn of(answer: Response<Incoming>) -> Self {
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let reason = parts.extensions.get::<ReasonPhrase>();
        let reason = reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
        Self {
            status: parts.status,
            reason: reason.unwrap_or_default(),
            headers: parts.headers,
            body,
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The path of the next page of a list, from its header `Link`; none on the last page.
    pub fn next_page(&self) -> Option<String> {
        let link = self.header("link");
        let (path, parameters) = link.strip_prefix('<')?.split_once('>')?;
        assert_eq!(parameters, "; rel=\"next\"", "{link}");
        Some(path.to_owned())
    }

    #[track_caller]
    pub fn serves(&self, manifest: &[u8]) {
        let text = String::from_utf8_lossy;
        assert_eq!((self.status, text(&self.body)), (StatusCode::OK, text(manifest)));
        assert_eq!(self.header("docker-content-digest"), Digest::of(manifest).to_string());
    }

    /// The status, and the verdict and reason of the denial.
    #[track_caller]
    pub fn denied(&self) -> (u16, String, String) {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let detail = &body["errors"][0]["detail"];
        let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(self.header("cache-control"), "no-store", "{body}");
        (self.status.as_u16(), text("verdict"), text("reason"))
    }

    #[track_caller]
    pub fn is_absent(&self, reason: &str) {
        assert_eq!(self.denied(), (404, "absent".to_owned(), reason.to_owned()));
    }

    #[track_caller]
    pub fn is_refused(&self, reason: &str) {
        assert_eq!(self.denied(), (404, "refused".to_owned(), reason.to_owned()));
    }

    #[track_caller]
    pub fn is_undecided(&self, reason: &str) {
        assert_eq!(self.denied(), (503, "undecided".to_owned(), reason.to_owned()));
        assert!(!self.header("retry-after").is_empty());
    }
}
