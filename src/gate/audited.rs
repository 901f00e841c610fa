//! Audit rules: the gate decides as if the rule were enforced, serves the image in any case, and records the denial that
//! enforcing would have given. It waits for a short time only; the decision continues in the background, so that the next
//! request finds its results.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use moka::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::admitted::Admitted;
use super::decision::{Decision, TagDigest};
use super::denial::Denial;
use super::judge::place;
use super::{MAX_DECISION, PATIENCE, Shared, deny};
use crate::clock::Timestamp;
use crate::oci::{Digest, ImageRef, RepositoryRef, Tag};
use crate::policy::Audit;

/// How long the gate does not wait in a repository after a decision there took too long.
const NO_WAIT: Duration = Duration::from_secs(5);
/// The most repositories for which this is remembered.
const MAX_SLOW: u64 = 10_000;
/// The most decisions in progress, with and without a waiting request.
const MAX_JUDGING: usize = 256;

/// The decisions in progress under audit rules, and the repositories where they take long.
pub(super) struct Audits {
    slow: Cache<RepositoryRef, Timestamp>,
    judging: Arc<Semaphore>,
}

impl Audits {
    pub(super) fn new() -> Self {
        Self { slow: Cache::new(MAX_SLOW), judging: Arc::new(Semaphore::new(MAX_JUDGING)) }
    }
}

type Judging = BoxFuture<'static, Result<Admitted, Denial>>;

impl Shared {
    /// Admits `tag` as an enforce rule would, otherwise what upstream has under it.
    pub(super) async fn audited_tag(
        &self,
        image: &ImageRef,
        tag: &Tag,
        audit: Audit<'_>,
        at_upstream: &TagDigest,
    ) -> Result<Admitted, Denial> {
        let (of, by) = (image.clone(), tag.clone());
        let judged_digest = Arc::new(TagDigest::new());
        let cell = Arc::clone(&judged_digest);
        let judged = self.judge_soon(image, move |shared| {
            Box::pin(async move {
                let now = shared.clock.now();
                let chosen = shared.policy.rule_for(&of.repository, Some(&by), now);
                shared.enforced(&of, &by, chosen, &cell).await
            })
        });
        let denial = match judged.await {
            Ok(admitted) => return Ok(admitted),
            Err(denial) => denial,
        };
        // Serves the digest that the denial is about, also if the tag has moved meanwhile.
        if let Some(digest) = judged_digest.get() {
            at_upstream.get_or_init(|| *digest);
        }
        let digest = self.digest_at_upstream(image, tag, &audit.chosen(), at_upstream).await?;
        let admitted = self.admit_by_audit(image, digest, &audit, denial, None).await?;
        self.index_graph.passed(image, digest, tag).await;
        log_dry_run_denial(&admitted);
        Ok(admitted)
    }

    /// The audit rule for `digest`, if there is one.
    pub(super) async fn audits(&self, image: &ImageRef, digest: &Digest) -> Option<Audit<'_>> {
        if !self.policy.audits() {
            return None;
        }
        let now = self.clock.now();
        let audit = |tag| {
            let chosen = self.policy.rule_for(&image.repository, tag, now)?;
            chosen.audit()
        };
        if let Some(audit) = audit(None) {
            return Some(audit);
        }
        let tags = self.index_graph.tags(image, digest).await;
        tags.iter().find_map(|tag| audit(Some(tag)))
    }

    /// Admits `digest` as an enforce rule would, otherwise because the rule only audits.
    pub(super) async fn audited_digest(
        &self,
        image: &ImageRef,
        digest: &Digest,
        decision: &Decision,
        audit: Audit<'_>,
    ) -> Result<Admitted, Denial> {
        let (of, at, asked) = (image.clone(), *digest, decision.clone());
        let judged = self.judge_soon(image, move |shared| {
            Box::pin(async move { shared.by_trust_alone(&of, &at, &asked).await })
        });
        match judged.await {
            Ok(admitted) => {
                log_dry_run_denial(&admitted);
                Ok(admitted)
            }
            Err(denial) => {
                // A new budget: the failed decision may have used up its own.
                let decision = decision.anew();
                let admitted =
                    self.admit_by_audit(image, *digest, &audit, denial, Some(&decision)).await?;
                log_dry_run_denial(&admitted);
                Ok(admitted)
            }
        }
    }

    /// Admits `digest` because the rule only audits, and records that enforcement would have given `denial`.
    pub(super) async fn admit_by_audit(
        &self,
        image: &ImageRef,
        digest: Digest,
        audit: &Audit<'_>,
        denial: Denial,
        decision: Option<&Decision>,
    ) -> Result<Admitted, Denial> {
        let permit = audit.permit(digest, Arc::new(denial));
        self.fetch(image, permit, &place(image, &audit.chosen()), decision).await
    }

    /// The result of `judging`, if it takes at most [`PATIENCE`]. Otherwise it continues in the background.
    async fn judge_soon(
        &self,
        image: &ImageRef,
        judging: impl FnOnce(Arc<Shared>) -> Judging,
    ) -> Result<Admitted, Denial> {
        let not_awaited = |because: &str| deny::not_awaited(image, because.to_owned());
        let Some(shared) = self.itself.upgrade() else {
            return Err(not_awaited("the gate is stopping"));
        };
        let mut judging = judging(shared);
        let at_once = poll_fn(|context| Poll::Ready(judging.as_mut().poll(context))).await;
        if let Poll::Ready(judged) = at_once {
            return judged;
        }
        let place = image.repository.clone();
        let now = self.clock.now();
        let slow = self.audits.slow.get(&place);
        if slow.is_some_and(|since| since <= now && now.since(since) < NO_WAIT) {
            let because = "the last decision in this repository took too long, and an audit rule \
                           does not wait again";
            return Err(not_awaited(because));
        }
        let Ok(turn) = self.audits.judging.clone().try_acquire_owned() else {
            return Err(not_awaited("too many decisions are in progress"));
        };
        let of = image.clone();
        let task = tokio::spawn(async move {
            let _turn = turn;
            timeout(MAX_DECISION, judging).await.unwrap_or_else(|_| Err(deny::too_slow(&of)))
        });
        match timeout(PATIENCE, task).await {
            Ok(Ok(judged)) => judged,
            Ok(Err(error)) => {
                tracing::error!(%image, %error, "a decision panicked");
                Err(not_awaited("the decision failed"))
            }
            Err(_) => {
                self.audits.slow.insert(place, now);
                let seconds = PATIENCE.as_secs();
                let because =
                    format!("it took longer than {seconds} seconds, the limit of an audit rule");
                Err(not_awaited(&because))
            }
        }
    }
}

/// Logs what an enforce rule would have denied.
fn log_dry_run_denial(admitted: &Admitted) {
    let Some(denial) = admitted.dry_run_denial() else { return };
    let resource = denial.resource();
    tracing::warn!(
        target: "countersign::would_refuse",
        {
        image.registry = resource.repository.registry.as_str(),
        image.repository = resource.repository.name.as_str(),
        image.reference = resource.reference().map(tracing::field::display),
        verdict = denial.dry_run_verdict().as_str(),
        reason = denial.reason(),
        },
        "served by an audit rule; enforcement would have denied it: {denial}"
    );
}
