//! `countersign bundle inspect`: shows what a bundle contains and what its exporter states about it. Judges nothing. All
//! texts of the bundle are made safe to show.

use std::fmt;

use serde::Serialize;

use crate::bundle::{Bundle, contents};
use crate::clock::Timestamp;
use crate::text::{grouped, shown};

use super::calendar::{self, Expiry};

/// The longest shown text, in characters.
const MAX_TEXT: usize = 512;

/// The content of a bundle.
#[derive(Debug, Serialize)]
pub struct Inspected {
    file: String,
    /// In bytes.
    size: u64,
    /// The digest of the bundle artifact.
    artifact: String,
    /// Whether it contains a statement of its exporter. The statement is not verified.
    has_statement: bool,
    images: Vec<ImageReport>,
    /// The number of signatures, attestations and SBOMs.
    attached: usize,
    notaryv1: Vec<NotaryReport>,
    /// Proposals of the exporter. Nothing here trusts them.
    proposed: Vec<String>,
    calendar: Vec<Expiry>,
}

/// One image, as the exporter describes it.
#[derive(Debug, Serialize)]
struct ImageReport {
    names: Vec<String>,
    digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<String>,
    /// The size of its content in the bundle, in bytes.
    size: u64,
    /// What the bundle does not contain, because the receiver has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assumed: Vec<String>,
    rule: String,
    signed_by: Vec<SignerReport>,
}

#[derive(Debug, Serialize)]
struct SignerReport {
    anchor: String,
    scheme: String,
    signers: Vec<String>,
    key_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<String>,
}

#[derive(Debug, Serialize)]
struct NotaryReport {
    gun: String,
    anchor: String,
    server: String,
    fetched: String,
}

impl Inspected {
    /// Reads the documents of `bundle`.
    pub fn of(bundle: &Bundle) -> Self {
        let contents = bundle.contents();
        let attached = &bundle.index().attached;
        let proposed = bundle.documents().map(|(title, _)| title).filter(|title| {
            *title == "rules.toml" || (title.contains('/') && !title.starts_with("notaryv1/"))
        });
        let proposed = proposed.filter(|title| !title.starts_with("notation/revocation/"));
        Self {
            file: safe(&bundle.path().display().to_string()),
            size: bundle.size(),
            artifact: bundle.artifact().to_string(),
            has_statement: attached.iter().any(|it| it.repository.is_none()),
            images: contents.images.iter().map(ImageReport::of).collect(),
            attached: attached.iter().filter(|it| it.repository.is_some()).count(),
            notaryv1: contents.notaryv1.iter().map(NotaryReport::of).collect(),
            proposed: proposed.map(safe).collect(),
            calendar: calendar::of(contents),
        }
    }
}

impl ImageReport {
    fn of(image: &contents::Image) -> Self {
        let is_there = |blob: &&contents::Blob| !image.assumed.contains(&blob.digest);
        let sizes = image.blobs.iter().filter(is_there).map(|blob| blob.size);
        Self {
            names: all_safe(&image.names),
            digest: safe(&image.digest),
            platforms: all_safe(&image.platforms),
            size: sizes.fold(0, u64::saturating_add),
            assumed: all_safe(&image.assumed),
            rule: safe(&image.decision.rule),
            signed_by: image.decision.anchors.iter().map(SignerReport::of).collect(),
        }
    }
}

impl SignerReport {
    fn of(anchor: &contents::Anchor) -> Self {
        Self {
            anchor: safe(&anchor.name),
            scheme: safe(&anchor.scheme),
            signers: all_safe(&anchor.signers),
            key_ids: all_safe(&anchor.key_ids),
            ends: anchor.ends.map(date),
        }
    }
}

impl NotaryReport {
    fn of(repository: &contents::NotaryRepository) -> Self {
        Self {
            gun: safe(&repository.gun),
            anchor: safe(&repository.anchor),
            server: safe(&repository.server),
            fetched: date(repository.fetched),
        }
    }
}

fn safe(text: &str) -> String {
    shown(text, MAX_TEXT)
}

fn all_safe(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| safe(text)).collect()
}

fn date(at: i64) -> String {
    format!("{:#}", Timestamp::from_unix(at))
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (images, attached) = (self.images.len(), self.attached);
        writeln!(
            f,
            "{}: {} bytes, {images} images, {attached} attached manifests",
            self.file,
            grouped(self.size)
        )?;
        let statement = match self.has_statement {
            true => "with a statement of its exporter (not verified here)",
            false => "without a statement of an exporter",
        };
        writeln!(f, "artifact {}, {statement}", self.artifact)?;
        writeln!(f, "\nAs the exporter states; `countersign bundle verify` judges:")?;
        for image in &self.images {
            writeln!(f, "\n{}", image.names.join(" "))?;
            writeln!(f, "  digest     {}", image.digest)?;
            if !image.platforms.is_empty() {
                writeln!(f, "  platforms  {}", image.platforms.join(", "))?;
            }
            writeln!(f, "  size       {} bytes", grouped(image.size))?;
            if !image.assumed.is_empty() {
                writeln!(f, "  assumed    {} blobs that the receiver has", image.assumed.len())?;
            }
            writeln!(f, "  rule       {}", image.rule)?;
            for signer in &image.signed_by {
                let ends =
                    signer.ends.as_deref().map_or(String::new(), |ends| format!(", until {ends}"));
                let SignerReport { anchor, scheme, signers, .. } = signer;
                writeln!(f, "  signed by  {} ({anchor} [{scheme}]{ends})", signers.join(", "))?;
            }
        }
        for NotaryReport { gun, anchor, server, fetched } in &self.notaryv1 {
            writeln!(f, "\ntrust data of {gun}: {anchor} at {server}, fetched at {fetched}")?;
        }
        if !self.proposed.is_empty() {
            writeln!(f, "\nproposed rules and roots: {}", self.proposed.join(", "))?;
        }
        if !self.calendar.is_empty() {
            writeln!(f, "\nexpires:")?;
        }
        for date in &self.calendar {
            writeln!(f, "  {}  {}", date.ends(), date.what)?;
        }
        Ok(())
    }
}
