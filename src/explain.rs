//! `countersign why`: the whole decision about one image, for people and for programs. Takes the same
//! decision as the gate and tells what it rests on; decides nothing itself.

use std::fmt::Write as _;

use serde::Serialize;

use crate::gate::{Denial, Gate};
use crate::oci::{ImageRef, Reference};
use crate::policy::{Chosen, Mode};
use crate::trust::{Anchor, SignedNames, Unendorsed};

/// The decision about one image, and what it rests on.
#[derive(Debug, Serialize)]
pub struct Explanation {
    pub image: String,
    /// `admitted`, `absent`, `refused`, `undecided`, or what upstream says of something admitted.
    pub verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// One sentence.
    pub because: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleTold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<&'static str>,
    pub anchors: Vec<AnchorTold>,
}

/// The rule that decided.
#[derive(Debug, Serialize)]
pub struct RuleTold {
    pub images: String,
    pub mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What one anchor was asked, where, and what it said.
#[derive(Debug, Serialize)]
pub struct AnchorTold {
    pub name: String,
    pub scheme: &'static str,
    /// The Notary server.
    pub server: String,
    pub gun: String,
    /// `endorsed`, `absent`, `refused` or `undecided`.
    pub answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleTold>,
    /// How many tags are signed in the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// One verified role.
#[derive(Debug, Serialize)]
pub struct RoleTold {
    pub role: String,
    pub version: u64,
    pub threshold: u64,
    pub keys: Vec<String>,
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
        let Some(anchor) = gate.trust().anchor(&name) else { continue };
        let signed = gate.trust().signed(&name, &image.registry, &image.repository).await;
        anchors.push(told(anchor, image, signed));
    }
    let rule = chosen.as_ref().map(rule);
    let image_text = image.to_string();
    match decided {
        Ok(admitted) => {
            let vouch = admitted.anchors().join(", ");
            let because = if vouch.is_empty() {
                format!("the rule for {} serves it without a signature", admitted.rule())
            } else {
                format!("{vouch} vouches for {}", admitted.digest())
            };
            Explanation {
                image: image_text,
                verdict: "admitted",
                reason: None,
                because,
                rule,
                digest: Some(admitted.digest().to_string()),
                media_type: Some(admitted.media_type().as_str()),
                anchors,
            }
        }
        Err(denial) => Explanation {
            image: image_text,
            verdict: match &denial {
                Denial::Throttled { .. } => "undecided",
                Denial::Missing { .. } | Denial::Unsatisfiable { .. } => "missing",
                Denial::Absent(_) | Denial::Refused(_) | Denial::Undecided(_) => {
                    denial.verdict().unwrap_or("missing")
                }
            },
            reason: denial.reason(),
            because: denial.to_string(),
            rule,
            digest: None,
            media_type: None,
            anchors,
        },
    }
}

/// The exit status of the contract: 0 admitted; 3 refused, absent or missing; 4 undecided.
pub fn exit_status(explanation: &Explanation) -> u8 {
    match explanation.verdict {
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
    RuleTold { images: chosen.pattern.to_string(), mode, reason }
}

fn told(
    anchor: &Anchor,
    image: &ImageRef,
    signed: Result<SignedNames<'_>, Unendorsed>,
) -> AnchorTold {
    let Anchor::NotaryV1(notary) = anchor;
    let gun = notary.gun(&image.registry, &image.repository);
    let mut told = AnchorTold {
        name: anchor.name().to_string(),
        scheme: anchor.scheme().as_str(),
        server: notary.config().url.to_string(),
        gun: gun.map_or_else(|_| "none".to_owned(), |gun| gun.to_string()),
        answer: "endorsed",
        reason: None,
        because: None,
        digest: None,
        signed_by: Vec::new(),
        roles: Vec::new(),
        tags: None,
        expires: None,
    };
    let found = signed.and_then(|names| {
        let repository = names.repository();
        told.tags = Some(repository.len());
        told.expires = Some(repository.expires().to_string());
        told.roles = repository
            .roles()
            .iter()
            .map(|role| RoleTold {
                role: role.role.to_string(),
                version: role.version,
                threshold: role.threshold,
                keys: role.keys.clone(),
            })
            .collect();
        match &image.reference {
            Reference::Tag(tag) => names.tag(tag).map(Some).map_err(Unendorsed::Refused),
            Reference::Digest(digest) => match names.tags_of(digest).first() {
                Some(tag) => names.tag(tag).map(Some).map_err(Unendorsed::Refused),
                None => Ok(None),
            },
        }
    });
    match found {
        Ok(Some(endorsement)) => {
            let says = endorsement.says();
            told.digest = Some(says.digest.to_string());
            told.signed_by.clone_from(&says.signers);
        }
        Ok(None) => {
            told.answer = "absent";
            told.because = Some("no tag was signed with this digest itself".to_owned());
        }
        Err(Unendorsed::Refused(refusal)) => {
            told.answer = if refusal.reason.is_absence() { "absent" } else { "refused" };
            told.reason = Some(refusal.reason.as_str());
            told.because = Some(refusal.because);
        }
        Err(Unendorsed::Undecided(why)) => {
            told.answer = "undecided";
            told.because = Some(why);
        }
    }
    told
}

impl Explanation {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let reason = self.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
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
        if let (Some(digest), Some(media_type)) = (&self.digest, self.media_type) {
            let _ = writeln!(text, "  digest    {digest}\n  type      {media_type}");
        }
        for anchor in &self.anchors {
            anchor.write(&mut text);
        }
        text
    }
}

impl AnchorTold {
    fn write(&self, text: &mut String) {
        let reason = self.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let _ =
            writeln!(text, "  anchor    {} [{}]: {}{reason}", self.name, self.scheme, self.answer);
        let _ = writeln!(text, "    asked   {} for {}", self.server, self.gun);
        if let Some(because) = &self.because {
            let _ = writeln!(text, "    because {because}");
        }
        if let Some(digest) = &self.digest {
            let _ = writeln!(text, "    digest  {digest}, signed by {}", self.signed_by.join(", "));
        }
        for role in &self.roles {
            let RoleTold { role, version, threshold, keys } = role;
            let keys: Vec<_> =
                keys.iter().map(|key| key.chars().take(12).collect::<String>()).collect();
            let _ = writeln!(
                text,
                "    role    {role} version {version}, {threshold} of the keys {}",
                keys.join(" ")
            );
        }
        if let (Some(tags), Some(expires)) = (self.tags, &self.expires) {
            let _ = writeln!(text, "    holds   {tags} signed tags until {expires}");
        }
    }
}
