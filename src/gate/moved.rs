//! Tags whose anchors sign content. The upstream can move such a tag to an older signed image, or to an unsigned one.
//! The gate keeps the history of each tag, and the rule sets what happens if a tag moves.

use std::sync::Arc;

use super::Shared;
use super::admitted::{Admitted, MatchedRule, Remark};
use super::decision::Decision;
use super::denial::Denial;
use super::deny;
use super::judge::Target;
use crate::clock::Timestamp;
use crate::oci::{Digest, ImageRef, Tag};
use crate::policy::{OnRollback, OnUnsigned, Permit, Required, Rule};
use crate::trust::tags::{IfOlder, Need, Noted, Remembered};
use crate::trust::{Endorsement, Reason, Refusal, Scheme};

impl Shared {
    /// Serves a tag that was `judged` by anchors that sign content, and compares it with the history of the tag.
    pub(super) async fn by_content(
        &self,
        image: &ImageRef,
        tag: &Tag,
        required: Required<'_>,
        judged: Result<Permit<Denial>, Denial>,
        place: &MatchedRule<'_>,
        decision: &Decision,
    ) -> Result<Admitted, Denial> {
        let before = self.history(image, tag, place)?;
        let holds = required.chosen().on_unsigned() == OnUnsigned::Hold;
        let (permit, mut remark) = match judged {
            Ok(permit) => (permit, None),
            Err(denial) if holds && denial.is_unsigned() => {
                let Some(before) = &before else { return Err(denial) };
                let last = &before.digest;
                let target = Target::Digest { digest: last, tag: Some(tag) };
                let still = self.judge(image, target, &required.chosen(), Some(decision)).await;
                let Ok(permit) = still else { return Err(denial) };
                let moved_to = self.resolutions.last(image, tag).await;
                (permit, Some(Remark::Held { moved_to, because: denial.to_string() }))
            }
            Err(denial) => return Err(denial),
        };
        let digest = permit.digest();
        let admitted = self.fetch(image, permit, place, Some(decision)).await?;
        let signed = earliest(admitted.endorsements());
        if let Noted::Older { newest } =
            self.note(image, tag, signed, &digest, required.rule(), place).await?
        {
            if required.rule().on_rollback == OnRollback::Refuse {
                return Err(rolled_back(image, &digest, signed, newest, place.rule));
            }
            remark = Some(Remark::RolledBack { signed, newest });
        }
        self.index_graph.passed(image, digest, tag).await;
        tell(image, remark.as_ref());
        Ok(admitted.remarked(remark))
    }

    /// The history of `tag`. If it cannot be read, that is an error only where a rule depends on it.
    fn history(
        &self,
        image: &ImageRef,
        tag: &Tag,
        place: &MatchedRule<'_>,
    ) -> Result<Option<Remembered>, Denial> {
        match self.recall(image, tag, Some(place.rule)) {
            Err(_) if self.need(image, tag) == Need::Optional => Ok(None),
            recalled @ (Ok(_) | Err(_)) => recalled,
        }
    }

    /// The history of `tag`; an error if it cannot be read.
    pub(super) fn recall(
        &self,
        image: &ImageRef,
        tag: &Tag,
        rule: Option<&Arc<str>>,
    ) -> Result<Option<Remembered>, Denial> {
        let recalled = self.tags.recall(&image.repository, tag);
        recalled.map_err(|error| deny::no_memory(image, rule, &error))
    }

    /// Compares the digest of the tag with its history and records it, in one step. If a rule depends on the record,
    /// nothing is served before it is on disk.
    async fn note(
        &self,
        image: &ImageRef,
        tag: &Tag,
        signed: Option<Timestamp>,
        digest: &Digest,
        rule: &Rule,
        place: &MatchedRule<'_>,
    ) -> Result<Noted, Denial> {
        let key = (&image.repository, tag);
        let if_older = match rule.on_rollback {
            OnRollback::Warn => IfOlder::Record,
            OnRollback::Refuse => IfOlder::Reject,
        };
        let now = self.clock.now();
        let noted = self.tags.note(key, digest, signed, now, if_older, &self.needs).await;
        let error = match noted {
            Ok(noted) => return Ok(noted),
            Err(error) => error,
        };
        match self.need(image, tag) {
            Need::Optional => {
                tracing::warn!(%image, %error, "the history of the tag cannot be recorded");
                Ok(Noted::Recorded)
            }
            Need::Required => {
                tracing::error!(%image, %error, "the history of the tag cannot be recorded");
                Err(deny::no_memory(image, Some(place.rule), &error))
            }
        }
    }

    fn need(&self, image: &ImageRef, tag: &Tag) -> Need {
        (self.needs)(&image.repository, tag)
    }
}

/// The earliest time at which one of them signed: an old image does not become young because somebody signs it again,
/// as a scanner does every day. A signature of the content whose time is unknown counts as older than all others.
/// Notary v1 has versions instead of signing times, so its endorsements do not count here.
fn earliest(met: &[Endorsement]) -> Option<Timestamp> {
    let of_content = met.iter().filter(|endorsement| match endorsement.says().scheme {
        Scheme::Cosign | Scheme::Notation => true,
        Scheme::NotaryV1 => false,
    });
    let times: Option<Vec<Timestamp>> = of_content.map(|one| one.says().signed).collect();
    times.and_then(|times| times.into_iter().min())
}

/// The denial of an image that was signed earlier than the newest image of its tag.
fn rolled_back(
    image: &ImageRef,
    digest: &Digest,
    signed: Option<Timestamp>,
    newest: Timestamp,
    rule: &Arc<str>,
) -> Denial {
    let signed = match signed {
        Some(signed) => format!("was signed at {signed}"),
        None => "has no signing time".to_owned(),
    };
    let because = format!(
        "{digest} {signed}, but this tag had an image signed at {newest}; if this is intended, \
         `countersign forget {image}` accepts it"
    );
    deny::plain(image, Refusal::new(Reason::Rollback, because), Some(rule))
}

fn tell(image: &ImageRef, remark: Option<&Remark>) {
    match remark {
        Some(Remark::Held { because, .. }) => {
            tracing::warn!(%image, because, "the tag moved to an image that is not signed; serving the previous image");
        }
        Some(Remark::RolledBack { signed, newest }) => {
            let signed = signed.map(tracing::field::display);
            tracing::warn!(%image, signed, %newest, "the tag moved to an image that was signed earlier than the newest one");
        }
        Some(Remark::Exempted { .. }) | None => {}
    }
}
