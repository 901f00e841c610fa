//! A visit to the demo: pulls each exhibit through the gate over HTTP, as any client would, and holds
//! the answer against what was expected.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use crate::json::{Document, Value};
use crate::net::{Client, Method, Timeouts, TlsError};
use crate::oci::manifest::{MAX_MANIFEST, Manifest};
use crate::oci::{Digest, MediaType};

use super::exhibits::{Exhibit, Expected};

/// The largest blob of the demo, with much to spare.
const MAX_BLOB: usize = 1 << 20;

/// What the gate said of an exhibit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It served this, and every blob of it.
    Admitted(Digest),
    Denied {
        verdict: String,
        reason: String,
    },
    /// Nothing that the contract knows.
    Broken(String),
}

impl Seen {
    pub(super) fn is(&self, expected: &Expected) -> bool {
        match (self, expected) {
            (Self::Admitted(seen), Expected::Admitted(expected)) => seen == expected,
            (Self::Denied { verdict, reason }, Expected::Denied(expected)) => {
                *reason == expected.as_str() && *verdict == verdict_of(expected.is_absence())
            }
            (Self::Admitted(_) | Self::Denied { .. } | Self::Broken(_), _) => false,
        }
    }
}

/// What a denial is called, by whether there simply is no signature.
pub(super) fn verdict_of(absence: bool) -> &'static str {
    if absence { "absent" } else { "refused" }
}

/// Somebody who pulls.
pub(super) struct Visitor {
    client: Client,
    gate: Url,
}

impl Visitor {
    pub(super) fn new(gate: Url) -> Result<Self, TlsError> {
        Ok(Self { client: Client::new(&gate, None, 4, Timeouts::default())?.without_via(), gate })
    }

    /// Pulls the exhibit: its manifest, and all the blobs of that.
    pub(super) async fn pull(&self, exhibit: &Exhibit) -> Seen {
        self.manifest(exhibit).await.unwrap_or_else(Seen::Broken)
    }

    async fn manifest(&self, exhibit: &Exhibit) -> Result<Seen, String> {
        let (repository, reference) =
            exhibit.image.split_once(['@', ':']).ok_or("no reference in the image's name")?;
        let (status, manifest) =
            self.read(&format!("v2/{repository}/manifests/{reference}"), MAX_MANIFEST).await?;
        if status != StatusCode::OK {
            return denied(status, &manifest);
        }
        let digest = Digest::of(&manifest);
        let manifest = Manifest::parse(&manifest, None).map_err(|error| error.to_string())?;
        for blob in manifest.blobs() {
            let (status, bytes) =
                self.read(&format!("v2/{repository}/blobs/{}", blob.digest), MAX_BLOB).await?;
            if status != StatusCode::OK || Digest::of(&bytes) != blob.digest {
                return Err(format!("the blob {} came as {status}", blob.digest));
            }
        }
        Ok(Seen::Admitted(digest))
    }

    async fn read(&self, path: &str, ceiling: usize) -> Result<(StatusCode, Vec<u8>), String> {
        let url = self.gate.join(path).map_err(|error| error.to_string())?;
        let accept = HeaderValue::from_static(MediaType::ACCEPT);
        let headers = HeaderMap::from_iter([(ACCEPT, accept)]);
        let answer = self.client.send(Method::Get, &url, &headers).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.into_body().read_whole(ceiling).await;
        Ok((status, body.map_err(|error| error.to_string())?.to_vec()))
    }
}

/// The verdict and the reason in a denial's body.
fn denied(status: StatusCode, body: &[u8]) -> Result<Seen, String> {
    let unknown = || format!("{status} without a reason");
    let body = Document::parse(body).map_err(|_| unknown())?;
    let errors = body.root().member("errors").and_then(Value::as_array);
    let first = errors.and_then(|errors| errors.iter().next());
    let detail = first.and_then(|error| error.member("detail")).ok_or_else(unknown)?;
    let text = |name: &str| detail.member(name).and_then(Value::as_str).map(str::to_owned);
    let (verdict, reason) = text("verdict").zip(text("reason")).ok_or_else(unknown)?;
    Ok(Seen::Denied { verdict, reason })
}
