//! One update of a repository's trust data: decides which file to fetch next, and when to start again. Does no I/O; the
//! caller passes a function that fetches a file.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use crate::clock::Timestamp;
use crate::parsing;
use crate::trust::refusal::{Reason, Refusal};

use super::archive::{Captured, Evidence};
use super::captured_at::{CapturedAt, NotProven};
use super::chain::{Chain, WantsDelegations, WantsTimestamp};
use super::memory::{Confirmed, Memory};
use super::repository::SignedRepository;
use super::role::{File, Role};
use super::root_of_trust::{Pins, SelfSigned, Terms, TrustedRoot};
use super::signed::Signed;

/// The most root rotations that one update follows.
pub(super) const MAX_ROOTS: u64 = 64;

/// A complete update.
#[derive(Debug)]
pub struct Updated {
    pub repository: SignedRepository,
    /// The new trust memory, which replaces the previous one.
    pub memory: Memory,
    /// The files that were verified, to verify them again without the server.
    pub files: Vec<(File, Bytes)>,
    /// The exporter's statement about them, if they are from an archive that has one that counts.
    pub evidence: Option<Evidence>,
}

/// Why an update failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotUpdated {
    /// The trust data is invalid, or there is none.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server did not answer. Nothing is known about the trust data.
    #[error("{0}")]
    Unreachable(String),
    /// The gate is busy and did not query the server. Nothing is known about the server either.
    #[error("too many queries of trust data are in progress; retry")]
    Busy,
    /// The server answered, but the trust memory cannot be written. An update that is not remembered does not count.
    #[error("{0}")]
    NotRemembered(String),
}

/// Updates the trust data of `terms.gun` in the order of TUF 5.3 to 5.6 and Notary 0.7. `fetch` returns `Ok(None)` if the
/// server answers that a file does not exist, and `Err` if the server does not answer.
///
/// If the server publishes during the update, the files may be of two states. Therefore an update with files that do not
/// belong together is tried a second time.
pub async fn update<F, Answer>(
    fetch: F,
    terms: &Terms,
    memory: Option<&Memory>,
    now: Timestamp,
) -> Result<Updated, NotUpdated>
where
    F: Fn(File) -> Answer,
    Answer: Future<Output = Result<Option<Bytes>, NotUpdated>>,
{
    let source = Source { fetch, origin: Origin::Server };
    let updated = source.attempt(terms, memory, now).await;
    match refusal(&updated) {
        Some(refusal) if refusal.reason == Reason::MixAndMatch => {
            source.attempt(terms, memory, now).await
        }
        Some(_) | None => updated,
    }
}

/// Updates the trust data of `terms.gun` from an archive, in the same order and with the same checks. If there is a proof
/// of when the files were fetched, the expiry of the timestamp is judged at that time; everything else is judged at `now`.
pub async fn update_captured(
    captured: &Captured,
    terms: &Terms,
    memory: Option<&Memory>,
    now: Timestamp,
) -> Result<Updated, NotUpdated> {
    let fetch = |file: File| std::future::ready(captured.files().find(&file).map_err(Into::into));
    let origin = Origin::Archive(captured.proof().cloned().map_err(Clone::clone));
    let updated = Source { fetch, origin }.attempt(terms, memory, now).await?;
    Ok(Updated { evidence: captured.evidence().cloned(), ..updated })
}

/// Why the trust data of an update was refused, if it was.
fn refusal<T>(updated: &Result<T, NotUpdated>) -> Option<&Refusal> {
    match updated {
        Err(NotUpdated::Refused(refusal)) => Some(refusal),
        Ok(_)
        | Err(NotUpdated::Unreachable(_) | NotUpdated::Busy | NotUpdated::NotRemembered(_)) => None,
    }
}

