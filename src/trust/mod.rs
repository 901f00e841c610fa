//! Trust facts: who vouches for which digest, until when. Knows nothing of content, and of no rule that
//! says who is needed.

pub mod cosign;
pub mod endorsement;
pub mod keys;
pub mod notation;
pub mod notaryv1;
pub mod places;
pub mod refusal;
pub mod scheme;
pub mod signature;
pub mod subject;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

pub use endorsement::{Endorsed, Endorsement};
pub use refusal::{Reason, Refusal, Unendorsed};
pub use scheme::Scheme;
pub use signature::{Candidate, Content, Flaw, Unproven, Vouched};
pub use subject::Subject;

use crate::oci::{Digest, Registry, Repository, Tag};
use notaryv1::{File, Gun, NotUpdated, SignedRepository, TrustCache};

/// All anchors, and what is known by them.
#[derive(Clone)]
pub struct Trust {
    anchors: Arc<BTreeMap<Arc<str>, Anchor>>,
    cache: TrustCache,
}

/// Whose signatures count, pinned in the configuration.
#[derive(Clone, Debug)]
pub enum Anchor {
    NotaryV1(Arc<notaryv1::Anchor>),
}

impl Anchor {
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::NotaryV1(anchor) => anchor.name(),
        }
    }

    pub const fn scheme(&self) -> Scheme {
        match self {
            Self::NotaryV1(_) => Scheme::NotaryV1,
        }
    }
}

/// Trust metadata as a Notary server gave it, for clients that verify it themselves. Only
/// [`Trust::relay`] makes one.
#[derive(Debug)]
pub struct Relayed(Bytes);

impl Relayed {
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// The names that one anchor has signed in one repository.
#[derive(Debug)]
pub struct SignedNames<'a> {
    anchor: &'a Arc<str>,
    scheme: Scheme,
    registry: &'a Registry,
    repository: &'a Repository,
    names: Arc<SignedRepository>,
}

impl Trust {
    pub fn new(anchors: impl IntoIterator<Item = Anchor>, cache: TrustCache) -> Self {
        let anchors = anchors.into_iter().map(|anchor| (anchor.name().clone(), anchor)).collect();
        Self { anchors: Arc::new(anchors), cache }
    }

    pub fn anchor(&self, name: &str) -> Option<&Anchor> {
        self.anchors.get(name)
    }

    pub fn anchors(&self) -> impl Iterator<Item = &Anchor> {
        self.anchors.values()
    }

    /// The names that the anchor `name` has signed in `registry/repository`.
    pub async fn signed<'a>(
        &'a self,
        name: &str,
        registry: &'a Registry,
        repository: &'a Repository,
    ) -> Result<SignedNames<'a>, Unendorsed> {
        let anchor = self.anchors.get(name);
        let anchor =
            anchor.ok_or_else(|| Unendorsed::Undecided(format!("there is no anchor {name}")))?;
        match anchor {
            Anchor::NotaryV1(anchor) => {
                let gun = anchor.gun(registry, repository).map_err(|_| {
                    let because =
                        format!("{registry}/{repository} makes no GUN that Notary could have");
                    Unendorsed::Refused(Refusal::new(Reason::NoTrustData, because))
                })?;
                let names = self.cache.signed(anchor, &gun).await?;
                Ok(SignedNames {
                    anchor: anchor.name(),
                    scheme: Scheme::NotaryV1,
                    registry,
                    repository,
                    names,
                })
            }
        }
    }

    /// Begins to refresh what is in use and soon runs out; to be called again and again. Gives the
    /// refreshes that it began, which go on without being waited for.
    pub fn tend(&self) -> Vec<JoinHandle<()>> {
        self.cache.tend()
    }

    /// The file of trust metadata as the anchor's server has it, unverified, for clients that verify
    /// it themselves.
    pub async fn relay(
        &self,
        anchor: &str,
        gun: &Gun,
        file: &File,
    ) -> Result<Option<Relayed>, NotUpdated> {
        match self.anchors.get(anchor) {
            Some(Anchor::NotaryV1(anchor)) => {
                Ok(anchor.notary().fetch(gun, file).await?.map(Relayed))
            }
            None => Ok(None),
        }
    }
}

impl SignedNames<'_> {
    /// The endorsement of what `tag` stands for.
    pub fn tag(&self, tag: &Tag) -> Result<Endorsement, Refusal> {
        let found = self.names.tag(tag)?;
        Ok(Endorsement::new(Endorsed {
            registry: self.registry.clone(),
            repository: self.repository.clone(),
            digest: found.entry.digest,
            sha512: found.entry.sha512.clone(),
            length: Some(found.entry.length),
            tag: Some(tag.clone()),
            anchor: self.anchor.clone(),
            scheme: self.scheme,
            signers: found.roles.iter().map(ToString::to_string).collect(),
            expires: self.names.expires(),
        }))
    }

    /// The tags by which `digest` was signed.
    pub fn tags_of(&self, digest: &Digest) -> &[Tag] {
        self.names.tags_of(digest)
    }

    /// Every signed digest, in no order.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.names.digests()
    }

    /// What the verification rests on, for people.
    pub fn repository(&self) -> &SignedRepository {
        &self.names
    }
}
