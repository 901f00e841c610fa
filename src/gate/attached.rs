//! Everything that belongs to an admitted image, for commands that copy the image with its proofs: the manifests that
//! an index lists, and the signatures, attestations and SBOMs of each manifest. Each of them is admitted like a
//! manifest that a client requests.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Digest, ImageRef, Reference, Referrer, RepositoryRef, Tag};
use crate::pull_through::{BlobStream, FetchError, Fetched};
use crate::registry_client::{ByteRange, Page, UpstreamError, Violation};
use crate::trust::Anchor;

use super::admitted::Admitted;
use super::artifacts::list_of;
use super::decision::Decision;
use super::denial::Denial;
use super::kinds::Suffix;
use super::{Gate, Shared, deny};

/// The most manifests that are attached to one manifest of an image, directly or to its attachments.
const MAX_ATTACHED: usize = 1_000;
/// The most pages of one list of referrers.
const MAX_PAGES: usize = 100;

/// How often, and in which interval, to check whether content was stored.
const MAX_CHECKS: usize = 100;
const CHECK: Duration = Duration::from_millis(50);

/// A manifest that belongs to an admitted one.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Where it is stored: the repository of the image, or the signature repository of an anchor.
    pub repository: RepositoryRef,
    /// The cosign tag under which it is stored; `None` for a referrer.
    pub tag: Option<Tag>,
    /// The manifest that it belongs to.
    pub subject: Digest,
    pub manifest: Admitted,
}

/// What is attached to one manifest.
#[derive(Clone, Debug, Default)]
pub struct Attachments {
    pub found: Vec<Attachment>,
    /// What the gate does not serve, and why: one sentence each, with text from registries.
    pub left_out: Vec<String>,
}

impl Gate {
    /// The manifest `digest`, which the admitted index `parent` lists.
    pub async fn child(
        &self,
        image: &ImageRef,
        parent: &Admitted,
        digest: &Digest,
    ) -> Result<Admitted, Denial> {
        let shared = &self.shared;
        let (child, decision) = (ImageRef::by_digest(&image.repository, digest), Decision::new());
        let rule = Some(parent.pattern());
        let fetched = shared.manifest(&child, digest, rule, decision.budget()).await?;
        let outside = shared.outside_below(&child, parent, &fetched, &decision).await?;
        let admitted = Admitted::through(parent, fetched, &outside);
        let admitted = admitted.map_err(|refusal| deny::plain(&child, refusal, rule))?;
        shared.serves_none_denied(&child, &admitted)?;
        Ok(admitted)
    }

    /// The signatures, attestations and SBOMs of the admitted manifest `subject` in the repository of `image` and in the
    /// signature repositories of its anchors.
    ///
    /// # Errors
    ///
    /// A place could not be read, so the result would be incomplete.
    pub async fn attachments(
        &self,
        image: &ImageRef,
        subject: &Admitted,
    ) -> Result<Attachments, Denial> {
        let mut all = Attachments::default();
        for place in self.shared.places_of(image) {
            self.shared.attached_at(&place, subject, &mut all).await?;
        }
        Ok(all)
    }

    /// The blob `digest`, from byte `from` on, which an admitted manifest or attachment of `registry/repository` lists. For
    /// copying only: it cannot become the body of a response.
    pub async fn blob_to_copy(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        from: u64,
    ) -> Result<BlobStream, Denial> {
        let image = ImageRef::by_digest(repository, digest);
        self.shared.not_denied(&image, digest)?;
        let range = (from > 0).then_some(ByteRange::From { first: from });
        let blob = self.shared.pull_through.blob(repository, digest, range).await;
        blob.map_err(|error| deny::fetch(&image, None, error))
    }

