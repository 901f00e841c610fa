//! The result of an anchor that signs content, for one digest: where the gate searched, what it found, and which checks
//! failed.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::gate::ContentVerdicts;
use crate::trust::findings::{AnchorVerdict, Objection, Outcome};
use crate::trust::{Anchor, Trust, Unendorsed};

/// The explanation if there are no signatures.
const GAP: &str = "no signature was found: the image was never signed, or its signatures were not copied to this \
                   registry with it (`cosign copy`, `oras cp -r`)";
/// The explanation if there are only invalid signatures.
const TAMPERED: &str = "signatures exist, but none is valid: the image or its signature was changed, or another key or \
                        identity signed it";

/// The result of one anchor for one digest.
#[derive(Debug, Serialize, Deserialize)]
pub struct ContentReport {
    pub name: String,
    pub scheme: Cow<'static, str>,
    /// `endorsed`, `absent`, `refused` or `undecided`.
    pub answer: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The digest that was judged.
    pub digest: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<String>,
    /// When the endorsement expires, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Where the valid signature is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Where the gate searched, and what it found there.
    pub looked: Vec<String>,
    /// What the gate could not read, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// The checks that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objections: Vec<ObjectionReport>,
    /// When the gate searched for signatures and made this verdict.
    pub judged: String,
    /// The first request after this time causes the next search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One failed check of one object.
#[derive(Debug, Serialize, Deserialize)]
pub struct ObjectionReport {
    pub place: String,
    pub check: Cow<'static, str>,
    pub found: String,
    pub wanted: String,
    pub weight: Cow<'static, str>,
}

impl ContentReport {
    pub(super) fn of<'a>(
        trust: &'a Trust,
        heard: &'a ContentVerdicts,
    ) -> impl Iterator<Item = Self> + 'a {
        heard.verdicts.iter().filter_map(|(name, verdict)| {
            let anchor = trust.anchor(name)?;
            let mut report = Self::looked(name, anchor.scheme().as_str(), verdict);
            report.next = match anchor {
                Anchor::Content(anchor) => Some(verdict.next(anchor.lifetimes()).to_string()),
                Anchor::NotaryV1(_) => None,
            };
            report.digest = heard.digest.to_string();
            report.answered(verdict);
            Some(report)
        })
    }

    fn looked(name: &str, scheme: &'static str, verdict: &AnchorVerdict) -> Self {
        let evidence = &verdict.evidence;
        let objection = |one: &Objection| ObjectionReport {
            place: one.place.clone(),
            check: one.flaw.check.into(),
            found: one.flaw.found.clone(),
            wanted: one.flaw.wanted.clone(),
            weight: one.weight.as_str().into(),
        };
        Self {
            name: name.to_owned(),
            scheme: scheme.into(),
            answer: "undecided".into(),
            reason: None,
            because: None,
            digest: String::new(),
            signed_by: Vec::new(),
            signed: None,
            expires: None,
            place: None,
            looked: evidence.looked.iter().map(ToString::to_string).collect(),
            unread: evidence.unread.iter().map(ToString::to_string).collect(),
            objections: evidence.objections.iter().map(objection).collect(),
            judged: verdict.judged.to_string(),
            next: None,
        }
    }

    fn answered(&mut self, verdict: &AnchorVerdict) {
        match &verdict.outcome {
            Outcome::Endorsed { endorsement, place } => {
                let says = endorsement.says();
                self.answer = "endorsed".into();
                self.signed_by = says.signers.iter().map(ToString::to_string).collect();
                self.signed = says.signed.map(|at| at.to_string());
                self.expires = says.expires.map(|expires| expires.to_string());
                self.place = Some(place.clone());
            }
            Outcome::Unendorsed(Unendorsed::Refused(refusal)) => {
                let absent = refusal.reason.is_absence();
                self.answer = if absent { "absent" } else { "refused" }.into();
                self.reason = Some(refusal.reason.as_str().into());
                self.because = Some(match refusal.restriction {
                    Some(key) => format!(
                        "a signature verifies, but `{}` of the anchor excludes it",
                        key.as_str()
                    ),
                    None if absent => GAP.to_owned(),
                    None => TAMPERED.to_owned(),
                });
            }
            Outcome::Unendorsed(Unendorsed::Undecided(why)) => self.because = Some(why.clone()),
            Outcome::Unendorsed(Unendorsed::Throttled(_)) => {
                self.because = Some("the registry limits the request rate (429)".to_owned());
            }
        }
    }

    /// Writes it as text. Writing to a `String` cannot fail.
    pub(super) fn write(&self, text: &mut String) {
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let _ =
            writeln!(text, "  anchor    {} [{}]: {}{reason}", self.name, self.scheme, self.answer);
        let _ = writeln!(text, "    digest  {}", self.digest);
        if let Some(because) = &self.because {
            let _ = writeln!(text, "    because {because}");
        }
        if let Some(place) = &self.place {
            let signed = self.signed.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
            let until = self.expires.as_ref().map(|at| format!(", until {at}"));
            let until = until.unwrap_or_default();
            let _ = writeln!(
                text,
                "    signed  by {}{signed}{until}: {place}",
                self.signed_by.join(", ")
            );
        }
        let next = self.next.as_ref();
        let next = next.map(|at| format!("; next search with the first request after {at}"));
        let _ = writeln!(text, "    fetched at {}{}", self.judged, next.unwrap_or_default());
        for looked in &self.looked {
            let _ = writeln!(text, "    looked  {looked}");
        }
        for unread in &self.unread {
            let _ = writeln!(text, "    UNREAD  {unread}");
        }
        for ObjectionReport { place, check, found, wanted, weight } in &self.objections {
            let _ = writeln!(
                text,
                "    {weight}: {place}\n      {check}: {found}\n      needed: {wanted}"
            );
        }
    }
}
