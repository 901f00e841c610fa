//! `countersign exempt`: records that one unsigned digest may be served for a limited time, ends that early, and lists
//! the exemptions. Makes no decisions and no connections.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::exemptions::{Exemption, ExemptionFile, ExemptionsError, MAX_BY, Said};
use crate::oci::name::InvalidName;
use crate::oci::{Digest, ImageRef, Reference, Registry};
use crate::text::is_plain;

/// A digest in a repository that a rule of the configuration may admit.
#[derive(Clone, Debug)]
pub struct Exemptible {
    image: ImageRef,
    digest: Digest,
}

/// Why an image cannot be exempted.
#[derive(Debug, Error)]
pub enum NotExemptible {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error(
        "an exemption needs a digest, because a tag can move: write registry/repository@sha256:…; \
         `countersign why IMAGE` prints the digest"
    )]
    Tag,
    #[error(
        "no upstream is configured for {0}; the name must begin with the `registry` of an [[upstream]]"
    )]
    Registry(Registry),
    #[error(
        "no rule matches this repository, or a deny rule covers all of it; an exemption does not override that. \
         `countersign why IMAGE` names the rule"
    )]
    NotServed,
    #[error(
        "the rule for {0} denies this digest, and an exemption does not override a deny rule: remove the rule, or \
         narrow it"
    )]
    DeniedDigest(Arc<str>),
}

/// A new exemption.
#[derive(Clone, Debug)]
pub struct Made {
    image: ImageRef,
    until: Timestamp,
    before: Option<Exemption>,
}

impl Exemptible {
    /// Reads `registry/repository[:tag]@digest` and ignores the tag.
    pub fn parse(image: &str, config: &Config, now: Timestamp) -> Result<Self, NotExemptible> {
        let image: ImageRef = image.parse()?;
        let Reference::Digest(digest) = image.reference else { return Err(NotExemptible::Tag) };
        if !config.upstreams.iter().any(|upstream| upstream.registry == image.repository.registry) {
            return Err(NotExemptible::Registry(image.repository.registry));
        }
        let ImageRef { repository, .. } = &image;
        if let Some(rule) = config.policy.denied_digest(repository, &digest, None) {
            return Err(NotExemptible::DeniedDigest(rule.pattern().clone()));
        }
        if !config.policy.serves(repository, now) {
            return Err(NotExemptible::NotServed);
        }
        Ok(Self { image, digest })
    }

    /// Records that `by` exempts it from `now` on.
    pub fn exempt(
        self,
        file: &ExemptionFile,
        (reason, by): (&str, &str),
        now: Timestamp,
        lasts: Duration,
    ) -> Result<Made, ExemptionsError> {
        let Self { image, digest } = self;
        let ImageRef { repository, .. } = image.clone();
        let until = now.plus(lasts);
        let (reason, by) = (reason.trim().to_owned(), named(by));
        let said = Said { repository, digest, reason, by, made: now, until };
        let before = file.add(said)?.filter(|before| before.is_in_force(now));
        Ok(Made { image, until, before })
    }

    /// Ends its exemption and returns it.
    pub fn end(&self, file: &ExemptionFile) -> Result<Option<Exemption>, ExemptionsError> {
        file.end(&self.image.repository, &self.digest)
    }
}

/// A name without the characters that the file does not accept.
fn named(by: &str) -> String {
    let mut name: String = by.chars().filter(|c| is_plain(*c)).collect();
    while name.len() > MAX_BY {
        name.pop();
    }
    name
}

/// The exemptions in force at a moment, ordered by their end.
#[derive(Debug, Serialize)]
pub struct Listed {
    exemptions: Vec<ExemptionReport>,
}

#[derive(Debug, Serialize)]
struct ExemptionReport {
    image: String,
    reason: String,
    by: String,
    made: String,
    until: String,
}

impl Listed {
    pub fn of(file: &ExemptionFile, now: Timestamp) -> Result<Self, ExemptionsError> {
        let mut all = file.read()?;
        all.retain(|one| now < one.says().until);
        all.sort_by_key(|one| one.says().until);
        let report = |one: &Exemption| {
            let Said { repository, digest, reason, by, made, until } = one.says();
            ExemptionReport {
                image: format!("{repository}@{digest}"),
                reason: reason.clone(),
                by: by.clone(),
                made: format!("{made:#}"),
                until: format!("{until:#}"),
            }
        };
        Ok(Self { exemptions: all.iter().map(report).collect() })
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exemptions.is_empty() {
            return writeln!(f, "no exemptions");
        }
        for ExemptionReport { image, reason, by, made, until } in &self.exemptions {
            writeln!(
                f,
                "{image}\n  until     {until}\n  by        {by} at {made}\n  reason    {reason}"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { image, until, before } = self;
        writeln!(
            f,
            "exempted {image} until {until:#}; a running gate applies it within two seconds"
        )?;
        if let Some(before) = before {
            let Said { by, until, .. } = before.says();
            writeln!(f, "this replaces the exemption by {by} until {until:#}")?;
        }
        Ok(())
    }
}