/// Verifies one more file with `link`, on a thread for long parses: a file with ten thousand tags takes a while.
async fn verified<T, F>(bytes: Bytes, link: F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: FnOnce(&[u8]) -> Result<T, Refusal> + Send + 'static,
{
    let length = bytes.len();
    parsing::run(length, Signed::most_memory(length), move || link(&bytes)).await
}

struct Source<F> {
    fetch: F,
    origin: Origin,
}

/// Where the files come from.
enum Origin {
    Server,
    /// An archive, and the proof of when the files were fetched.
    Archive(Result<CapturedAt, NotProven>),
}

impl Origin {
    /// The proof of when the files were fetched, if they are from an archive that has one.
    fn proof(&self) -> Option<&CapturedAt> {
        match self {
            Self::Server => None,
            Self::Archive(proof) => proof.as_ref().ok(),
        }
    }

    /// Refuses to trust a first root that only the bearer of a file vouches for.
    fn may_introduce_root(&self, terms: &Terms) -> Result<(), Refusal> {
        match (self, &terms.pins) {
            (Self::Server | Self::Archive(Ok(_)), _) | (Self::Archive(Err(_)), Pins::Keys(_)) => {
                Ok(())
            }
            (Self::Archive(Err(why)), Pins::FirstUse) => Err(Refusal::new(
                Reason::RootNotPinned,
                format!(
                    "the root is not known yet, and an archive may introduce it only with the signature of a pinned \
                     exporter: {why}"
                ),
            )),
        }
    }

    /// Explains an expired timestamp: a proof would have replaced its expiry.
    fn explain(&self, refusal: Refusal) -> Refusal {
        match self {
            Self::Archive(Err(why))
                if refusal.reason == Reason::Expired && refusal.restriction.is_none() =>
            {
                let because = format!("{refusal}; nothing replaces its expiry: {why}");
                Refusal { because, ..refusal }
            }
            Self::Archive(_) | Self::Server => refusal,
        }
    }
}

impl<F, Answer> Source<F>
where
    F: Fn(File) -> Answer,
    Answer: Future<Output = Result<Option<Bytes>, NotUpdated>>,
{
    async fn find(&self, file: File) -> Result<Option<Bytes>, NotUpdated> {
        (self.fetch)(file).await
    }

    /// Fetches a file that its parent names. Refused if it does not exist.
    async fn named(&self, file: File) -> Result<Bytes, NotUpdated> {
        let missing = || {
            let because = format!("{file}.json does not exist, although its parent names it");
            NotUpdated::Refused(Refusal::new(Reason::MixAndMatch, because))
        };
        self.find(file.clone()).await?.ok_or_else(missing)
    }

    async fn attempt(
        &self,
        terms: &Terms,
        memory: Option<&Memory>,
        now: Timestamp,
    ) -> Result<Updated, NotUpdated> {
        let Some(memory) = memory else {
            return self.begin_at_newest_root(terms, None, now).await;
        };
        let remembered = SelfSigned::parse(&memory.root, terms)?;
        let unpinned = !remembered.is_pinned(terms);
        let updated = match self.walk(terms, remembered).await {
            Ok(known) => self.follow(terms, Some(memory), now, known).await,
            Err(error) => Err(error),
        };
        if !unpinned || refusal(&updated).is_none() {
            return updated;
        }
        // The operator's pins no longer name the remembered root, so they may name one that it did not sign. A server
        // cannot cause this. The memory still applies to every role whose keys are unchanged.
        let again = self.begin_at_newest_root(terms, Some(memory), now).await;
        match refusal(&again) {
            Some(refusal)
                if refusal.reason == Reason::RootNotPinned || refusal.reason.is_absence() =>
            {
                updated
            }
            Some(_) | None => again,
        }
    }

    async fn begin_at_newest_root(
        &self,
        terms: &Terms,
        memory: Option<&Memory>,
        now: Timestamp,
    ) -> Result<Updated, NotUpdated> {
        let Some(root) = self.find(File::Newest(Role::Root)).await? else {
            let because = format!("there is no trust data for {}", terms.gun);
            return Err(Refusal::new(Reason::NoTrustData, because).into());
        };
        let root = SelfSigned::parse(&root, terms)?;
        self.origin.may_introduce_root(terms)?;
        let memory = memory.map(|memory| memory.under(root.metadata()));
        self.follow(terms, memory.as_ref(), now, root).await
    }

    /// Follows the rotations from a trusted root to the newest: N+1, N+2, … until the server has no more.
    async fn walk(&self, terms: &Terms, mut root: SelfSigned) -> Result<SelfSigned, NotUpdated> {
        for _ in 0..MAX_ROOTS {
            let version = root.version() + 1;
            let Some(bytes) = self.find(File::Root(version)).await? else { return Ok(root) };
            let next = root.rotate(&bytes, terms)?;
            if next.version() != version {
                let because = format!("{version}.root.json contains root {}", next.version());
                return Err(Refusal::new(Reason::MixAndMatch, because).into());
            }
            root = next;
        }
        Err(Refusal::new(Reason::Malformed, format!("there are more than {MAX_ROOTS} newer roots"))
            .into())
    }

    /// Verifies the chain from `known`. If that fails, tries once more from a newer `root.json`, for servers that do not keep
    /// versioned roots.
    async fn follow(
        &self,
        terms: &Terms,
        memory: Option<&Memory>,
        now: Timestamp,
        known: SelfSigned,
    ) -> Result<Updated, NotUpdated> {
        let again = SelfSigned::parse(known.bytes(), terms)?;
        let updated = self.chain(terms, memory, now, known).await;
        let needs_newer_root = refusal(&updated).is_some_and(|refusal| {
            matches!(
                refusal.reason,
                Reason::Expired
                    | Reason::MixAndMatch
                    | Reason::RootNotPinned
                    | Reason::SignatureInvalid
            )
        });
        if !needs_newer_root {
            return updated;
        }
        match self.find(File::Newest(Role::Root)).await? {
            Some(newest) if newest != again.bytes() => {
                let newer = again.rotate(&newest, terms)?;
                self.chain(terms, memory, now, newer).await
            }
            Some(_) | None => updated,
        }
    }

    async fn chain(
        &self,
        terms: &Terms,
        memory: Option<&Memory>,
        now: Timestamp,
        root: SelfSigned,
    ) -> Result<Updated, NotUpdated> {
        let root: TrustedRoot = root.in_force(terms, now)?;
        let proof = self.origin.proof().cloned();
        if let Some(proof) = &proof {
            proof.in_force(now)?;
        }
        let before = memory.cloned().map(Arc::new);
        let links: Chain<WantsTimestamp> =
            Chain::begin(root, Arc::new(terms.clone()), before, proof, now);
        let file = File::Newest(Role::Timestamp);
        let Some(bytes) = self.find(file.clone()).await? else {
            let (reason, what) = match (memory, &self.origin) {
                (Some(_), Origin::Server) => {
                    (Reason::TrustRemoved, "the server no longer has a timestamp for")
                }
                // A file that is gone does not mean that trust data was removed.
                (Some(_), Origin::Archive(_)) => {
                    (Reason::NoTrustData, "the archive has no timestamp for")
                }
                (None, _) => (Reason::NoTrustData, "there is a root but no timestamp for"),
            };
            return Err(Refusal::new(reason, format!("{what} {}", terms.gun)).into());
        };
        let mut files = vec![(file, bytes.clone())];
        let links = links.timestamp(&bytes).map_err(|refusal| self.origin.explain(refusal))?;

        let file = links.wants();
        let bytes = self.named(file.clone()).await?;
        files.push((file, bytes.clone()));
        let links = verified(bytes, move |bytes| links.snapshot(bytes)).await?;

        let file = links.wants();
        let bytes = self.named(file.clone()).await?;
        files.push((file, bytes.clone()));
        let signers = terms.signers.clone();
        let mut links: Chain<WantsDelegations> =
            verified(bytes, move |bytes| links.targets(bytes, &signers)).await?;

        while let Some(file) = links.wants() {
            let bytes = self.named(file.clone()).await?;
            files.push((file, bytes.clone()));
            links = verified(bytes, move |bytes| links.delegation(bytes)).await?;
        }

        let chain = links.finish();
        let confirmed = match &self.origin {
            Origin::Server => Confirmed::At(now),
            Origin::Archive(proof) => {
                let proven = proof.as_ref().ok().map(|proof| proof.at().min(now));
                Confirmed::by_archive(memory, proven)
            }
        };
        let memory = Memory::after(&chain, memory, confirmed);
        let repository = SignedRepository::new(chain, &terms.signers);
        Ok(Updated { repository, memory, files, evidence: None })
    }
}
