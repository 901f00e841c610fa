//! Checks an endorsement once more, apart from the rule of its image: whether the upstream has the endorsed manifest,
//! and which other anchors endorse it. For commands that report or sign again; serves nothing.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::admitted::{MatchedRule, holds};
use super::anchors::subject_of;
use super::denial::Denial;
use super::{Gate, MAX_DECISION, Shared, deny};
use crate::oci::{ImageRef, Reference};
use crate::policy::Terms;
use crate::trust::discovery::RequestBudget;
use crate::trust::{Endorsement, Unendorsed};

/// An anchor, and its answer about a digest.
pub type AnchorAnswer = (Arc<str>, Result<Endorsement, Unendorsed>);

impl Gate {
    /// The answers of `anchors`, whose schemes sign content, about the digest that `endorsement` names.
    ///
    /// # Errors
    ///
    /// The endorsement does not hold: a deny rule covers the image, the upstream does not have the manifest or has
    /// another one, or the gate cannot find out.
    pub async fn recheck(
        &self,
        endorsement: &Endorsement,
        anchors: &[Arc<str>],
    ) -> Result<Vec<AnchorAnswer>, Denial> {
        let says = endorsement.says();
        let reference = match &says.tag {
            Some(tag) => Reference::Tag(tag.clone()),
            None => Reference::Digest(says.digest),
        };
        let image = ImageRef { repository: says.repository.clone(), reference };
        let checking = Box::pin(self.shared.recheck(&image, endorsement, anchors));
        timeout(MAX_DECISION, checking).await.unwrap_or_else(|_| Err(deny::too_slow(&image)))
    }
}

impl Shared {
    async fn recheck(
        &self,
        image: &ImageRef,
        endorsement: &Endorsement,
        anchors: &[Arc<str>],
    ) -> Result<Vec<AnchorAnswer>, Denial> {
        let (repository, now) = (&image.repository, self.clock.now());
        let chosen = self.policy.rule_for(repository, image.tag(), now);
        if let Some(chosen) = &chosen
            && let Terms::Deny { reason } = chosen.terms()
        {
            return Err(deny::by_rule(image, chosen.pattern(), reason));
        }
        let (rule, budget) = (chosen.map(|chosen| chosen.pattern()), RequestBudget::new());
        let fetched = self.manifest(image, &endorsement.digest(), rule, &budget).await?;
        self.content_not_denied(image, &fetched)?;
        let no_rule = Arc::from("");
        let place = MatchedRule { repository, rule: rule.unwrap_or(&no_rule) };
        holds(&fetched, endorsement, &place, now)
            .map_err(|refusal| deny::plain(image, refusal, rule))?;
        let subject = Arc::new(subject_of(&fetched, &place));
        let ask = async |anchor: &Arc<str>| {
            let verdict = self.trust.verdict(anchor, &subject, &budget).await;
            (anchor.clone(), verdict.and_then(|verdict| verdict.answer()))
        };
        Ok(join_all(anchors.iter().map(ask)).await)
    }
}
