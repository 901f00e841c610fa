//! Previews: what the gate would decide now about an earlier pull, by digest, or by a tag and the digest that it had
//! then. Serves nothing, waits for the whole decision, and ignores exemptions.

use std::sync::Arc;

use tokio::time::timeout;

use super::admitted::Admitted;
use super::decision::{Decision, TagDigest};
use super::denial::Denial;
use super::judge::{Target, place};
use super::{Gate, MAX_DECISION, Shared, deny};
use crate::oci::{Digest, ImageRef, Reference, Tag};
use crate::policy::{Audit, Chosen, Permit};

/// The manifest that would be served.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The digest.
    pub digest: Digest,
    /// The denial that enforcement would give, if an audit rule serves it.
    pub dry_run_denial: Option<Arc<Denial>>,
    /// The anchors that endorse it; none if the rule requires none.
    pub anchors: Vec<Arc<str>>,
    /// Whether only Notary v1 anchors endorse it.
    pub by_notaryv1_alone: bool,
}

impl From<Admitted> for Preview {
    fn from(admitted: Admitted) -> Self {
        let endorsements = admitted.endorsements().iter();
        Self {
            digest: admitted.digest(),
            dry_run_denial: admitted.dry_run_denial().cloned(),
            anchors: endorsements.map(|one| one.says().anchor.clone()).collect(),
            by_notaryv1_alone: admitted.is_by_notaryv1_alone(),
        }
    }
}

impl Gate {
    /// Previews a pull of `image`, which had `digest` at an earlier pull. Without `digest`, or if anchors sign the tag,
    /// it previews the tag as it is now.
    pub async fn preview(
        &self,
        image: &ImageRef,
        digest: Option<&Digest>,
    ) -> Result<Preview, Denial> {
        let judging = async {
            match (&image.reference, digest) {
                (Reference::Digest(digest), _) => self.shared.preview_digest(image, digest).await,
                (Reference::Tag(tag), Some(digest)) => {
                    self.shared.preview_as(image, tag, digest).await
                }
                (Reference::Tag(tag), None) => {
                    let admitted = self.shared.by_trust(image, tag, &TagDigest::new()).await;
                    admitted.map(Preview::from)
                }
            }
        };
        timeout(MAX_DECISION, Box::pin(judging))
            .await
            .unwrap_or_else(|_| Err(deny::too_slow(image)))
    }

    /// The digest that the upstream has under `tag` now.
    pub async fn resolve(&self, image: &ImageRef, tag: &Tag) -> Result<Digest, Denial> {
        let repository = &image.repository;
        let resolved = self.shared.pull_through.resolve(repository, tag).await;
        resolved.map_err(|error| deny::fetch(image, None, error))
    }
}

impl Shared {
    async fn preview_digest(&self, image: &ImageRef, digest: &Digest) -> Result<Preview, Denial> {
        self.not_denied(image, digest)?;
        let decision = Decision::new();
        match self.by_trust_alone(image, digest, &decision).await {
            Ok(admitted) => Ok(admitted.into()),
            Err(denial) => match self.audits(image, digest).await {
                Some(audit) => self.preview_audit(image, *digest, &audit, denial).await,
                None => Err(denial),
            },
        }
    }

    /// Previews `tag` as if the upstream had `digest` under it.
    async fn preview_as(
        &self,
        image: &ImageRef,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<Preview, Denial> {
        self.not_denied(image, digest)?;
        let now = self.clock.now();
        let chosen = self.policy.rule_for(&image.repository, Some(tag), now);
        let decision = Decision::new();
        let at_upstream = &TagDigest::from(*digest);
        let preview = match self.is_about(image, tag, chosen.as_ref()) {
            Some((subject, kept)) => {
                let about = (&subject, kept);
                self.artifact(image, tag, about, at_upstream, &decision).await.map(Preview::from)
            }
            None => {
                let Some(chosen) = &chosen else { return Err(deny::no_rule(image)) };
                let target = Target::Tag { tag, at_upstream };
                match self.judge(image, target, chosen, Some(&decision)).await {
                    Ok(permit) => self.preview_permit(image, permit, chosen, &decision).await,
                    Err(denial) => Err(denial),
                }
            }
        };
        match (preview, chosen.and_then(|chosen| chosen.audit())) {
            (Err(denial), Some(audit)) => self.preview_audit(image, *digest, &audit, denial).await,
            (preview, _) => preview,
        }
    }

    async fn preview_audit(
        &self,
        image: &ImageRef,
        digest: Digest,
        audit: &Audit<'_>,
        denial: Denial,
    ) -> Result<Preview, Denial> {
        let permit = audit.permit(digest, Arc::new(denial));
        self.preview_permit(image, permit, &audit.chosen(), &Decision::new()).await
    }

    /// Previews what `permit` serves. If the content cannot be fetched at the moment, a permit that needs no signature decides
    /// alone: an outage of the registry says nothing about the rules.
    async fn preview_permit(
        &self,
        image: &ImageRef,
        permit: Permit<Denial>,
        chosen: &Chosen<'_>,
        decision: &Decision,
    ) -> Result<Preview, Denial> {
        let without_content = permit.serves_anything().then(|| Preview {
            digest: permit.digest(),
            dry_run_denial: permit.dry_run_denial().cloned(),
            anchors: Vec::new(),
            by_notaryv1_alone: false,
        });
        match self.fetch(image, permit, &place(image, chosen), Some(decision)).await {
            Ok(admitted) => Ok(admitted.into()),
            Err(denial) if denial.is_undecided() => without_content.ok_or(denial),
            Err(denial) => Err(denial),
        }
    }
}
