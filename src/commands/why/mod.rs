//! `countersign why`: explains the complete decision about one image, as text and as JSON. The gate makes the decision;
//! this module only reports it and its evidence.

mod advice;
mod content;
mod inspect;
mod names;
mod rules;
mod text;

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::exemptions::Said;
use crate::gate::{Admitted, Denial, Gate, MAX_DECISION, Remark, Verdict};
use crate::oci::ImageRef;
use crate::policy::{Mode, Rule};
use crate::trust::{Anchor, Endorsement};
use advice::Case;
pub use content::ContentReport;
pub use inspect::Inspected;
pub use names::NamesReport;
pub use rules::{BeatenReport, RuleReport};

/// The decision about one image and its evidence.
#[derive(Debug, Serialize, Deserialize)]
pub struct Explanation {
    pub image: String,
    /// `admitted`, `absent`, `refused`, `undecided`, or `missing` (upstream does not have the image).
    pub verdict: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// One sentence.
    pub because: String,
    /// One sentence: what would change the decision, and who can do it.
    #[serde(default)]
    pub advice: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleReport>,
    /// The other rules that cover the image's name, the most specific first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beaten: Vec<BeatenReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamReport>,
    /// The digest that the tag has at upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<TagReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<Cow<'static, str>>,
    /// Notes about an admitted image: it is exempted, or its tag is held or rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// The denial that the audit rule would give with `mode = "enforce"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<WouldReport>,
    /// The tag history of its tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryReport>,
    /// The endorsements of an admitted image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endorsements: Vec<EndorsementReport>,
    pub anchors: Vec<AnchorReport>,
    /// Why the explanation is incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// The result of one anchor and where the gate searched.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AnchorReport {
    Names(NamesReport),
    Content(ContentReport),
}

/// The registry that the image comes from.
#[derive(Debug, Serialize, Deserialize)]
pub struct UpstreamReport {
    pub registry: String,
    pub url: String,
}

/// The digest that upstream reports for a tag now; nothing verifies it.
#[derive(Debug, Serialize, Deserialize)]
pub struct TagReport {
    pub tag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Why upstream did not report a digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// The signed or served digest, if it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differs: Option<String>,
}

/// The denial that an audit rule would give if it were enforced.
#[derive(Debug, Serialize, Deserialize)]
pub struct WouldReport {
    pub verdict: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// One sentence.
    pub because: String,
}

