//! Trust facts: which signer vouches for which digest, and until when. Does not know the rules, which decide whose
//! signatures an image needs.
//!
//! Notary v1 signs names and has its own servers: [`notaryv1`]. cosign and notation sign content and store their
//! signatures in registries: [`discovery`] finds them, [`cosign`] and [`notation`] verify them, and [`findings`] caches the
//! results. [`tags`] stores the history of tags. [`restrictions`] excludes valid signatures after a key was lost.
//! [`signer`] recognizes one signer under several anchors.

pub mod findings;
pub mod cosign;
pub mod endorsement;
pub mod keys;
pub mod lifetimes;
pub mod notaryv1;
pub mod notation;
pub mod discovery;
pub mod refusal;
pub mod restrictions;
pub mod revoked;
pub mod scheme;
pub mod signature;
pub mod signer;
pub mod signing_time;
pub mod subject;
pub mod tags;

mod copy;
mod encodings;
mod metrics;
mod shared;
mod signature_repository;
mod spki;
mod timestamp;
mod warnings;
mod x509;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;

pub use endorsement::{Endorsed, Endorsement, Origin, SignerName, TrustFile};
pub use metrics::{Expiries, Metrics};
pub use refusal::{Reason, Refusal, Restriction, Unendorsed, UnpinnedRoot};
pub use scheme::Scheme;
pub use signature::{Candidate, Flaw, Rejection, SignatureContent, VerifiedSignature};
pub use signer::{SignerId, SignerIds};
pub use subject::Subject;

use crate::clock::Timestamp;
use crate::http_client::Proxies;
use crate::oci::{Digest, RepositoryRef, Tag};
use crate::toml_reader::Section;
use copy::gun_of;
use discovery::RequestBudget;
use findings::{AnchorVerdict, AnchorVerdicts};
use lifetimes::Lifetimes;
use notaryv1::{File, Gun, NotUpdated, SignedRepository, TrustCache};

/// All anchors and the caches of their results.
#[derive(Clone)]
pub struct Trust {
    anchors: Arc<BTreeMap<Arc<str>, Anchor>>,
    cache: TrustCache,
    verdicts: AnchorVerdicts,
}

/// The configuration of one anchor.
#[derive(Clone, Debug)]
pub enum Config {
    NotaryV1(notaryv1::Config),
    Cosign(cosign::Config),
    Notation(notation::Config),
}

impl Config {
    /// Reads the rest of an `[[anchor]]` of this scheme. `name` was already read.
    pub fn read(
        scheme: Scheme,
        section: &Section<'_>,
        name: Arc<str>,
        around: &notaryv1::Surroundings,
    ) -> Option<Self> {
        match scheme {
            Scheme::NotaryV1 => notaryv1::Config::read(section, name, around).map(Self::NotaryV1),
            Scheme::Cosign => {
                for key in ["proxy", "proxy_username", "proxy_password_file"] {
                    section.refuse(
                        key,
                        "an anchor of this scheme sends no requests of its own: set `proxy` on the [[upstream]]",
                    );
                }
                cosign::Config::read(section, name).map(Self::Cosign)
            }
            Scheme::Notation => notation::Config::read(section, name).map(Self::Notation),
        }
    }
}

impl Config {
    /// Uses the proxies of the environment, unless the anchor has its own.
    pub fn inherit_proxies(&mut self, environment: &Proxies) {
        match self {
            Self::NotaryV1(config) => config.proxy.inherit(environment),
            Self::Notation(config) => config.proxy.inherit(environment),
            Self::Cosign(_) => {}
        }
    }

    /// Uses no server, and no earlier answer of one.
    pub fn go_offline(&mut self) {
        match self {
            Self::NotaryV1(config) => {
                config.url = None;
                (config.refresh, config.max_stale) = (Duration::ZERO, Duration::ZERO);
            }
            Self::Cosign(config) => {
                (config.refresh, config.max_stale) = (Duration::ZERO, Duration::ZERO);
            }
            Self::Notation(config) => {
                (config.refresh, config.max_stale) = (Duration::ZERO, Duration::ZERO);
            }
        }
    }

