//! One update of a repository's trust data: which file is asked for next, and when to begin again.
//! Does no I/O itself; whoever calls says how a file is fetched.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::parsing;
use crate::trust::refusal::{Reason, Refusal};

use super::chain::{Chain, WantsDelegations, WantsTimestamp};
use super::memory::Memory;
use super::repository::SignedRepository;
use super::role::{File, Role};
use super::root_of_trust::{SelfSigned, Terms, TrustedRoot};
use super::signed::Signed;

/// The most roots that one update walks through.
const MAX_ROOTS: u64 = 64;

/// An update that succeeded as a whole.
#[derive(Debug)]
pub struct Updated {
    pub repository: SignedRepository,
    /// What to remember from now on, in place of what was remembered.
    pub memory: Memory,
    /// The files that it rests on, so that it can be verified again without the server.
    pub files: Vec<(File, Bytes)>,
}

/// Why an update came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotUpdated {
    /// The trust data is no good, or there is none.
    Refused(Refusal),
    /// The server did not answer; this says nothing about the trust data.
    Unreachable(String),
    /// The server was not asked, because the gate is busy; this says nothing about the server either.
    Busy,
    /// The server answered, and the trust memory cannot be written. What is not remembered does not count.
    NotRemembered(String),
}

impl From<Refusal> for NotUpdated {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Brings what is known of `terms.gun` up to date (facts of Notary 0.7 and TUF 5.3 to 5.6, in their
/// order). `fetch` answers `Ok(None)` for a file that the server says it does not have, and `Err` if
/// the server did not answer.
///
/// A server that publishes while we read can give us files of two states; so an update that does not
/// fit together is tried once more.
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
    let source = Source { fetch };
    let updated = source.attempt(terms, memory, now).await;
    match refusal(&updated) {
        Some(refusal) if refusal.reason == Reason::MixAndMatch => {
            source.attempt(terms, memory, now).await
        }
        Some(_) | None => updated,
    }
}

/// Why the trust data of an update was refused, if it was.
fn refusal<T>(updated: &Result<T, NotUpdated>) -> Option<&Refusal> {
    match updated {
        Err(NotUpdated::Refused(refusal)) => Some(refusal),
        Ok(_)
        | Err(NotUpdated::Unreachable(_) | NotUpdated::Busy | NotUpdated::NotRemembered(_)) => None,
    }
}

/// The chain after one more file: what `link` makes of its `bytes`. Ten thousand tags take their time.
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
}

impl<F, Answer> Source<F>
where
    F: Fn(File) -> Answer,
    Answer: Future<Output = Result<Option<Bytes>, NotUpdated>>,
{
    async fn find(&self, file: File) -> Result<Option<Bytes>, NotUpdated> {
        (self.fetch)(file).await
    }

    /// A file that another one names: its absence is a contradiction.
    async fn named(&self, file: File) -> Result<Bytes, NotUpdated> {
        let missing = || {
            let because = format!("{file}.json, which is named by its parent, is not there");
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
            return self.first_sight(terms, None, now).await;
        };
        let remembered = SelfSigned::parse(&memory.root, terms)?;
        let dropped = !remembered.is_pinned(terms);
        let onward = match self.walk(terms, remembered).await {
            Ok(known) => self.follow(terms, Some(memory), now, known).await,
            Err(broken) => Err(broken),
        };
        if !dropped || refusal(&onward).is_none() {
            return onward;
        }
        // The operator's pins no longer name the root that is remembered: so they may name one that
        // does not follow from it. The server has no say in that, and what was seen still counts for
        // every role whose keys are the same.
        let again = self.first_sight(terms, Some(memory), now).await;
        match refusal(&again) {
            Some(refusal)
                if refusal.reason == Reason::RootNotPinned || refusal.reason.is_absence() =>
            {
                onward
            }
            Some(_) | None => again,
        }
    }

    async fn first_sight(
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
        let memory = memory.map(|memory| memory.under(root.metadata()));
        self.follow(terms, memory.as_ref(), now, root).await
    }

    /// Walks from a trusted root to the newest: N+1, N+2, … until there is none.
    async fn walk(&self, terms: &Terms, mut root: SelfSigned) -> Result<SelfSigned, NotUpdated> {
        for _ in 0..MAX_ROOTS {
            let version = root.version() + 1;
            let Some(bytes) = self.find(File::Root(version)).await? else { return Ok(root) };
            let next = root.rotate(&bytes, terms)?;
            if next.version() != version {
                let because = format!("{version}.root.json holds root {}", next.version());
                return Err(Refusal::new(Reason::MixAndMatch, because).into());
            }
            root = next;
        }
        Err(Refusal::new(Reason::Malformed, format!("there are more than {MAX_ROOTS} newer roots"))
            .into())
    }

    /// Follows the chain from `known`; where it breaks, once more from a newer `root.json`, for servers
    /// that keep no earlier roots under their version.
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
        let before = memory.cloned().map(Arc::new);
        let links: Chain<WantsTimestamp> = Chain::begin(root, Arc::new(terms.clone()), before, now);
        let file = File::Newest(Role::Timestamp);
        let Some(bytes) = self.find(file.clone()).await? else {
            let (reason, what) = match memory {
                Some(_) => (Reason::TrustRemoved, "the trust data that was there is gone for"),
                None => (Reason::NoTrustData, "there is a root but no timestamp for"),
            };
            return Err(Refusal::new(reason, format!("{what} {}", terms.gun)).into());
        };
        let mut files = vec![(file, bytes.clone())];
        let links = links.timestamp(&bytes)?;

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

        let whole = links.finish();
        let memory = Memory::after(&whole, memory, now);
        Ok(Updated { repository: SignedRepository::new(whole, &terms.signers), memory, files })
    }
}
