//! Copies the trust data of a repository byte for byte, for a bundle. Only data that verifies now is copied; the
//! receiver verifies it again.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::json::{Document, Value};

use super::anchor::Anchor;
use super::delegations::{Examined, SignedTags};
use super::gun::Gun;
use super::repository::SignedRepository;
use super::role::{File, Role};
use super::root_of_trust::{SelfSigned, Terms};
use super::state::StateError;
use super::trust_source::{Current, Files, TrustSource};
use super::update::{MAX_ROOTS, NotUpdated, Updated, update};

const UNPROVEN: &str =
    "the trust data comes from a bundle, and no exporter states when it was fetched";

/// How many delegations are examined for a copy, in the order of `targets`, and the longest name of one that is copied.
const MAX_DELEGATIONS: usize = 64;
const MAX_NAME: usize = 128;

/// The verified trust data of one repository.
#[derive(Debug)]
pub struct CopiedTrust {
    pub gun: Gun,
    /// The files by name: `root.json`, `1.root.json`, `timestamp.json`, `targets/releases.json`, …
    pub files: BTreeMap<String, Bytes>,
    /// When each role expires.
    pub ends: BTreeMap<String, Timestamp>,
    pub repository: SignedRepository,
    /// When the files were fetched and verified.
    pub fetched: Timestamp,
}

impl CopiedTrust {
    /// When the first of its roles expires, other than the timestamp.
    pub fn lasts(&self) -> Timestamp {
        let ends = self.ends.iter().filter(|(role, _)| *role != Role::Timestamp.as_str());
        let first = ends.map(|(_, end)| *end).min();
        first.unwrap_or(self.fetched)
    }
}

impl Anchor {
    /// Copies all files of `gun` that verify: those that the present verification needs, the chain of roots before them, and
    /// its delegations, because a receiver may require other signers.
    pub async fn copy(&self, gun: &Gun, now: Timestamp) -> Result<CopiedTrust, NotUpdated> {
        let terms = self.terms(gun.clone());
        let current = Box::pin(self.current(&terms, now)).await?;
        let fetched = match (current.updated.repository.captured(), &current.files) {
            (Some(captured), _) => captured.at(),
            (None, Files::Server(_)) => now,
            // The carrier of the bundle could have withheld newer trust data: a copy must not state the present time.
            (None, Files::Capture(_)) => return Err(NotUpdated::Unreachable(UNPROVEN.to_owned())),
        };
        let (_, delegations) =
            Box::pin(self.examine(&terms, &current, MAX_DELEGATIONS, now)).await?;
        let Current { updated, files } = current;
        let files = &files;
        let earlier = |root: File| async move { files.file(gun, &root).await };
        let mut copied = copied(gun, &terms, updated, fetched, earlier).await?;
        for Examined { delegation, signed } in delegations {
            let name = delegation.name.as_str();
            // A receiver would refuse an invalid delegation.
            if let Ok(Some(SignedTags { file, .. })) = signed
                && name.len() <= MAX_NAME
            {
                copied.files.entry(format!("{name}.json")).or_insert(file);
            }
        }
        Ok(copied)
    }

    /// Verifies what the source of the anchor contains about `gun`, whatever the cache contains. The trust memory only
    /// prevents a rollback: it does not replace an archive. Remembers nothing.
    pub async fn check(&self, gun: &Gun, now: Timestamp) -> Result<(), NotUpdated> {
        let terms = self.terms(gun.clone());
        let TrustSource::Archive(archive) = &self.source else {
            return Box::pin(self.current(&terms, now)).await.map(drop);
        };
        let remembered = self.state.recall(gun).await.map_err(|error| unreadable(&error))?;
        let memory = remembered.as_ref().map(|kept| &kept.memory);
        Box::pin(self.update_from(archive, &terms, (memory, None), now)).await.map(drop)
    }

    /// The same from the trust memory on disk, if that still verifies: for a server that does not answer any more. `None` if
    /// there is no memory that the server confirmed last, or if it may have come from a bundle.
    pub async fn copy_kept(
        &self,
        gun: &Gun,
        now: Timestamp,
    ) -> Result<Option<CopiedTrust>, NotUpdated> {
        if self.source.archive().is_some() {
            return Ok(None);
        }
        let Some(kept) = self.state.recall(gun).await.map_err(|error| unreadable(&error))? else {
            return Ok(None);
        };
        let Some(answered) = kept.memory.answered() else { return Ok(None) };
        let (kept, terms) = (Arc::new(kept), self.terms(gun.clone()));
        let fetch = |file: File| {
            let kept = kept.clone();
            async move { Ok(kept.recall(&file).await) }
        };
        let updated = update(fetch, &terms, Some(&kept.memory), now).await?;
        let none = |_| async { Ok(None) };
        copied(gun, &terms, updated, answered, none).await.map(Some)
    }
}

/// The files of a verified update, and the roots before its root, as far as `earlier` has them.
async fn copied<Answer>(
    gun: &Gun,
    terms: &Terms,
    updated: Updated,
    fetched: Timestamp,
    earlier: impl Fn(File) -> Answer,
) -> Result<CopiedTrust, NotUpdated>
where
    Answer: Future<Output = Result<Option<Bytes>, NotUpdated>>,
{
    let (mut files, mut ends) = (BTreeMap::new(), BTreeMap::new());
    let mut add = |name: String, content: &Bytes| {
        if let Some(end) = end_of(content) {
            ends.insert(name.clone(), end);
        }
        files.insert(format!("{name}.json"), content.clone());
    };
    for (file, content) in &updated.files {
        match file {
            File::Content { role, .. } | File::Newest(role) => add(role.to_string(), content),
            File::Root(_) => {}
        }
    }
    let root = Bytes::copy_from_slice(&updated.memory.root);
    let version = SelfSigned::parse(&root, terms)?.version();
    add(Role::Root.to_string(), &root);
    // A receiver may trust or remember an earlier root, and follows as many rotations as one update.
    for number in version.saturating_sub(MAX_ROOTS).max(1)..version {
        let file = File::Root(number);
        if let Some(content) = earlier(file.clone()).await? {
            files.insert(format!("{file}.json"), content);
        }
    }
    files.insert(format!("{}.json", File::Root(version)), root);
    let (gun, repository) = (gun.clone(), updated.repository);
    Ok(CopiedTrust { gun, files, ends, repository, fetched })
}

pub(super) fn unreadable(error: &StateError) -> NotUpdated {
    NotUpdated::Unreachable(format!("the trust memory cannot be read: {error}"))
}

/// `signed.expires` of verified metadata.
fn end_of(metadata: &[u8]) -> Option<Timestamp> {
    let document = Document::parse(metadata).ok()?;
    let expires = document.root().member("signed")?.member("expires").and_then(Value::as_str)?;
    Timestamp::parse_rfc3339(expires)
}
