//! Artifacts under tags (`sha256-<hex>.sig`, `.att`, `.sbom`). The gate serves them for admitted manifests, so that
//! clients can verify signatures themselves. It does not serve the list of referrers under `sha256-<hex>`, which would
//! be the upstream's bytes.

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::Shared;
use super::admitted::Admitted;
use super::artifact_config::MAX_ARTIFACT_CONFIG;
use super::decision::{self, Decision, TagDigest};
use super::denial::Denial;
use super::deny;
use super::kinds::{self, Suffix};
use super::tagged::{MAX_LAYER_BYTES, Tagged, TextLayer};
use crate::oci::{Descriptor, Digest, ImageRef, Reference, Tag};
use crate::policy::Chosen;
use crate::pull_through::Fetched;
use crate::trust::discovery::RequestBudget;

/// The purpose of a tag that contains the digest of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReservedTag {
    /// It names an artifact of cosign.
    Artifact(Suffix),
    /// It names the list of referrers, for registries without the referrers API.
    List,
}

/// The subject of `tag` and the purpose of the tag, if it is a reserved one.
fn subject_of(tag: &Tag) -> Option<(Digest, ReservedTag)> {
    let rest = tag.as_str().strip_prefix("sha256-")?;
    let (hex, end) = rest.split_at_checked(64)?;
    let suffix = || Suffix::ALL.into_iter().find(|suffix| suffix.as_str() == end);
    let kept = if end.is_empty() { ReservedTag::List } else { ReservedTag::Artifact(suffix()?) };
    Some((format!("sha256:{hex}").parse().ok()?, kept))
}

/// Whether `tag` is reserved for artifacts or lists of referrers. Clients request such tags in addition to an image.
pub fn is_artifact_tag(tag: &Tag) -> bool {
    subject_of(tag).is_some()
}

/// The tag of the list of referrers of `subject`.
pub(super) fn list_of(subject: &Digest) -> Option<Tag> {
    let tag = format!("sha256-{}", subject.hex()).parse().ok()?;
    (subject_of(&tag) == Some((*subject, ReservedTag::List))).then_some(tag)
}

impl Shared {
    /// The subject of `tag`, if the subject decides about it: if its rule requires signatures, or if no rule matches
    /// the tag, because tag patterns name the tags of images.
    pub(super) fn is_about(
        &self,
        image: &ImageRef,
        tag: &Tag,
        chosen: Option<&Chosen<'_>>,
    ) -> Option<(Digest, ReservedTag)> {
        let about = subject_of(tag)?;
        let decides = match chosen {
            Some(chosen) => chosen.required().is_some(),
            None => self.policy.serves(&image.repository, self.clock.now()),
        };
        decides.then_some(about)
    }

    /// Admits the manifest that the upstream has under `tag`, or the known digest, as an artifact of `subject`, if
    /// `subject` is admitted.
    pub(super) async fn artifact(
        &self,
        image: &ImageRef,
        tag: &Tag,
        (subject, kept): (&Digest, ReservedTag),
        at_upstream: &TagDigest,
        decision: &Decision,
    ) -> Result<Admitted, Denial> {
        let budget = decision.budget();
        let reference = Reference::Digest(*subject);
        let about = ImageRef { reference, ..image.clone() };
        let Some(below) = decision.about_subject() else {
            return Err(deny::no_artifact(
                image,
                None,
                *subject,
                "too many artifacts refer to each other",
            ));
        };
        let subject = self.decide(&about, subject, &below).await;
        let subject = subject.map_err(|denial| deny::of_other(denial, image))?;
        let rule = Some(subject.pattern());
        let digest = match at_upstream.get() {
            Some(digest) => *digest,
            None => {
                decision::ask(image, rule, budget)?;
                let repository = &image.repository;
                let resolved = self.pull_through.resolve(repository, tag).await;
                let digest = resolved.map_err(|error| deny::fetch(image, rule, error))?;
                *at_upstream.get_or_init(|| digest)
            }
        };
        let suffix = match kept {
            ReservedTag::Artifact(suffix) => suffix,
            ReservedTag::List => {
                return self.in_place_of_list(image, &subject, &digest, &below).await;
            }
        };
        let fetched = self.manifest(image, &digest, rule, budget).await?;
        let admitted = self.admit_tagged(image, fetched, suffix, &subject, budget).await?;
        self.index_graph.passed(image, digest, tag).await;
        Ok(admitted)
    }

    /// Admits the manifest under the tag of a list of referrers for itself, for example a signed image that also has
    /// this tag. A list is denied.
    async fn in_place_of_list(
        &self,
        image: &ImageRef,
        subject: &Admitted,
        digest: &Digest,
        decision: &Decision,
    ) -> Result<Admitted, Denial> {
        let itself = ImageRef { reference: Reference::Digest(*digest), ..image.clone() };
        match self.decide(&itself, digest, decision).await {
            Ok(admitted) => Ok(admitted),
            Err(Denial::Absent(_) | Denial::Refused(_)) => {
                Err(deny::no_list(image, Some(subject.pattern()), subject.digest()))
            }
            Err(
                denial @ (Denial::Undecided(_)
                | Denial::Missing { .. }
                | Denial::Throttled { .. }
                | Denial::Unsatisfiable { .. }),
            ) => Err(deny::of_other(denial, image)),
        }
    }

