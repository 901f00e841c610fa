//! Signatures that are kept under tags (`sha256-<hex>.sig`, `.att`, `.sbom`, and the list `sha256-<hex>`):
//! served for manifests that are admitted, so that clients can verify for themselves.

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::Shared;
use super::admitted::Admitted;
use super::denial::Denial;
use super::deny;
use super::search::Search;
use crate::oci::{Digest, ImageRef, Reference, Tag};
use crate::pull_through::Fetched;
use crate::trust::places::Inquiry;

/// The most layers that such a manifest may have, and the most bytes that each may: one is a signature,
/// an attestation or a list of contents.
const MAX_LAYERS: usize = 50;
const MAX_LAYER: usize = 4 << 20;
const KINDS: [&str; 4] = ["", ".sig", ".att", ".sbom"];

/// The manifest that signatures under `tag` are about, if it is such a tag.
pub(super) fn subject_of(tag: &Tag) -> Option<Digest> {
    let rest = tag.as_str().strip_prefix("sha256-")?;
    let (hex, kind) = rest.split_at_checked(64)?;
    let digest = KINDS.contains(&kind).then(|| format!("sha256:{hex}"))?;
    digest.parse().ok()
}

impl Shared {
    /// Admits what upstream has under `tag`, or had when `digest` was found there, for the signatures of
    /// `subject`, if that is admitted; `inquiry` pays for both.
    pub(super) async fn artifact(
        &self,
        image: &ImageRef,
        tag: &Tag,
        subject: &Digest,
        digest: Option<&Digest>,
        inquiry: &Inquiry,
    ) -> Result<Admitted, Denial> {
        let reference = Reference::Digest(*subject);
        let about = ImageRef { reference, ..image.clone() };
        let subject =
            Box::pin(self.decide(&about, subject, Search::of_subject(&about, inquiry))).await;
        let subject = subject.map_err(|denial| deny::of_other(denial, image))?;
        let failed = |error| deny::fetch(image, Some(subject.pattern()), error);
        let (registry, repository) = (&image.registry, &image.repository);
        let digest = match digest {
            Some(digest) => *digest,
            None => self.pull_through.resolve(registry, repository, tag).await.map_err(failed)?,
        };
        let fetched = self.pull_through.manifest(registry, repository, &digest).await;
        let fetched = fetched.map_err(failed)?;
        let layers = self.layers(image, &fetched, &subject, inquiry).await?;
        let admitted = Admitted::tagged_for(&subject, fetched, &layers);
        let admitted =
            admitted.map_err(|refusal| deny::plain(image, refusal, Some(subject.pattern())))?;
        self.lineage.passed(image, digest, tag).await;
        Ok(admitted)
    }

    /// The layers of a manifest that may hold signatures, whole.
    async fn layers(
        &self,
        image: &ImageRef,
        fetched: &Fetched,
        subject: &Admitted,
        inquiry: &Inquiry,
    ) -> Result<Vec<Bytes>, Denial> {
        // The first is the config.
        let layers = fetched.manifest().blobs().get(1..).unwrap_or_default();
        let (registry, repository) = (&image.registry, &image.repository);
        let exhausted = |because: String| deny::exhausted(image, Some(subject.pattern()), because);
        let too_large = |layer: &&crate::oci::Descriptor| layer.size > MAX_LAYER as u64;
        if layers.len() > MAX_LAYERS || layers.iter().any(|layer| too_large(&layer)) {
            return Err(deny::no_artifact(image, subject.pattern(), subject.digest()));
        }
        try_join_all(layers.iter().map(async |layer| {
            let kept = self.pull_through.kept_blob(registry, repository, &layer.digest, MAX_LAYER);
            if let Some(kept) = kept {
                let held = inquiry.hold(kept.len());
                return held.map(|()| kept).map_err(|limit| exhausted(limit.to_string()));
            }
            let size = usize::try_from(layer.size).unwrap_or(MAX_LAYER);
            inquiry.ask(registry, size).map_err(|why| exhausted(why.to_string()))?;
            let blob =
                self.pull_through.small_blob(registry, repository, &layer.digest, size).await;
            blob.map_err(|error| deny::fetch(image, Some(subject.pattern()), error))
        }))
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tags_of_signatures_name_what_they_are_about() {
        let hex = "a".repeat(64);
        for kind in KINDS {
            let tag: Tag = format!("sha256-{hex}{kind}").parse().unwrap();
            assert_eq!(subject_of(&tag).unwrap().to_string(), format!("sha256:{hex}"));
        }
        let others = [
            "v1".to_owned(),
            "sha256-abc.sig".to_owned(),
            format!("sha256-{hex}.tar"),
            format!("sha256-{}", "A".repeat(64)),
            format!("sha512-{hex}.sig"),
        ];
        for other in others {
            assert_eq!(subject_of(&other.parse().unwrap()), None, "{other}");
        }
    }
}
