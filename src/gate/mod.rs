//! Admit or deny. TEMPORARY stand-in of the gate.

pub mod denial;

use bytes::Bytes;
pub use denial::{Denial, Denied, Doubt, Undecided};

use crate::oci::{Digest, ErrorCode, ImageRef, MediaType, Reference, Registry, Repository};
use crate::pull_through::{BlobStream, FetchError, PullThrough};
use crate::trust::{Reason, Refusal, Scheme};
use crate::upstream::{ByteRange, Page, Referrers, TagPage, UpstreamError};

#[derive(Clone, Debug)]
pub struct Admitted {
    bytes: Bytes,
    digest: Digest,
}
impl Admitted {
    pub fn digest(&self) -> Digest {
        self.digest
    }
    pub fn media_type(&self) -> MediaType {
        MediaType::OciImage
    }
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes
    }
    pub fn rule(&self) -> &str {
        "r.example/**"
    }
    pub fn anchors(&self) -> Vec<&str> {
        vec!["release-team"]
    }
    pub fn scheme(&self) -> Option<Scheme> {
        Some(Scheme::NotaryV1)
    }
}
#[derive(Debug)]
pub struct Gate {
    bytes: Bytes,
    digest: Digest,
    pull_through: PullThrough,
}
impl Gate {
    pub fn stand_in(pull_through: PullThrough) -> Self {
        let bytes = Bytes::from_static(br#"{"schemaVersion":2}"#);
        Self { digest: Digest::of(&bytes), bytes, pull_through }
    }
    fn denied(image: &ImageRef, reason: Reason) -> Denied {
        Denied {
            image: image.clone(),
            refusal: Refusal::new(reason, "why"),
            rule: Some("r.example/**".into()),
            anchor: Some("release-team".into()),
            scheme: Some(Scheme::NotaryV1),
        }
    }
    fn failed(image: ImageRef, error: FetchError) -> Denial {
        match error {
            FetchError::Upstream(UpstreamError::Absent { message, .. }) => {
                Denial::Missing { image, code: ErrorCode::BlobUnknown, message }
            }
            FetchError::Upstream(UpstreamError::RangeUnsatisfiable { size }) => {
                Denial::Unsatisfiable { image, size }
            }
            other => Denial::Undecided(Undecided {
                image,
                doubt: Doubt::UpstreamUnreachable,
                because: other.to_string(),
                rule: None,
                anchor: None,
                scheme: None,
            }),
        }
    }
    pub async fn admit(&self, image: &ImageRef) -> Result<Admitted, Denial> {
        let admitted = Admitted { bytes: self.bytes.clone(), digest: self.digest };
        match &image.reference {
            Reference::Tag(tag) if tag.as_str() == "v1" => Ok(admitted),
            Reference::Digest(digest) if *digest == self.digest => Ok(admitted),
            Reference::Tag(_) | Reference::Digest(_) => {
                Err(Denial::of(Self::denied(image, Reason::TagNotSigned)))
            }
        }
    }
    pub async fn blob(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<BlobStream, Denial> {
        let image = ImageRef {
            registry: registry.clone(),
            repository: repository.clone(),
            reference: Reference::Digest(*digest),
        };
        let found = self.pull_through.blob(registry, repository, digest, range).await;
        found.map_err(|error| Self::failed(image, error))
    }
    pub async fn blob_length(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<u64>, Denial> {
        let image = ImageRef {
            registry: registry.clone(),
            repository: repository.clone(),
            reference: Reference::Digest(*digest),
        };
        let found = self.pull_through.blob_length(registry, repository, digest).await;
        found.map_err(|error| Self::failed(image, error))
    }
    pub async fn tags(&self, _: &Registry, _: &Repository, page: &Page) -> Result<TagPage, Denial> {
        Ok(TagPage { tags: vec!["v1".parse().unwrap()], next: Some(page.clone()) })
    }
    pub async fn referrers(
        &self,
        _: &Registry,
        _: &Repository,
        _: &Digest,
        artifact_type: Option<&str>,
        _page: &Page,
    ) -> Result<Referrers, Denial> {
        let bytes = Bytes::from_static(br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#);
        let filters_applied = artifact_type.map(|_| "artifactType".to_owned());
        Ok(Referrers { bytes, filters_applied, next: None })
    }
    pub async fn trust_metadata(&self, _gun: &str, file: &str) -> Result<Option<Bytes>, Denial> {
        Ok((file == "root.json").then(|| Bytes::from_static(b"{}")))
    }
}
