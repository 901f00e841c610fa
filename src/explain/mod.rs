//! `countersign why`: the whole decision about one image, for people and for programs. Takes the same
//! decision as the gate and tells what it rests on; decides nothing itself.

mod content;
mod names;

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::exemptions::Said;
use crate::gate::{Denial, Gate, Remark};
use crate::oci::{ImageRef, Reference};
use crate::policy::{Chosen, Mode};
use crate::trust::Anchor;
use content::ContentTold;
use names::NamesTold;

/// The decision about one image, and what it rests on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Explanation {
    pub image: String,
    /// `admitted`, `absent`, `refused`, `undecided`, or what upstream says of something admitted.
    pub verdict: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// One sentence.
    pub because: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleTold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<Cow<'static, str>>,
    /// What is to be known of an image that is served: that its tag is held, or was rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// What its rule would say if it did not only audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<WouldTold>,
    /// What is remembered of its tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryTold>,
    pub anchors: Vec<AnchorTold>,
}

/// What one anchor was asked, where, and what it said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AnchorTold {
    Names(NamesTold),
    Content(ContentTold),
}

/// What a rule that audits would say if it were enforced.
#[derive(Debug, Serialize, Deserialize)]
pub struct WouldTold {
    pub verdict: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// One sentence.
    pub because: String,
}

/// What is remembered of a tag.
#[derive(Debug, Serialize, Deserialize)]
pub struct MemoryTold {
    pub digest: String,
    pub since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_signature: Option<String>,
}

/// The rule that decided.
#[derive(Debug, Serialize, Deserialize)]
pub struct RuleTold {
    pub images: String,
    pub mode: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Takes the decision about `image`, and tells it.
pub async fn explain(gate: &Gate, image: &ImageRef) -> Explanation {
    let decided = gate.admit(image).await;
    let tag = match &image.reference {
        Reference::Tag(tag) => Some(tag),
        Reference::Digest(_) => None,
    };
    let now = gate.clock().now();
    let chosen = gate.policy().rule_for(&image.registry, &image.repository, tag, now);
    let mut anchors = Vec::new();
    for name in gate.policy().anchors(&image.registry, &image.repository, now) {
        let Some(Anchor::NotaryV1(anchor)) = gate.trust().anchor(&name) else { continue };
        let signed = gate.trust().signed(&name, &image.registry, &image.repository).await;
        anchors.push(AnchorTold::Names(NamesTold::of(anchor, image, signed)));
    }
    // What cannot be heard, the denial tells.
    if let Ok(Some(heard)) = gate.heard(image).await {
        anchors.extend(ContentTold::of(gate.trust(), &heard).map(AnchorTold::Content));
    }
    let memory = gate.remembered(image).ok().flatten().map(|of| MemoryTold {
        digest: of.digest.to_string(),
        since: of.since.to_string(),
        newest_signature: of.newest.map(|newest| newest.to_string()),
    });
    let rule = chosen.as_ref().map(rule);
    let image_text = image.to_string();
    match decided {
        Ok(admitted) => {
            let vouch = admitted.anchors().join(", ");
            let because = if let Some(Remark::Exempted { exemption, .. }) = admitted.remark() {
                format!("nobody vouches for it; it is exempted until {}", exemption.says().until)
            } else if vouch.is_empty() {
                format!("the rule for {} serves it without a signature", admitted.rule())
            } else {
                format!("{vouch} vouches for {}", admitted.digest())
            };
            Explanation {
                image: image_text,
                verdict: "admitted".into(),
                reason: None,
                because,
                rule,
                digest: Some(admitted.digest().to_string()),
                media_type: Some(admitted.media_type().as_str().into()),
                remark: admitted.remark().map(remark),
                would: admitted.would().map(|denial| WouldTold {
                    verdict: denial.would().into(),
                    reason: denial.reason().map(Into::into),
                    because: denial.to_string(),
                }),
                memory,
                anchors,
            }
        }
        Err(denial) => Explanation {
            image: image_text,
            verdict: verdict(&denial).into(),
            reason: denial.reason().map(Cow::from),
            because: denial.to_string(),
            rule,
            digest: None,
            media_type: None,
            remark: None,
            would: None,
            memory,
            anchors,
        },
    }
}

fn verdict(denial: &Denial) -> &'static str {
    match denial {
        Denial::Throttled { .. } => "undecided",
        Denial::Missing { .. } | Denial::Unsatisfiable { .. } => "missing",
        Denial::Absent(_) | Denial::Refused(_) | Denial::Undecided(_) => {
            denial.verdict().unwrap_or("missing")
        }
    }
}

/// The exit status of the contract: 0 admitted; 3 refused, absent or missing; 4 undecided.
pub fn exit_status(explanation: &Explanation) -> u8 {
    match &*explanation.verdict {
        "admitted" => 0,
        "undecided" => 4,
        _ => 3,
    }
}

fn rule(chosen: &Chosen<'_>) -> RuleTold {
    let (mode, reason) = match &chosen.rule.mode {
        Mode::Allow { reason } => ("allow", Some(reason.clone())),
        Mode::Audit(_) => ("audit", None),
        Mode::Deny { reason } => ("deny", reason.clone()),
        Mode::Enforce(_) => ("enforce", None),
    };
    RuleTold { images: chosen.pattern.to_string(), mode: mode.into(), reason }
}

fn remark(remark: &Remark) -> String {
    match remark {
        Remark::Exempted { exemption, because } => {
            let Said { digest, reason, by, made, until, .. } = exemption.says();
            format!(
                "exempted: {by} exempted {digest} at {made} until {until} ({reason}); without that: {because}"
            )
        }
        Remark::Held { moved_to: Some(digest), because } => {
            format!("held: upstream moved the tag to {digest}, and {because}")
        }
        Remark::Held { moved_to: None, because } => format!("held: {because}"),
        Remark::RolledBack { signed: Some(signed), newest } => {
            format!("rolled back: it was signed at {signed}, what the tag had before at {newest}")
        }
        Remark::RolledBack { signed: None, newest } => {
            format!(
                "rolled back: it does not say when it was signed, what the tag had before at {newest}"
            )
        }
    }
}

impl Explanation {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{}\n  verdict   {}{reason}\n  because   {}",
            self.image, self.verdict, self.because
        );
        match &self.rule {
            Some(rule) => {
                let why = rule.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                let _ = writeln!(text, "  rule      {} [{}]{why}", rule.images, rule.mode);
            }
            None => text.push_str("  rule      none is for this image\n"),
        }
        if let (Some(digest), Some(media_type)) = (&self.digest, &self.media_type) {
            let _ = writeln!(text, "  digest    {digest}\n  type      {media_type}");
        }
        if let Some(remark) = &self.remark {
            let _ = writeln!(text, "  remark    {remark}");
        }
        if let Some(WouldTold { verdict, reason, because }) = &self.would {
            let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let _ = writeln!(
                text,
                "  would be  {verdict}{reason} if the rule were enforced: {because}"
            );
        }
        if let Some(MemoryTold { digest, since, newest_signature }) = &self.memory {
            let signed = newest_signature.as_ref();
            let signed = signed.map(|at| format!(", signed at {at}")).unwrap_or_default();
            let _ = writeln!(text, "  memory    {digest} since {since}{signed}");
        }
        for anchor in &self.anchors {
            match anchor {
                AnchorTold::Names(told) => told.write(&mut text),
                AnchorTold::Content(told) => told.write(&mut text),
            }
        }
        text
    }
}