    /// Fetches all of the blob `digest` and stores it. For an import: the caller checked that an admitted manifest lists
    /// it.
    pub async fn store_blob(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Result<(), Denial> {
        let image = ImageRef::by_digest(repository, digest);
        self.shared.not_denied(&image, digest)?;
        let pull_through = &self.shared.pull_through;
        let whole = pull_through.whole_blob(repository, digest).await;
        whole.map_err(|error| deny::not_whole(&image, None, error))?;
        // The last bytes arrive a moment before the store publishes the content. All of them matched the digest, so content
        // that the store already had from another repository is this content.
        for _ in 0..MAX_CHECKS {
            if pull_through.confirm_stored(repository, digest).await {
                return Ok(());
            }
            tokio::time::sleep(CHECK).await;
        }
        Err(not_stored(&image))
    }

    /// Whether the store has the blob `digest` for `registry/repository`, which a bundle assumes. For an import. If
    /// `is_signed`, content of other repositories in the same registry counts, too: the caller checked that a manifest lists
    /// the blob that the signers of this repository signed.
    pub async fn has_stored_blob(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        is_signed: bool,
    ) -> Result<bool, Denial> {
        self.shared.not_denied(&ImageRef::by_digest(repository, digest), digest)?;
        let pull_through = &self.shared.pull_through;
        Ok(pull_through.is_kept(repository, digest).await
            || (is_signed && pull_through.confirm_stored(repository, digest).await))
    }

    /// Stores a manifest that the gate admitted for `registry/repository`.
    pub async fn store_manifest(
        &self,
        repository: &RepositoryRef,
        manifest: &Admitted,
    ) -> Result<(), Denial> {
        let kept = self.shared.pull_through.keep_now(repository, manifest.fetched());
        let image = ImageRef::by_digest(repository, &manifest.digest());
        if kept.await { Ok(()) } else { Err(not_stored(&image)) }
    }

    /// The bytes of the manifest `digest` of `registry/repository`, which was admitted before. For copying only.
    pub async fn manifest_to_copy(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Result<Bytes, Denial> {
        let image = ImageRef::by_digest(repository, digest);
        self.shared.not_denied(&image, digest)?;
        let fetched = self.shared.pull_through.manifest(repository, digest).await;
        let fetched = fetched.map_err(|error| deny::fetch(&image, None, error))?;
        Ok(fetched.bytes().clone())
    }
}

impl Shared {
    /// Where signatures of `image` may be: beside it, and in the signature repositories of the anchors that its rules name.
    fn places_of(&self, image: &ImageRef) -> Vec<RepositoryRef> {
        let anchors = self.policy.anchors(&image.repository, self.clock.now());
        let apart = anchors.iter().filter_map(|name| match self.trust.anchor(name) {
            Some(Anchor::Content(anchor)) => anchor.signature_repository().cloned(),
            Some(Anchor::NotaryV1(_)) | None => None,
        });
        let mut places = vec![image.repository.clone()];
        for place in apart {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// Adds what is attached to `subject` in `place`, and what is attached to that.
    async fn attached_at(
        &self,
        place: &RepositoryRef,
        subject: &Admitted,
        all: &mut Attachments,
    ) -> Result<(), Denial> {
        self.tagged_for(place, subject, all).await?;
        // The signature of an SBOM, for example. Signatures of signatures are not followed further.
        let first = all.found.len();
        self.referring_to(place, subject, all).await?;
        for at in first..all.found.len() {
            let between = all.found[at].manifest.clone();
            self.tagged_for(place, &between, all).await?;
            self.referring_to(place, &between, all).await?;
        }
        Ok(())
    }

    /// Adds the artifacts under cosign's tags.
    async fn tagged_for(
        &self,
        repository: &RepositoryRef,
        subject: &Admitted,
        all: &mut Attachments,
    ) -> Result<(), Denial> {
        let about = subject.digest();
        let tags = Suffix::ALL.into_iter().filter_map(|suffix| {
            let (algorithm, hex) = (about.algorithm().name(), about.hex());
            let tag: Tag = format!("{algorithm}-{hex}{}", suffix.as_str()).parse().ok()?;
            Some((suffix, tag))
        });
        let fetch = async |(suffix, tag): (Suffix, Tag)| {
            let tagged = self.pull_through.tagged(repository, &tag, MAX_MANIFEST).await;
            (suffix, tag, tagged)
        };
        for (suffix, tag, tagged) in join_all(tags.map(fetch)).await {
            let reference = Reference::Tag(tag.clone());
            let image = ImageRef { repository: repository.clone(), reference };
            let Some(fetched) = present(&image, tagged, all)? else { continue };
            let decision = Decision::new();
            let budget = decision.budget();
            let admitted = self.admit_tagged(&image, fetched, suffix, subject, budget).await;
            let admitted = admitted.and_then(|admitted| self.allowed(&image, admitted));
            self.add(image, Some(tag), about, admitted, all)?;
        }
        Ok(())
    }

    /// Adds the referrers, from the API and from the tag that replaces it.
    async fn referring_to(
        &self,
        repository: &RepositoryRef,
        subject: &Admitted,
        all: &mut Attachments,
    ) -> Result<(), Denial> {
        let about = subject.digest();
        let here = ImageRef::by_digest(repository, &about);
        let mut listed = BTreeSet::new();
        let mut page = Page::default();
        for number in 1.. {
            let Some(next) = self.page(&here, &about, &page, &mut listed).await? else { break };
            if number >= MAX_PAGES || listed.len() > MAX_ATTACHED {
                let because = format!("it has more than {MAX_ATTACHED} referrers");
                return Err(deny::exhausted(&here, None, because));
            }
            page = next;
        }
        if let Some(tag) = list_of(&about) {
            let list = self.pull_through.tagged(repository, &tag, MAX_MANIFEST).await;
            if let Some(list) = present(&here, list, all)?
                && list.manifest().media_type().is_index()
            {
                listed.extend(entries(&here, list.bytes())?);
            }
        }
        for digest in listed {
            if all.found.iter().any(|found| found.manifest.digest() == digest) {
                continue;
            }
            let image = ImageRef::by_digest(repository, &digest);
            let fetched = self.pull_through.manifest(repository, &digest).await;
            let Some(fetched) = present(&image, fetched, all)? else { continue };
            let decision = Decision::new();
            let config =
                self.config_of_referrer(&image, &fetched, subject, decision.budget()).await;
            let admitted = config.and_then(|config| {
                let admitted = Admitted::about(subject, fetched, config.as_ref());
                admitted.map_err(|why| deny::plain(&image, why, Some(subject.pattern())))
            });
            let admitted = admitted.and_then(|admitted| self.allowed(&image, admitted));
            self.add(image, None, about, admitted, all)?;
        }
        Ok(())
    }

    /// Adds the entries of one page of the referrers API to `listed`; returns the next page.
    async fn page(
        &self,
        here: &ImageRef,
        about: &Digest,
        page: &Page,
        listed: &mut BTreeSet<Digest>,
    ) -> Result<Option<Page>, Denial> {
        let failed = |error: FetchError| deny::fetch(here, None, error);
        let upstream = self.pull_through.upstream(&here.repository.registry).map_err(failed)?;
        let answer =
            upstream.list_referrers(&here.repository.name, about, None, page, MAX_MANIFEST).await;
        let list = answer.and_then(|answer| answer.page(*page == Page::default()));
        let Some(list) = list.map_err(|error| failed(error.into()))? else { return Ok(None) };
        listed.extend(entries(here, list.bytes())?);
        Ok(list.next)
    }

    fn allowed(&self, image: &ImageRef, admitted: Admitted) -> Result<Admitted, Denial> {
        self.not_denied(image, &admitted.digest())?;
        Ok(admitted)
    }

    fn add(
        &self,
        image: ImageRef,
        tag: Option<Tag>,
        subject: Digest,
        admitted: Result<Admitted, Denial>,
        all: &mut Attachments,
    ) -> Result<(), Denial> {
        match admitted {
            Ok(manifest) if all.found.len() < MAX_ATTACHED => {
                let repository = image.repository;
                all.found.push(Attachment { repository, tag, subject, manifest });
                Ok(())
            }
            Ok(_) => {
                let because = format!("more than {MAX_ATTACHED} manifests are attached to it");
                Err(deny::exhausted(&image, None, because))
            }
            Err(denial) if denial.is_undecided() => Err(denial),
            Err(denial) => {
                all.left_out.push(denial.to_string());
                Ok(())
            }
        }
    }
}

fn not_stored(image: &ImageRef) -> Denial {
    let because = "the store cannot keep it: check `max_size` in [store], and the disk";
    deny::exhausted(image, None, because.to_owned())
}

/// The manifest, unless upstream does not have it or what it has is no manifest.
fn present(
    image: &ImageRef,
    fetched: Result<Fetched, FetchError>,
    all: &mut Attachments,
) -> Result<Option<Fetched>, Denial> {
    match fetched {
        Ok(fetched) => Ok(Some(fetched)),
        // Lists that clients maintain may contain deleted manifests.
        Err(FetchError::Upstream(UpstreamError::Absent { .. })) => Ok(None),
        Err(error @ (FetchError::Invalid(_) | FetchError::Mismatch(_))) => {
            all.left_out.push(deny::fetch(image, None, error).to_string());
            Ok(None)
        }
        Err(error @ (FetchError::Upstream(_) | FetchError::NoUpstream(_))) => {
            Err(deny::fetch(image, None, error))
        }
    }
}

/// The digests in a list of referrers. An invalid list is an error and not an empty list.
fn entries(here: &ImageRef, list: &[u8]) -> Result<Vec<Digest>, Denial> {
    let entries = Referrer::parse_list(list).map_err(|why| {
        let violation = UpstreamError::from(Violation::List(why.to_string()));
        deny::fetch(here, None, violation.into())
    })?;
    Ok(entries.into_iter().map(|entry| entry.digest).collect())
}