/// One endorsement that admits an image.
#[derive(Debug, Serialize, Deserialize)]
pub struct EndorsementReport {
    pub anchor: String,
    pub scheme: Cow<'static, str>,
    /// The endorsed digest: the image, an index that lists it, or the subject of an artifact.
    pub digest: String,
    /// The signed tag, if the scheme signs names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    pub signed_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<String>,
    /// When the endorsement expires, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// The tag history of one tag.
#[derive(Debug, Serialize, Deserialize)]
pub struct MemoryReport {
    pub digest: String,
    pub since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_signature: Option<String>,
}

/// The evidence of a decision, as far as it could be collected.
#[derive(Default)]
struct Evidence {
    anchors: Vec<AnchorReport>,
    tag: Option<TagReport>,
    incomplete: Option<String>,
}

/// Makes the decision about `image` and explains it. Costs at most twice as much as a decision.
pub async fn explain(gate: &Gate, image: &ImageRef) -> Explanation {
    // Otherwise an image of an unknown registry would be reported as an image without a rule.
    let decided = match gate.upstream(&image.repository.registry) {
        Some(_) => gate.admit(image).await,
        None => Err(Denial::no_upstream(image.clone())),
    };
    let found = tokio::time::timeout(MAX_DECISION, found(gate, image)).await;
    let found = found.unwrap_or_else(|_| Evidence {
        incomplete: Some(format!(
            "the evidence could not be collected within {} seconds",
            MAX_DECISION.as_secs()
        )),
        ..Evidence::default()
    });
    report(gate, image, &decided, found)
}

async fn found(gate: &Gate, image: &ImageRef) -> Evidence {
    let now = gate.clock().now();
    let chosen = gate.policy().rule_for(&image.repository, image.tag(), now);
    let names = gate.policy().anchors(&image.repository, now);
    let names = names.iter().filter_map(|name| match gate.trust().anchor(name) {
        Some(Anchor::NotaryV1(anchor)) => Some(async move {
            let signed = gate.trust().signed(name, &image.repository).await;
            let freshness = gate.trust().freshness(name, &image.repository).await;
            AnchorReport::Names(NamesReport::of(anchor, image, signed, freshness, now))
        }),
        Some(Anchor::Content(_)) | None => None,
    });
    // An image that no rule can admit causes no queries.
    let is_open = chosen.is_some_and(|chosen| !denies(chosen.rule()));
    let at_upstream = async { if is_open { gate.at_upstream(image).await } else { None } };
    let (mut anchors, heard, at_upstream) =
        tokio::join!(join_all(names), gate.content_verdicts(image), at_upstream);
    // The denial reports a failed search.
    if let Ok(Some(heard)) = &heard {
        anchors.extend(ContentReport::of(gate.trust(), heard).map(AnchorReport::Content));
    }
    let tag = at_upstream.zip(image.tag()).map(|(said, tag)| {
        let (upstream, unread) = match said {
            Ok(digest) => (Some(digest.to_string()), None),
            Err(error) => (None, Some(error.to_string())),
        };
        TagReport { tag: tag.to_string(), upstream, unread, differs: None }
    });
    Evidence { anchors, tag, incomplete: None }
}

fn report(
    gate: &Gate,
    image: &ImageRef,
    decided: &Result<Admitted, Denial>,
    mut found: Evidence,
) -> Explanation {
    let (policy, now) = (gate.policy(), gate.clock().now());
    let which = (image.tag(), image.digest());
    let considered = policy.considered(&image.repository, which, now);
    let pattern = match decided {
        Ok(admitted) => Some(admitted.pattern()),
        Err(denial) => denial.denied_by(),
    };
    let chosen = policy.rule_for(&image.repository, image.tag(), now);
    let by_pattern = considered.iter().find(|one| pattern == Some(one.pattern));
    let chosen = chosen.map(|chosen| (chosen.pattern(), chosen.rule()));
    let rule = by_pattern.map(|one| (one.pattern, one.rule)).or(chosen);
    let case = Case { image, trust: gate.trust(), rule };
    let decider: Option<&Arc<str>> = rule.map(|(pattern, _)| pattern);
    let admitted = decided.as_ref().ok();
    let digest = admitted.map(|admitted| admitted.digest().to_string());
    if let Some(tag) = &mut found.tag {
        let signed = found.anchors.iter().find_map(|anchor| match anchor {
            AnchorReport::Names(names) => names.digest.clone(),
            AnchorReport::Content(_) => None,
        });
        let other = digest.clone().or(signed);
        tag.differs = other.filter(|other| tag.upstream.as_ref().is_some_and(|it| it != other));
    }
    let memory = gate.remembered(image).ok().flatten().map(|of| MemoryReport {
        digest: of.digest.to_string(),
        since: of.since.to_string(),
        newest_signature: of.newest.map(|newest| newest.to_string()),
    });
    let (reason, because, advice) = match decided {
        Ok(admitted) => (None, vouched(admitted), case.admitted(admitted)),
        Err(denial) => (denial.reason(), denial.to_string(), case.denied(denial)),
    };
    Explanation {
        image: image.to_string(),
        verdict: decided.as_ref().map_or_else(verdict, |_| "admitted").into(),
        reason: reason.map(Cow::from),
        because,
        advice,
        rule: rule.map(|(pattern, rule)| RuleReport::of(pattern, rule)),
        beaten: BeatenReport::of(&considered, decider, rule.is_some_and(|(_, rule)| denies(rule))),
        upstream: gate.upstream(&image.repository.registry).map(|url| UpstreamReport {
            registry: image.repository.registry.to_string(),
            url: url.to_string(),
        }),
        tag: found.tag,
        digest,
        media_type: admitted.map(|admitted| admitted.media_type().as_str().into()),
        remark: admitted.and_then(Admitted::remark).map(remark),
        would: admitted.and_then(Admitted::dry_run_denial).map(|denial| WouldReport {
            verdict: denial.dry_run_verdict().as_str().into(),
            reason: denial.reason().map(Cow::from),
            because: denial.to_string(),
        }),
        memory,
        endorsements: admitted.map_or_else(Vec::new, |admitted| {
            admitted.endorsements().iter().map(EndorsementReport::of).collect()
        }),
        anchors: found.anchors,
        incomplete: found.incomplete,
    }
}

impl EndorsementReport {
    fn of(endorsement: &Endorsement) -> Self {
        let says = endorsement.says();
        Self {
            anchor: says.anchor.to_string(),
            scheme: says.scheme.as_str().into(),
            digest: says.digest.to_string(),
            tag: says.tag.as_ref().map(ToString::to_string),
            signed_by: says.signers.iter().map(ToString::to_string).collect(),
            signed: says.signed.map(|at| at.to_string()),
            expires: says.expires.map(|expires| format!("{expires:#}")),
        }
    }
}

const fn denies(rule: &Rule) -> bool {
    matches!(rule.mode, Mode::Deny { .. })
}

/// Who endorsed the served digest, or which rule admits it without an endorsement.
fn vouched(admitted: &Admitted) -> String {
    if let Some(Remark::Exempted { exemption, .. }) = admitted.remark() {
        return format!(
            "the image is not signed; it is exempted until {:#}",
            exemption.says().until
        );
    }
    let anchors = admitted.anchors().join(", ");
    match admitted.endorsements().first().map(Endorsement::digest) {
        None => format!("the rule for {} admits it without a signature", admitted.rule()),
        Some(digest) if digest == admitted.digest() => format!("{anchors} endorses {digest}"),
        Some(digest) => format!(
            "{anchors} endorses {digest}, which lists {0} or is the subject of {0}",
            admitted.digest()
        ),
    }
}

fn verdict(denial: &Denial) -> &'static str {
    match denial {
        Denial::Throttled { .. } => "undecided",
        Denial::Missing { .. } | Denial::Unsatisfiable { .. } => "missing",
        Denial::Absent(_) | Denial::Refused(_) | Denial::Undecided(_) => {
            denial.verdict().map_or("missing", Verdict::as_str)
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

fn remark(remark: &Remark) -> String {
    match remark {
        Remark::Exempted { exemption, because } => {
            let Said { digest, reason, by, made, until, .. } = exemption.says();
            format!(
                "exempted: {by} exempted {digest} at {made} until {until} ({reason}); without the exemption: {because}"
            )
        }
        Remark::Held { moved_to: Some(digest), because } => {
            format!("held: upstream moved the tag to {digest}: {because}")
        }
        Remark::Held { moved_to: None, because } => format!("held: {because}"),
        Remark::RolledBack { signed: Some(signed), newest } => {
            format!(
                "rolled back: this image was signed at {signed}, the previous image of the tag at {newest}"
            )
        }
        Remark::RolledBack { signed: None, newest } => {
            format!(
                "rolled back: the signing time of this image is unknown; the previous image of the tag was signed at {newest}"
            )
        }
    }
}
