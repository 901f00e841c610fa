//! Signatures that are kept under tags (`sha256-<hex>.sig`, `.att`, `.sbom`, and the list `sha256-<hex>`):
//! served for manifests that are admitted, so that clients can verify for themselves.

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::Shared;
use super::admitted::Admitted;
use super::decision::{self, Decision};
use super::denial::Denial;
use super::deny;
use crate::oci::{Digest, ImageRef, Reference, Tag};
use crate::policy::{Chosen, Mode};
use crate::pull_through::Fetched;
use crate::trust::places::Inquiry;

/// The most layers that such a manifest may have, and the most bytes that each may: one is a signature,
/// an attestation or a list of contents.
const MAX_LAYERS: usize = 50;
const MAX_LAYER: usize = 4 << 20;
const KINDS: [&str; 3] = [".sig", ".att", ".sbom"];

/// What such a tag stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// A manifest whose layers are signatures, attestations, lists of contents.
    Signatures,
    /// The list that stands for the referrers API.
    List,
}

/// The manifest that is signed by what is under `tag`, if it is such a tag, and what is there.
fn subject_of(tag: &Tag) -> Option<(Digest, Kept)> {
    let rest = tag.as_str().strip_prefix("sha256-")?;
    let (hex, kind) = rest.split_at_checked(64)?;
    let kept = match kind {
        "" => Kept::List,
        kind if KINDS.contains(&kind) => Kept::Signatures,
        _ => return None,
    };
    Some((format!("sha256:{hex}").parse().ok()?, kept))
}

/// Whether `tag` is one under which what is about a manifest is kept: clients look there of themselves,
/// beside an image that they have.
pub fn is_artifact_tag(tag: &Tag) -> bool {
    subject_of(tag).is_some()
}

/// The tag of the list of what refers to `subject`.
pub(super) fn list_of(subject: &Digest) -> Option<Tag> {
    let tag = format!("sha256-{}", subject.hex()).parse().ok()?;
    (subject_of(&tag) == Some((*subject, Kept::List))).then_some(tag)
}

impl Shared {
    /// What decides about `tag`, if that is the manifest that it is about: where its rule asks for
    /// signatures, and where none is for the tag itself, since rules for tags name those of images.
    pub(super) fn is_about(
        &self,
        image: &ImageRef,
        tag: &Tag,
        chosen: Option<&Chosen<'_>>,
    ) -> Option<(Digest, Kept)> {
        let about = subject_of(tag)?;
        let decides = match chosen {
            Some(chosen) => matches!(chosen.rule.mode, Mode::Enforce(_) | Mode::Audit(_)),
            None => self.policy.serves(&image.registry, &image.repository, self.clock.now()),
        };
        decides.then_some(about)
    }

    /// Admits what upstream has under `tag`, or had when `digest` was found there, for the signatures of
    /// `subject`, if that is admitted.
    pub(super) async fn artifact(
        &self,
        image: &ImageRef,
        tag: &Tag,
        (subject, kept): (&Digest, Kept),
        digest: Option<&Digest>,
        decision: &Decision,
    ) -> Result<Admitted, Denial> {
        let inquiry = decision.inquiry();
        let reference = Reference::Digest(*subject);
        let about = ImageRef { reference, ..image.clone() };
        let Some(below) = decision.about_subject() else {
            return Err(deny::no_artifact(image, None, *subject));
        };
        let subject = self.decide(&about, subject, &below).await;
        let subject = subject.map_err(|denial| deny::of_other(denial, image))?;
        let rule = Some(subject.pattern());
        let digest = match digest {
            Some(digest) => *digest,
            None => {
                decision::ask(image, rule, inquiry)?;
                let (registry, repository) = (&image.registry, &image.repository);
                let resolved = self.pull_through.resolve(registry, repository, tag).await;
                resolved.map_err(|error| deny::fetch(image, rule, error))?
            }
        };
        let fetched = self.manifest(image, &digest, rule, inquiry).await?;
        let layers = self.layers(image, &fetched, &subject, inquiry).await?;
        let admitted = Admitted::tagged_for(&subject, fetched, kept, &layers);
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
        let rule = Some(subject.pattern());
        let too_large = |layer: &&crate::oci::Descriptor| layer.size > MAX_LAYER as u64;
        if layers.len() > MAX_LAYERS || layers.iter().any(|layer| too_large(&layer)) {
            return Err(deny::no_artifact(image, rule, subject.digest()));
        }
        try_join_all(layers.iter().map(async |layer| {
            let kept = self.pull_through.kept_blob(registry, repository, &layer.digest, MAX_LAYER);
            if let Some(kept) = kept {
                let held = inquiry.hold(kept.len());
                return held
                    .map(|()| kept)
                    .map_err(|limit| deny::exhausted(image, rule, limit.to_string()));
            }
            let size = usize::try_from(layer.size).unwrap_or(MAX_LAYER);
            decision::ask_for(image, rule, inquiry, size)?;
            let blob =
                self.pull_through.small_blob(registry, repository, &layer.digest, size).await;
            blob.map_err(|error| deny::fetch(image, rule, error))
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
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        for kind in KINDS {
            let tag: Tag = format!("sha256-{hex}{kind}").parse().unwrap();
            assert_eq!(subject_of(&tag), Some((digest, Kept::Signatures)));
        }
        let list = list_of(&digest).unwrap();
        assert_eq!(list.as_str(), format!("sha256-{hex}"));
        assert_eq!(subject_of(&list), Some((digest, Kept::List)));
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
