//! Previews: what the gate would decide now about an earlier pull, by digest, or by a tag and the digest that it had
//! then. Serves nothing, waits for the whole decision, and ignores exemptions.

use std::sync::Arc;

use tokio::time::timeout;

use super::decision::{Decision, TagDigest};
use super::denial::Denial;
use super::judge::{AtUpstream, Target};
use super::{Gate, MAX_DECISION, Shared, deny};
use crate::oci::{Digest, ImageRef, Reference, Tag};
use crate::policy::Terms;

/// The manifest that would be served.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The digest.
    pub digest: Digest,
    /// The denial that enforcement would give, if an audit rule serves it.
    pub dry_run_denial: Option<Arc<Denial>>,
}

impl Gate {
    /// Previews a pull of `image`, which had `digest` at an earlier pull. Without `digest`, or if anchors sign the tag,
    /// it previews the tag as it is now.
    pub async fn judge(
        &self,
        image: &ImageRef,
        digest: Option<&Digest>,
    ) -> Result<Preview, Denial> {
        let judging = async {
            match (&image.reference, digest) {
                (Reference::Digest(digest), _) => self.shared.judge_by_digest(image, digest).await,
                (Reference::Tag(tag), Some(digest)) => {
                    self.shared.judge_as(image, tag, digest).await
                }
                (Reference::Tag(tag), None) => {
                    let admitted = self.shared.by_trust(image, tag, &TagDigest::new()).await?;
                    Ok(Preview {
                        digest: admitted.digest(),
                        dry_run_denial: admitted.dry_run_denial().cloned(),
                    })
                }
            }
        };
        timeout(MAX_DECISION, Box::pin(judging))
            .await
            .unwrap_or_else(|_| Err(deny::too_slow(image)))
    }

    /// The digest that the upstream has under `tag` now.
    pub async fn resolve(&self, image: &ImageRef, tag: &Tag) -> Result<Digest, Denial> {
        let (registry, repository) = (&image.registry, &image.repository);
        let resolved = self.shared.pull_through.resolve(registry, repository, tag).await;
        resolved.map_err(|error| deny::fetch(image, None, error))
    }
}

impl Shared {
    async fn judge_by_digest(&self, image: &ImageRef, digest: &Digest) -> Result<Preview, Denial> {
        self.not_denied(image, digest)?;
        let judged = self.by_trust_alone(image, digest, &Decision::new()).await;
        let digest = *digest;
        match judged {
            Ok(admitted) => {
                Ok(Preview { digest, dry_run_denial: admitted.dry_run_denial().cloned() })
            }
            Err(denial) => match self.audits(image, &digest).await {
                Some(_) => Ok(Preview { digest, dry_run_denial: Some(Arc::new(denial)) }),
                None => Err(denial),
            },
        }
    }

    /// Previews `tag` as if the upstream had `digest` under it.
    async fn judge_as(
        &self,
        image: &ImageRef,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<Preview, Denial> {
        self.not_denied(image, digest)?;
        let now = self.clock.now();
        let chosen = self.policy.rule_for(&image.registry, &image.repository, Some(tag), now);
        let decision = Decision::new();
        let audits = chosen.is_some_and(|chosen| matches!(chosen.terms(), Terms::Audit(_)));
        let at_upstream = AtUpstream::Known(digest);
        let judged = match self.is_about(image, tag, chosen.as_ref()) {
            Some((subject, kept)) => {
                let about = (&subject, kept);
                let admitted = self.artifact(image, tag, about, at_upstream, &decision).await;
                admitted.map(|admitted| (admitted.digest(), admitted.dry_run_denial().cloned()))
            }
            None => {
                let Some(chosen) = chosen else { return Err(deny::no_rule(image)) };
                let target = Target::Tag { tag, at_upstream };
                let permit = self.judge(image, target, &chosen, decision.budget()).await;
                permit.map(|permit| (permit.digest(), None))
            }
        };
        match judged {
            Ok((digest, dry_run_denial)) => Ok(Preview { digest, dry_run_denial }),
            Err(denial) if audits => {
                Ok(Preview { digest: *digest, dry_run_denial: Some(Arc::new(denial)) })
            }
            Err(denial) => Err(denial),
        }
    }
}
