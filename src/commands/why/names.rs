//! The result of an anchor that signs names, for one image.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::oci::{ImageRef, Reference};
use crate::trust::{Scheme, SignedNames, Unendorsed, notaryv1};

/// The result of one anchor and the server that it uses.
#[derive(Debug, Serialize, Deserialize)]
pub struct NamesReport {
    pub name: String,
    pub scheme: Cow<'static, str>,
    /// The Notary server.
    pub server: String,
    pub gun: String,
    /// The announced end of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// `endorsed`, `absent`, `refused` or `undecided`.
    pub answer: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The tag that was signed with this digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<String>,
    /// The signers that the anchor requires in addition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleReport>,
    /// The canonical ids of the root keys: `root_keys` pins them for every repository of the same signer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub root_keys: Vec<String>,
    /// The number of signed tags in the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// When the trust data was captured, and what proves it; only if that replaces the expiry of the timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured: Option<String>,
    /// When the gate fetched this trust data, or the answer that there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<String>,
    /// When the gate last queried the server, if the server did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered: Option<String>,
    /// The first request after this time causes the next query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One verified role.
#[derive(Debug, Serialize, Deserialize)]
pub struct RoleReport {
    pub role: String,
    pub version: u64,
    pub threshold: u64,
    pub keys: Vec<String>,
}

impl NamesReport {
    pub(super) fn of(
        anchor: &notaryv1::Anchor,
        image: &ImageRef,
        signed: Result<SignedNames<'_>, Unendorsed>,
        freshness: Option<notaryv1::Freshness>,
        now: Timestamp,
    ) -> Self {
        let gun = anchor.gun(&image.repository);
        let signers = &anchor.config().signers;
        let mut report = Self {
            name: anchor.name().to_string(),
            scheme: Scheme::NotaryV1.as_str().into(),
            server: anchor.config().place(),
            gun: gun.map_or_else(|_| "none".to_owned(), |gun| gun.to_string()),
            notice: anchor.config().notice(now),
            answer: "endorsed".into(),
            reason: None,
            because: None,
            digest: None,
            tag: None,
            signed_by: Vec::new(),
            signers: signers.iter().map(|role| role.signer().to_owned()).collect(),
            roles: Vec::new(),
            root_keys: Vec::new(),
            tags: None,
            expires: None,
            captured: None,
            fetched: freshness.and_then(|of| of.fetched).map(|at| at.to_string()),
            unanswered: freshness.and_then(|of| of.unanswered).map(|at| at.to_string()),
            next: freshness.map(|of| of.next.to_string()),
        };
        let found = signed.and_then(|names| {
            let repository = names.repository();
            report.tags = Some(repository.len());
            report.expires = Some(format!("{:#}", repository.expires()));
            report.captured = repository.captured().map(ToString::to_string);
            report.root_keys = repository.root_keys().iter().map(ToString::to_string).collect();
            report.roles = repository
                .roles()
                .iter()
                .map(|role| RoleReport {
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
                report.digest = Some(says.digest.to_string());
                report.tag = says.tag.as_ref().map(ToString::to_string);
                report.signed_by = says.signers.iter().map(ToString::to_string).collect();
            }
            Ok(None) => {
                report.answer = "absent".into();
                report.because = Some("no signed tag has this digest".to_owned());
            }
            Err(Unendorsed::Refused(refusal)) => {
                let absent = refusal.reason.is_absence();
                report.answer = if absent { "absent" } else { "refused" }.into();
                report.reason = Some(refusal.reason.as_str().into());
                report.because = Some(refusal.because);
            }
            Err(Unendorsed::Undecided(why)) => {
                report.answer = "undecided".into();
                report.because = Some(why);
            }
            Err(Unendorsed::Throttled(_)) => report.answer = "undecided".into(),
        }
        report
    }

    pub(super) fn write(&self, text: &mut String) {
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let _ =
            writeln!(text, "  anchor    {} [{}]: {}{reason}", self.name, self.scheme, self.answer);
        let _ = writeln!(text, "    server  {} for {}", self.server, self.gun);
        if let Some(notice) = &self.notice {
            let _ = writeln!(text, "    NOTICE  {notice}");
        }
        if !self.signers.is_empty() {
            let _ = writeln!(text, "    signers {} must have signed it", self.signers.join(", "));
        }
        if let Some(because) = &self.because {
            let _ = writeln!(text, "    because {because}");
        }
        if let Some(digest) = &self.digest {
            let tag = self.tag.as_ref().map(|tag| format!(" as {tag}")).unwrap_or_default();
            let who = self.signed_by.join(", ");
            let _ = writeln!(text, "    digest  {digest}, signed{tag} by {who}");
        }
        for role in &self.roles {
            let RoleReport { role, version, threshold, keys } = role;
            let keys: Vec<_> =
                keys.iter().map(|key| key.chars().take(12).collect::<String>()).collect();
            let _ = writeln!(
                text,
                "    role    {role} version {version}, threshold {threshold} of the keys {}",
                keys.join(" ")
            );
        }
        if !self.root_keys.is_empty() {
            let keys = self.root_keys.join(" ");
            let _ = writeln!(
                text,
                "    pins    {keys} in `root_keys` covers every repository of this root key"
            );
        }
        if let Some(next) = &self.next {
            let fetched = self.fetched.as_ref().map(|at| format!("at {at}"));
            let fetched = fetched.as_deref().unwrap_or("never");
            let unanswered = self.unanswered.as_ref();
            let unanswered = unanswered.map(|at| format!("; no answer to the query at {at}"));
            let unanswered = unanswered.unwrap_or_default();
            let _ = writeln!(
                text,
                "    fetched {fetched}{unanswered}; next query with the first request after {next}"
            );
        }
        if let Some(captured) = &self.captured {
            let _ = writeln!(text, "    capture {captured}");
        }
        if let (Some(tags), Some(expires)) = (self.tags, &self.expires) {
            let _ = writeln!(text, "    holds   {tags} signed tags; expires {expires}");
        }
    }
}
