//! The proof that a blob may be served. Only [`Shared::open`] creates an [`OpenDigest`], after it checked that the
//! repository can serve an image and that no rule denies the digest. Only an [`OpenDigest`] creates an [`OpenBlob`].

use tokio::time::timeout;

use crate::oci::{Digest, ErrorCode, ImageRef};
use crate::pull_through::{BlobStream, Inspected, Origin};
use crate::registry_client::{ByteRange, Part};
use crate::requester::Requester;

use super::decision::Decision;
use super::denial::Denial;
use super::{MAX_DECISION, Shared, deny};

/// A blob of an open repository, or a range of it. The body of a blob response is made of nothing else:
///
/// ```compile_fail,E0423
/// use countersign::gate::OpenBlob;
/// use countersign::pull_through::BlobStream;
/// fn forge(stream: BlobStream) -> OpenBlob {
///     OpenBlob(stream)
/// }
/// ```
#[derive(Debug)]
pub struct OpenBlob(BlobStream);

impl OpenBlob {
    /// Which part of the blob this is: status 200 and the length, or status 206 and the range.
    pub fn part(&self) -> Part {
        self.0.part()
    }

    pub fn origin(&self) -> Origin {
        self.0.origin()
    }

    pub(crate) fn into_stream(self) -> BlobStream {
        self.0
    }
}

/// The proof that a repository is open, and that no rule denies this digest in it.
#[derive(Clone, Copy)]
pub(super) struct OpenDigest<'a> {
    shared: &'a Shared,
    requester: Requester,
    image: &'a ImageRef,
    digest: &'a Digest,
}

impl Shared {
    /// Denies a blob of a repository from which nothing is served, and one that a rule denies.
    pub(super) fn open<'a>(
        &'a self,
        requester: Requester,
        image: &'a ImageRef,
        digest: &'a Digest,
    ) -> Result<OpenDigest<'a>, Denial> {
        if !self.policy.serves(&image.repository, self.clock.now()) {
            return Err(self.unserved(&image.into()));
        }
        self.not_denied(image, digest)?;
        Ok(OpenDigest { shared: self, requester, image, digest })
    }
}

impl OpenDigest<'_> {
    /// The blob, unless it could be read as a manifest and is not admitted as one. With `steady`, a blob whose download
    /// failed recently is sent only after the whole blob was downloaded.
    pub(super) async fn blob(
        self,
        range: Option<ByteRange>,
        steady: bool,
    ) -> Result<OpenBlob, Denial> {
        let Self { shared, requester, image, digest } = self;
        let ImageRef { repository, .. } = image;
        let failed = |error| deny::not_whole(image, None, error);
        let pull_through = shared.pull_through.on_behalf_of(requester);
        if self.is_inspected() {
            let inspected = pull_through.inspected_blob(repository, digest, range, steady);
            match inspected.await.map_err(failed)? {
                Inspected::Blob(stream) => return Ok(OpenBlob(stream)),
                Inspected::Manifest => Box::pin(self.admit_manifest()).await?,
            }
        }
        let stream = match steady {
            true => pull_through.steady_blob(repository, digest, range).await,
            false => {
                let stream = pull_through.blob(repository, digest, range).await;
                stream.map_err(Into::into)
            }
        };
        stream.map(OpenBlob).map_err(failed)
    }

    /// The length in bytes, after the same checks as in [`Self::blob`]; `None` if the upstream does not state it.
    pub(super) async fn length(self) -> Result<Option<u64>, Denial> {
        let Self { shared, requester, image, digest } = self;
        let ImageRef { repository, .. } = image;
        let pull_through = shared.pull_through.on_behalf_of(requester);
        if self.is_inspected() {
            let length = pull_through.inspected_length(repository, digest).await;
            match length.map_err(|error| deny::not_whole(image, None, error))? {
                Some(length) => return Ok(length),
                None => Box::pin(self.admit_manifest()).await?,
            }
        }
        let length = pull_through.blob_length(repository, digest).await;
        length.map_err(|error| deny::fetch(image, None, error))
    }

    /// Whether the gate inspects a blob of that repository before it serves it: if it may deny a manifest there.
    fn is_inspected(self) -> bool {
        !self.shared.serves_any_digest(self.image) || self.shared.policy.denies_digests()
    }

    /// Denies a blob that could be read as a manifest, unless it is admitted as one.
    async fn admit_manifest(self) -> Result<(), Denial> {
        let Self { shared, image, digest, .. } = self;
        let decision = Decision::new();
        let decided = timeout(MAX_DECISION, shared.decide(image, digest, &decision)).await;
        match decided.unwrap_or_else(|_| Err(deny::too_slow(image))) {
            // A rule may deny the same content by a digest of another algorithm.
            Ok(admitted) => shared.serves_none_denied(image, &admitted),
            Err(open @ (Denial::Undecided(_) | Denial::Throttled { .. })) => Err(open),
            Err(
                Denial::Absent(_)
                | Denial::Refused(_)
                | Denial::Missing { .. }
                | Denial::Unsatisfiable { .. },
            ) => Err(Denial::Missing {
                resource: image.into(),
                code: ErrorCode::BlobUnknown,
                message: format!(
                    "{digest} could be read as a manifest, or is JSON of more than 20 MiB, and is not admitted as a manifest"
                ),
            }),
        }
    }
}
