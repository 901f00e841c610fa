//! A manifest whose digest the gate computed itself. This says nothing about trust.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::FetchError;
use crate::oci::headers::{ContentName, of_manifest};
use crate::oci::{Descriptor, Digest, Manifest, Mismatch};
use crate::parsing;
use crate::registry_client::Answer;

/// The approximate memory of a manifest in addition to its bytes and lists.
const OVERHEAD: usize = 1_536;

/// The bytes of a manifest, their digest, and the parsed manifest. Cheap to clone.
///
/// Only content from an upstream that matched its digest can become one:
///
/// ```compile_fail,E0624
/// use countersign::oci::Digest;
/// use countersign::pull_through::Fetched;
/// use countersign::registry_client::Answer;
/// fn make(asked: &Digest, answer: Answer) {
///     let _ = Fetched::new(asked, answer);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Fetched {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bytes: Bytes,
    digest: Digest,
    manifest: Manifest,
    content_type: Option<String>,
    name: ContentName,
    headers: HeaderMap,
}

impl Fetched {
    /// Compares `answer` with the digest that was `asked` for, then parses it. In this order, unexpected bytes are
    /// never parsed.
    pub(super) async fn new(asked: &Digest, answer: Answer) -> Result<Self, FetchError> {
        let (asked, length) = (*asked, answer.bytes.len());
        parsing::run(length, Manifest::most_memory(length), move || Self::read(asked, answer)).await
    }

    fn read(asked: Digest, answer: Answer) -> Result<Self, FetchError> {
        let Answer { bytes, content_type } = answer;
        let digest = Digest::by(asked.algorithm(), &bytes);
        if digest != asked {
            let mismatch = Mismatch { asked, got: digest };
            return Err(FetchError::Mismatch(Box::new(mismatch)));
        }
        let manifest = Manifest::parse(&bytes, content_type.as_deref())
            .map_err(|invalid| FetchError::Invalid(Arc::new(invalid)))?;
        let name = ContentName::of(&digest);
        let headers = of_manifest(&name, manifest.media_type(), bytes.len());
        let shared = Shared { bytes, digest, manifest, content_type, name, headers };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The manifest as upstream sent it, byte for byte.
    pub fn bytes(&self) -> &Bytes {
        &self.shared.bytes
    }

    /// The digest of [`Self::bytes`].
    pub fn digest(&self) -> &Digest {
        &self.shared.digest
    }

    /// The headers that name the content.
    pub fn name(&self) -> &ContentName {
        &self.shared.name
    }

    /// The response headers for [`Self::bytes`].
    pub fn headers(&self) -> &HeaderMap {
        &self.shared.headers
    }

    /// The parsed [`Self::bytes`].
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// The `Content-Type` from upstream.
    pub(super) fn content_type(&self) -> Option<&str> {
        self.shared.content_type.as_deref()
    }

    /// The approximate memory that this takes, in bytes.
    pub(super) fn weight(&self) -> u32 {
        let Shared { bytes, manifest, .. } = &*self.shared;
        let descriptors = manifest.children().len() + manifest.blobs().len();
        let forms = manifest.form().map_or(0, |form| form.layers.len()) * 2;
        let lists = (descriptors + forms) * size_of::<Descriptor>();
        u32::try_from(bytes.len() + lists + OVERHEAD).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn answer(length: usize) -> (Digest, Answer) {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[],"x":"{}"}}"#, "a".repeat(length));
        let bytes = Bytes::from(text);
        (Digest::of(&bytes), Answer { bytes, content_type: None })
    }

    #[tokio::test]
    async fn a_large_manifest_is_hashed_and_parsed_off_the_serving_threads() {
        let (digest, small) = answer(1_000);
        assert!(Fetched::new(&digest, small).now_or_never().is_some());
        let (digest, large) = answer(4_000_000);
        let mut fetched = Box::pin(Fetched::new(&digest, large));
        assert!(fetched.as_mut().now_or_never().is_none());
        assert_eq!(*fetched.await.unwrap().digest(), digest);
    }
}
