//! `countersign forget`: removes one tag from the tag history of a gate, which may be running. Makes no decisions and no
//! connections.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::clock::Clock;
use crate::config::Config;
use crate::oci::name::InvalidName;
use crate::oci::{ImageRef, Reference, Registry, Tag};
use crate::policy::Mode;
use crate::trust::tags::{Remembered, TagHistory, TagsError};

/// A tag whose history can be removed.
#[derive(Clone, Debug)]
pub struct Forgettable {
    image: ImageRef,
    tag: Tag,
}

/// Why an image has no tag history.
#[derive(Debug, Error)]
pub enum NotForgettable {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("the gate remembers tags and not digests: name only the tag")]
    Digest,
    #[error(
        "no upstream is configured for {0}; the name must begin with the `registry` of an [[upstream]]"
    )]
    Registry(Registry),
}

/// What was removed, and what was not.
#[derive(Clone, Debug)]
pub struct Forgotten {
    pub image: ImageRef,
    /// The removed history, if there was one.
    pub memory: Option<Remembered>,
    /// The anchors of the image's rule that keep their own memory, which is not of tags.
    pub keep: Vec<Arc<str>>,
}

impl Forgettable {
    /// Reads `registry/repository[:tag]`; the default tag is `latest`, as in clients.
    pub fn parse(image: &str, config: &Config) -> Result<Self, NotForgettable> {
        let image: ImageRef = image.parse()?;
        let tag = match &image.reference {
            Reference::Tag(tag) => tag.clone(),
            Reference::Digest(_) => return Err(NotForgettable::Digest),
        };
        if !config.upstreams.iter().any(|upstream| upstream.registry == image.repository.registry) {
            return Err(NotForgettable::Registry(image.repository.registry));
        }
        Ok(Self { image, tag })
    }

    /// Removes the history of the tag.
    pub fn forget(self, config: &Config, clock: &Clock) -> Result<Forgotten, TagsError> {
        let Self { image, tag } = self;
        let ImageRef { repository, .. } = &image;
        let memory = TagHistory::look(&config.store.path).forget(repository, &tag)?;
        let chosen = config.policy.rule_for(repository, Some(&tag), clock.now());
        let keep = match chosen.map(|chosen| &chosen.rule().mode) {
            Some(Mode::Enforce(requirement) | Mode::Audit(requirement)) => {
                requirement.names().cloned().collect()
            }
            Some(Mode::Allow { .. } | Mode::Deny { .. }) | None => Vec::new(),
        };
        if let Some(memory) = &memory {
            tracing::warn!(
                target: "countersign::forget",
                {
                image.registry = repository.registry.as_str(),
                image.repository = repository.name.as_str(),
                image.reference = tag.as_str(),
                manifest.digest = %memory.digest,
                },
                "removed the tag from the tag history"
            );
        }
        Ok(Forgotten { image, memory, keep })
    }
}

impl fmt::Display for Forgotten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.memory {
            Some(Remembered { digest, since, newest }) => {
                write!(f, "forgot {}: its digest was {digest} since {since}", self.image)?;
                if let Some(newest) = newest {
                    write!(f, ", and its newest signature was made at {newest}")?;
                }
                writeln!(f)?;
            }
            None => writeln!(f, "nothing was remembered of {}", self.image)?,
        }
        for anchor in &self.keep {
            writeln!(
                f,
                "the trust memory of {anchor} [notaryv1] is unchanged: it holds versions of trust data, not tags"
            )?;
        }
        Ok(())
    }
}
