//! A visit to the demo: pulls each exhibit through the gate over HTTP, as any client would, asks the admin
//! listener why, and compares both answers with the expected one.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use crate::commands::why::Explanation;
use crate::http_client::{Client, Method, Timeouts, TlsError};
use crate::json::{Document, Value};
use crate::oci::manifest::{MAX_MANIFEST, Manifest};
use crate::oci::{Digest, MediaType};

use super::exhibits::{Exhibit, Expected, REGISTRY};

/// The most bytes of a blob, and of an explanation. Those of the demo are much smaller.
const MAX_BODY: usize = 1 << 20;

/// What the gate said of an exhibit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Observed {
    /// It served this, with every image and every blob of it.
    Admitted(Digest),
    Denied {
        verdict: String,
        reason: String,
    },
    /// Something that the gate must never say.
    Broken(String),
}

impl Observed {
    pub(super) fn is(&self, expected: &Expected) -> bool {
        match (self, expected) {
            (Self::Admitted(seen), Expected::Admitted(expected)) => seen == expected,
            (Self::Denied { verdict, reason }, Expected::Denied(expected)) => {
                *reason == expected.as_str() && *verdict == verdict_of(expected.is_absence())
            }
            (Self::Admitted(_) | Self::Denied { .. } | Self::Broken(_), _) => false,
        }
    }

    /// Whether `why` says the same.
    fn agrees_with(&self, why: &Explanation) -> bool {
        match self {
            Self::Admitted(_) => why.verdict == "admitted",
            Self::Denied { verdict, reason } => {
                why.verdict == *verdict && why.reason.as_deref() == Some(reason)
            }
            Self::Broken(_) => true,
        }
    }
}

/// The verdict of a denial, by whether there is no signature at all.
pub(super) fn verdict_of(absence: bool) -> &'static str {
    if absence { "absent" } else { "refused" }
}

/// A server of the demo, and a client for it.
struct Server {
    client: Client,
    url: Url,
}

impl Server {
    fn new(url: Url) -> Result<Self, TlsError> {
        Ok(Self { client: Client::new(&url, None, 4, Timeouts::default())?.without_via(), url })
    }

    async fn read(&self, path: &str, most: usize) -> Result<(StatusCode, Vec<u8>), String> {
        let url = self.url.join(path).map_err(|error| error.to_string())?;
        let accept = HeaderValue::from_static(MediaType::ACCEPT);
        let headers = HeaderMap::from_iter([(ACCEPT, accept)]);
        let answer = self.client.send(Method::Get, &url, &headers).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.into_body().read_whole(most).await;
        Ok((status, body.map_err(|error| error.to_string())?.to_vec()))
    }
}

/// Somebody who pulls, and asks why.
pub(super) struct Visitor {
    gate: Server,
    admin: Server,
}

impl Visitor {
    pub(super) fn new(gate: Url, admin: Url) -> Result<Self, TlsError> {
        Ok(Self { gate: Server::new(gate)?, admin: Server::new(admin)? })
    }

    /// What the gate says of the exhibit, to clients and to operators.
    pub(super) async fn visit(&self, exhibit: &Exhibit) -> Observed {
        let seen = async {
            let seen = self.pull(&exhibit.image).await?;
            let why = self.why(&exhibit.image).await?;
            if !seen.agrees_with(&why) {
                let reason = why.reason.unwrap_or_default();
                return Err(format!("{seen:?}, but `why` says: {} {reason}", why.verdict));
            }
            Ok(seen)
        };
        seen.await.unwrap_or_else(Observed::Broken)
    }

    /// Pulls an image: its manifest, those that it lists, and all their blobs.
    async fn pull(&self, image: &str) -> Result<Observed, String> {
        let (repository, reference) =
            image.split_once(['@', ':']).ok_or("no reference in the image's name")?;
        let (status, bytes) = self.manifest(repository, reference).await?;
        if status != StatusCode::OK {
            return denied(status, &bytes);
        }
        let index = Manifest::parse(&bytes, None).map_err(|error| error.to_string())?;
        for child in index.children() {
            let (status, bytes) = self.manifest(repository, &child.digest.to_string()).await?;
            served(&child.digest, status, &bytes)?;
            let image = Manifest::parse(&bytes, None).map_err(|error| error.to_string())?;
            for blob in image.blobs() {
                let path = format!("v2/{repository}/blobs/{}", blob.digest);
                let (status, bytes) = self.gate.read(&path, MAX_BODY).await?;
                served(&blob.digest, status, &bytes)?;
            }
        }
        Ok(Observed::Admitted(Digest::of(&bytes)))
    }

    async fn manifest(
        &self,
        repository: &str,
        reference: &str,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        self.gate.read(&format!("v2/{repository}/manifests/{reference}"), MAX_MANIFEST).await
    }

    async fn why(&self, image: &str) -> Result<Explanation, String> {
        let path = format!("why?image={REGISTRY}/{image}");
        let (status, bytes) = self.admin.read(&path, MAX_BODY).await?;
        serde_json::from_slice(&bytes).map_err(|error| format!("`why`: {status}: {error}"))
    }
}

/// Checks that a response is the content of `digest`.
fn served(digest: &Digest, status: StatusCode, bytes: &[u8]) -> Result<(), String> {
    if status == StatusCode::OK && Digest::of(bytes) == *digest {
        return Ok(());
    }
    Err(format!("{digest}: {status} with {} bytes of other content", bytes.len()))
}

/// The verdict and the reason in a denial's body.
fn denied(status: StatusCode, body: &[u8]) -> Result<Observed, String> {
    let unknown = || format!("{status} without a reason");
    let body = Document::parse(body).map_err(|_| unknown())?;
    let errors = body.root().member("errors").and_then(Value::as_array);
    let first = errors.and_then(|errors| errors.iter().next());
    let detail = first.and_then(|error| error.member("detail")).ok_or_else(unknown)?;
    let text = |name: &str| detail.member(name).and_then(Value::as_str).map(str::to_owned);
    let (verdict, reason) = text("verdict").zip(text("reason")).ok_or_else(unknown)?;
    Ok(Observed::Denied { verdict, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Reason;

    #[test]
    fn only_the_expected_verdict_with_the_expected_reason_is_the_expected_one() {
        let digest = Digest::of(b"signed");
        let seen = |verdict: &str, reason: &str| Observed::Denied {
            verdict: verdict.to_owned(),
            reason: reason.to_owned(),
        };
        assert!(Observed::Admitted(digest).is(&Expected::Admitted(digest)));
        assert!(!Observed::Admitted(Digest::of(b"other")).is(&Expected::Admitted(digest)));
        assert!(!Observed::Admitted(digest).is(&Expected::Denied(Reason::Expired)));
        let expected = Expected::Denied(Reason::Expired);
        assert!(seen("refused", "expired").is(&expected));
        for other in [seen("absent", "expired"), seen("refused", "rollback")] {
            assert!(!other.is(&expected), "{other:?}");
        }
        assert!(!seen("refused", "expired").is(&Expected::Admitted(digest)));
        assert!(!Observed::Broken("503".to_owned()).is(&expected));
    }
}
