//! `countersign forget`: takes what is remembered of one tag out of the memory of a gate, which may be
//! running beside it. Decides nothing, and connects to nothing.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::clock::Clock;
use crate::config::Config;
use crate::oci::name::InvalidName;
use crate::oci::{ImageRef, Reference, Registry, Tag};
use crate::policy::Mode;
use crate::trust::tags::{Remembered, TagHistory, TagsError};

/// A tag whose memory is to go.
#[derive(Clone, Debug)]
pub struct Forgettable {
    image: ImageRef,
    tag: Tag,
}

/// Why that is no tag of which anything is remembered.
#[derive(Debug, Error)]
pub enum NotForgettable {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error(
        "a digest always stands for the same image, and nothing is remembered of it; name the tag alone"
    )]
    Digest,
    #[error("there is no [[upstream]] for {0}; an image's name begins with the `registry` of one")]
    Registry(Registry),
}

/// What went, and what did not.
#[derive(Clone, Debug)]
pub struct Forgotten {
    pub image: ImageRef,
    /// What was remembered; nothing, if none.
    pub memory: Option<Remembered>,
    /// The anchors of the image's rule whose memory is not of tags.
    pub keep: Vec<Arc<str>>,
}

impl Forgettable {
    /// Reads `registry/repository[:tag]`; without a tag it is `latest`, as clients have it.
    pub fn parse(image: &str, config: &Config) -> Result<Self, NotForgettable> {
        let image: ImageRef = image.parse()?;
        let tag = match &image.reference {
            Reference::Tag(tag) => tag.clone(),
            Reference::Digest(_) => return Err(NotForgettable::Digest),
        };
        if !config.upstreams.iter().any(|upstream| upstream.registry == image.registry) {
            return Err(NotForgettable::Registry(image.registry));
        }
        Ok(Self { image, tag })
    }

    /// Forgets it.
    pub fn forget(self, config: &Config, clock: &Clock) -> Result<Forgotten, TagsError> {
        let Self { image, tag } = self;
        let ImageRef { registry, repository, .. } = &image;
        let memory = TagHistory::look(&config.store.path).forget(registry, repository, &tag)?;
        let chosen = config.policy.rule_for(registry, repository, Some(&tag), clock.now());
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
                image.registry = registry.as_str(),
                image.repository = repository.as_str(),
                image.reference = tag.as_str(),
                manifest.digest = %memory.digest,
                },
                "what was remembered of the tag is forgotten"
            );
        }
        Ok(Forgotten { image, memory, keep })
    }
}

impl fmt::Display for Forgotten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.memory {
            Some(Remembered { digest, since, newest }) => {
                write!(f, "forgot {}: it had {digest} since {since}", self.image)?;
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
                "{anchor} [notaryv1] remembers versions of trust data, and not tags: that is not \
                 cleared by this"
            )?;
        }
        Ok(())
    }
}