    /// A summary of one line, for display.
    pub fn summary(&self) -> String {
        match self {
            Self::NotaryV1(config) => format!("{} [notaryv1] {}", config.name, config.summary()),
            Self::Cosign(config) => format!("{} [cosign] {}", config.name, config.summary()),
            Self::Notation(config) => format!("{} [notation] {}", config.name, config.summary()),
        }
    }
}

/// A source of signatures that count, pinned in the configuration.
#[derive(Clone, Debug)]
pub enum Anchor {
    /// Signs names: the digest of a tag.
    NotaryV1(Arc<notaryv1::Anchor>),
    /// Signs content: a digest, under any name.
    Content(findings::Anchor),
}

impl Anchor {
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::NotaryV1(anchor) => anchor.name(),
            Self::Content(anchor) => anchor.name(),
        }
    }

    pub const fn scheme(&self) -> Scheme {
        match self {
            Self::NotaryV1(_) => Scheme::NotaryV1,
            Self::Content(anchor) => anchor.scheme(),
        }
    }

    /// One clause about the end of its server, if that is announced.
    pub fn notice(&self, now: Timestamp) -> Option<String> {
        match self {
            Self::NotaryV1(anchor) => anchor.config().notice(now),
            Self::Content(_) => None,
        }
    }

    /// Whether it signs the digests of tags.
    pub const fn signs_names(&self) -> bool {
        matches!(self, Self::NotaryV1(_))
    }

    /// Identifies everything that its verdicts depend on other than the signatures, the image and the time.
    pub fn fingerprint(&self) -> Digest {
        match self {
            Self::NotaryV1(anchor) => anchor.config().fingerprint(),
            Self::Content(anchor) => anchor.fingerprint(),
        }
    }
}

/// Unverified trust metadata from a Notary server, for clients that verify it themselves. Only [`Trust::relay`] creates
/// it.
#[derive(Debug)]
pub struct Relayed(Bytes);

impl Relayed {
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// The names that an anchor has signed in a repository.
#[derive(Debug)]
pub struct SignedNames<'a> {
    anchor: &'a Arc<str>,
    scheme: Scheme,
    repository: &'a RepositoryRef,
    names: Arc<SignedRepository>,
}