    /// Admits `fetched` as the artifact of `subject` under a tag with `suffix`.
    pub(super) async fn admit_tagged(
        &self,
        image: &ImageRef,
        fetched: Fetched,
        suffix: Suffix,
        subject: &Admitted,
        budget: &RequestBudget,
    ) -> Result<Admitted, Denial> {
        let content = self.tagged(image, &fetched, suffix, subject, budget).await?;
        let admitted = Admitted::tagged_for(subject, fetched, suffix, &content);
        admitted.map_err(|refusal| deny::plain(image, refusal, Some(subject.pattern())))
    }

    /// The complete content of a manifest that may be an artifact under a tag.
    async fn tagged(
        &self,
        image: &ImageRef,
        fetched: &Fetched,
        suffix: Suffix,
        subject: &Admitted,
        budget: &RequestBudget,
    ) -> Result<Tagged, Denial> {
        let rule = Some(subject.pattern());
        let denied = |why: &str| deny::no_artifact(image, rule, subject.digest(), why);
        let manifest = fetched.manifest();
        // The gate fetches nothing for an artifact whose form is not listed.
        let form = kinds::form(manifest)
            .and_then(|form| {
                let about = subject.descriptor();
                kinds::check_tagged(manifest.media_type(), form, &about, suffix).map(|()| form)
            })
            .map_err(|why| denied(&why))?;
        let Some((config, layers)) = manifest.blobs().split_first() else {
            return Err(denied("it has no layers"));
        };
        let size = layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        if size > MAX_LAYER_BYTES as u64 {
            return Err(denied(&format!(
                "its layers have {size} bytes, and at most {MAX_LAYER_BYTES} are served under a tag; attach it as a \
                 referrer instead"
            )));
        }
        let config = match form.config.is_empty_object() {
            true => None,
            false if config.size > MAX_ARTIFACT_CONFIG as u64 => {
                return Err(denied(&format!(
                    "its config has more than {MAX_ARTIFACT_CONFIG} bytes"
                )));
            }
            false => {
                let ceiling = MAX_ARTIFACT_CONFIG;
                Some(self.small(image, config, ceiling, subject, budget).await?)
            }
        };
        let layers = layers.iter().map(async |layer| {
            let content = self.small(image, layer, MAX_LAYER_BYTES, subject, budget).await?;
            let text = TextLayer::check(layer.digest, content).await;
            text.ok_or_else(|| denied("it has a layer that is not text"))
        });
        Ok(Tagged { config, layers: try_join_all(layers).await? })
    }

    /// The config of a referrer of `subject`, if the decision depends on it.
    pub(super) async fn config_of_referrer(
        &self,
        image: &ImageRef,
        fetched: &Fetched,
        subject: &Admitted,
        budget: &RequestBudget,
    ) -> Result<Option<Bytes>, Denial> {
        match Admitted::config_to_read(subject, fetched) {
            Some(config) => {
                let ceiling = MAX_ARTIFACT_CONFIG;
                self.small(image, config, ceiling, subject, budget).await.map(Some)
            }
            None => Ok(None),
        }
    }

    /// A complete blob of at most `ceiling` bytes. It counts against the budget of the decision.
    async fn small(
        &self,
        image: &ImageRef,
        blob: &Descriptor,
        ceiling: usize,
        subject: &Admitted,
        budget: &RequestBudget,
    ) -> Result<Bytes, Denial> {
        let repository = &image.repository;
        let rule = Some(subject.pattern());
        let kept = self.pull_through.kept_blob(repository, &blob.digest, ceiling);
        if let Some(kept) = kept.await {
            let held = budget.hold(kept.len());
            return held
                .map(|()| kept)
                .map_err(|limit| deny::exhausted(image, rule, limit.to_string()));
        }
        let size = usize::try_from(blob.size).map_or(ceiling, |size| size.min(ceiling));
        decision::ask_for(image, rule, budget, size)?;
        let fetched = self.pull_through.small_blob(repository, &blob.digest, size).await;
        fetched.map_err(|error| deny::fetch(image, rule, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_artifact_tags_have_a_subject() {
        let hex = "a".repeat(64);
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        for suffix in Suffix::ALL {
            let tag: Tag = format!("sha256-{hex}{}", suffix.as_str()).parse().unwrap();
            assert_eq!(subject_of(&tag), Some((digest, ReservedTag::Artifact(suffix))));
        }
        let list = list_of(&digest).unwrap();
        assert_eq!(list.as_str(), format!("sha256-{hex}"));
        assert_eq!(subject_of(&list), Some((digest, ReservedTag::List)));
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