impl Trust {
    pub fn new(
        anchors: impl IntoIterator<Item = Anchor>,
        cache: TrustCache,
        verdicts: AnchorVerdicts,
    ) -> Self {
        let anchors = anchors.into_iter().map(|anchor| (anchor.name().clone(), anchor)).collect();
        Self { anchors: Arc::new(anchors), cache, verdicts }
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
        repository: &'a RepositoryRef,
    ) -> Result<SignedNames<'a>, Unendorsed> {
        let (anchor, gun) = self.signer_of_names(name, repository)?;
        let names = self.cache.signed(anchor, &gun).await?;
        Ok(SignedNames::of(anchor, repository, names))
    }

    /// As [`Self::signed`], after one more query of the server: for a tag that the known names do not contain, because it may
    /// have been signed since. `None` if the last query was a moment ago.
    pub async fn signed_since<'a>(
        &'a self,
        name: &str,
        repository: &'a RepositoryRef,
    ) -> Option<Result<SignedNames<'a>, Unendorsed>> {
        let (anchor, gun) = self.signer_of_names(name, repository).ok()?;
        let names = self.cache.signed_since(anchor, &gun).await?;
        Some(names.map(|names| SignedNames::of(anchor, repository, names)))
    }

    /// When the anchor `name` queried its server about `registry/repository`, and when it queries it next. `None` if it
    /// did not.
    pub async fn freshness(
        &self,
        name: &str,
        repository: &RepositoryRef,
    ) -> Option<notaryv1::Freshness> {
        let (anchor, gun) = self.signer_of_names(name, repository).ok()?;
        self.cache.freshness(anchor, &gun).await
    }

    fn signer_of_names(
        &self,
        name: &str,
        repository: &RepositoryRef,
    ) -> Result<(&Arc<notaryv1::Anchor>, Gun), Unendorsed> {
        match self.anchors.get(name) {
            None => Err(Unendorsed::Undecided(format!("no anchor has the name {name}"))),
            Some(Anchor::Content(_)) => {
                Err(Unendorsed::Undecided(format!("the anchor {name} signs content, not names")))
            }
            Some(Anchor::NotaryV1(anchor)) => {
                let gun = gun_of(anchor, repository).map_err(Unendorsed::Refused)?;
                Ok((anchor, gun))
            }
        }
    }

    /// How long results of these `anchors` are used: the shortest lifetimes of those that sign content.
    pub fn lifetimes(&self, anchors: &[Arc<str>]) -> Lifetimes {
        let longest = Lifetimes { refresh: Duration::MAX, max_stale: Duration::MAX };
        anchors.iter().fold(longest, |least, name| match self.anchors.get(name) {
            Some(Anchor::Content(anchor)) => least.least(anchor.lifetimes()),
            Some(Anchor::NotaryV1(_)) | None => least,
        })
    }

    /// The verdict of the anchor `name`, whose scheme signs content, on `subject`. Requests are charged to `budget`.
    pub async fn verdict(
        &self,
        name: &str,
        subject: &Arc<Subject>,
        budget: &RequestBudget,
    ) -> Result<Arc<AnchorVerdict>, Unendorsed> {
        match self.anchors.get(name) {
            Some(Anchor::Content(anchor)) => Ok(self.verdicts.of(anchor, subject, budget).await),
            Some(Anchor::NotaryV1(_)) => {
                Err(Unendorsed::Undecided(format!("the anchor {name} signs names, not content")))
            }
            None => Err(Unendorsed::Undecided(format!("no anchor has the name {name}"))),
        }
    }

    /// Starts to refresh the entries that are in use and soon end. To be called periodically. Returns the started
    /// refreshes; they run in the background.
    pub fn tend(&self) -> Vec<JoinHandle<()>> {
        self.cache.tend()
    }

    /// Fetches a file of trust metadata from the anchor's server, unverified, for clients that verify it themselves.
    pub async fn relay(
        &self,
        anchor: &str,
        gun: &Gun,
        file: &File,
    ) -> Result<Option<Relayed>, NotUpdated> {
        match self.anchors.get(anchor) {
            Some(Anchor::NotaryV1(anchor)) => Ok(anchor.file(gun, file).await?.map(Relayed)),
            Some(Anchor::Content(_)) | None => Ok(None),
        }
    }
}

impl<'a> SignedNames<'a> {
    fn of(
        anchor: &'a notaryv1::Anchor,
        repository: &'a RepositoryRef,
        names: Arc<SignedRepository>,
    ) -> Self {
        let (anchor, scheme) = (anchor.name(), Scheme::NotaryV1);
        Self { anchor, scheme, repository, names }
    }
}

impl SignedNames<'_> {
    /// The endorsement of the digest of `tag`.
    pub fn tag(&self, tag: &Tag) -> Result<Endorsement, Refusal> {
        let found = self.names.tag(tag)?;
        Ok(Endorsement::new(Endorsed {
            repository: self.repository.clone(),
            digest: found.entry.digest,
            sha512: found.entry.sha512.clone(),
            length: Some(found.entry.length),
            tag: Some(tag.clone()),
            anchor: self.anchor.clone(),
            scheme: self.scheme,
            signers: found.roles.into_iter().cloned().map(SignerName::Role).collect(),
            signer_ids: found.signers,
            signed: None,
            expires: Some(self.names.expires()),
            renew_by: Some(self.names.renew_by()),
            origin: self.names.origin(),
            based_on: self.names.files().clone(),
        }))
    }

    /// The tags under which `digest` was signed.
    pub fn tags_of(&self, digest: &Digest) -> &[Tag] {
        self.names.tags_of(digest)
    }

    /// The repository of the names.
    pub fn place(&self) -> &RepositoryRef {
        self.repository
    }

    /// Every signed digest, unordered.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.names.digests()
    }

    /// The verified trust data, for display.
    pub fn repository(&self) -> &SignedRepository {
        &self.names
    }
}
