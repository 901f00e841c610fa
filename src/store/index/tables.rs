//! The tables of the index and the changes to them. Each change updates all tables in one transaction, so
//! that they stay consistent.

use redb::{
    Error, ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction,
};

use crate::oci::{Algorithm, Digest, Registry, RepositoryRef};

/// The version of the table format.
pub(super) const VERSION: u64 = 2;
/// In this version, a registry could become a holder of content that another registry had delivered.
pub(super) const CLAIMED_HOLDERS: u64 = 1;
/// The maximum number of recorded parents of one child in one repository.
const MAX_PARENTS: usize = 16;

/// A digest as a key: its algorithm and its hash.
type Key = &'static [u8];

pub(super) const ABOUT: TableDefinition<&str, u64> = TableDefinition::new("about");
/// Stored content: length, rank, last use, and last scrub.
pub(super) const CONTENT: TableDefinition<Key, (u64, u8, u64, u64)> =
    TableDefinition::new("content");
/// The order of eviction: by rank and last use.
pub(super) const ORDER: TableDefinition<(u8, u64, Key), ()> = TableDefinition::new("order");
/// The order of scrubbing: by last scrub.
pub(super) const SCRUBS: TableDefinition<(u64, Key), ()> = TableDefinition::new("scrubs");
/// The repositories that hold content; whether it is a manifest there, and its content type. The registry of
/// each holder has delivered the bytes itself.
pub(super) const HOLDERS: TableDefinition<(Key, &str, &str), (bool, Option<&str>)> =
    TableDefinition::new("holders");
/// Child, registry, repository, and parent; the time when the link was recorded.
pub(super) const PARENTS: TableDefinition<(Key, &str, &str, Key), u64> =
    TableDefinition::new("parents");
/// The same from the parent's side.
pub(super) const CHILDREN: TableDefinition<(Key, &str, &str, Key), ()> =
    TableDefinition::new("children");

/// The order of eviction: lower ranks are evicted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum Rank {
    Blob,
    Manifest,
    /// A manifest that was served.
    Served,
}

impl Rank {
    const fn number(self) -> u8 {
        match self {
            Self::Blob => 0,
            Self::Manifest => 1,
            Self::Served => 2,
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Blob,
            1 => Self::Manifest,
            _ => Self::Served,
        }
    }
}

/// The entry of one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Row {
    pub(in crate::store) length: u64,
    pub(in crate::store) rank: Rank,
    /// A logical time: larger is later.
    pub(in crate::store) used: u64,
    /// Seconds since 1970.
    pub(in crate::store) scrubbed: u64,
}

impl Row {
    pub(super) fn of((length, rank, used, scrubbed): (u64, u8, u64, u64)) -> Self {
        Self { length, rank: Rank::of(rank), used, scrubbed }
    }

    fn stored(self) -> (u64, u8, u64, u64) {
        (self.length, self.rank.number(), self.used, self.scrubbed)
    }
}

/// How a repository holds a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldAs {
    /// As a blob, fetched from `/blobs/`.
    Blob,
    /// As a manifest, fetched from `/manifests/` with this content type.
    Manifest { content_type: Option<String> },
}

impl HeldAs {
    pub(super) fn of((manifest, content_type): (bool, Option<&str>)) -> Self {
        match manifest {
            false => Self::Blob,
            true => Self::Manifest { content_type: content_type.map(str::to_owned) },
        }
    }

    pub(in crate::store) fn rank(&self) -> Rank {
        match self {
            Self::Blob => Rank::Blob,
            Self::Manifest { .. } => Rank::Manifest,
        }
    }
}

/// The key of `digest`.
pub(super) fn key(digest: &Digest) -> Vec<u8> {
    [&[number(digest.algorithm())], digest.raw()].concat()
}

const fn number(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha256 => 0,
        Algorithm::Sha512 => 1,
    }
}

/// The names of a repository as parts of a key.
pub(super) fn names(repository: &RepositoryRef) -> (&str, &str) {
    (repository.registry.as_str(), repository.name.as_str())
}

/// The prefix of the keys of digests whose hash begins with `first`.
pub(super) fn beginning(algorithm: Algorithm, first: u8) -> [u8; 2] {
    [number(algorithm), first]
}

/// The digest of a key.
pub(super) fn digest(key: &[u8]) -> Result<Digest, Error> {
    let digest = match key.split_first() {
        Some((0, raw)) => Digest::from_raw(Algorithm::Sha256, raw),
        Some((1, raw)) => Digest::from_raw(Algorithm::Sha512, raw),
        Some(_) | None => None,
    };
    digest.ok_or_else(|| Error::Corrupted("a key is not a digest".to_owned()))
}

/// The tables contradict each other: something else changed them.
pub(super) fn disagreement() -> Error {
    Error::Corrupted("the tables are inconsistent".to_owned())
}

/// The format version of a database; `None` if it is new.
pub(super) fn version(transaction: &ReadTransaction) -> Result<Option<u64>, Error> {
    match transaction.open_table(ABOUT) {
        Ok(about) => Ok(about.get("version")?.map(|version| version.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a repository of `registry` holds the content with this key.
pub(super) fn is_delivered(
    holders: &impl ReadableTable<(Key, &'static str, &'static str), (bool, Option<&'static str>)>,
    key: &[u8],
    registry: &Registry,
) -> Result<bool, Error> {
    let Some(first) = holders.range((key, registry.as_str(), "")..)?.next() else {
        return Ok(false);
    };
    let (holder, _) = first?;
    let (of, in_registry, _) = holder.value();
    Ok((of, in_registry) == (key, registry.as_str()))
}

/// The tables in a write transaction.
pub(in crate::store) struct Tables<'t> {
    content: Table<'t, Key, (u64, u8, u64, u64)>,
    order: Table<'t, (u8, u64, Key), ()>,
    scrubs: Table<'t, (u64, Key), ()>,
    holders: Table<'t, (Key, &'static str, &'static str), (bool, Option<&'static str>)>,
    parents: Table<'t, (Key, &'static str, &'static str, Key), u64>,
    children: Table<'t, (Key, &'static str, &'static str, Key), ()>,
    /// The bytes of the content that was added and removed.
    pub(super) added: u64,
    pub(super) removed: u64,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Error> {
        Ok(Self {
            content: transaction.open_table(CONTENT)?,
            order: transaction.open_table(ORDER)?,
            scrubs: transaction.open_table(SCRUBS)?,
            holders: transaction.open_table(HOLDERS)?,
            parents: transaction.open_table(PARENTS)?,
            children: transaction.open_table(CHILDREN)?,
            added: 0,
            removed: 0,
        })
    }

    pub(in crate::store) fn row(&self, digest: &Digest) -> Result<Option<Row>, Error> {
        Ok(self.content.get(key(digest).as_slice())?.map(|row| Row::of(row.value())))
    }

    /// The stored content in the order of eviction.
    pub(in crate::store) fn in_order(
        &self,
    ) -> Result<impl Iterator<Item = Result<(Digest, Row), Error>>, Error> {
        Ok(self.order.range::<(u8, u64, &[u8])>(..)?.map(|place| {
            let (place, _) = place?;
            let (rank, used, key) = place.value();
            let digest = digest(key)?;
            match self.row(&digest)? {
                Some(row) if (row.rank.number(), row.used) == (rank, used) => Ok((digest, row)),
                Some(_) | None => Err(disagreement()),
            }
        }))
    }

    /// Inserts or replaces the row of the content, and its entries in the orders.
    pub(in crate::store) fn put(&mut self, digest: &Digest, row: Row) -> Result<(), Error> {
        let key = key(digest);
        let key = key.as_slice();
        let before = self.content.insert(key, row.stored())?.map(|row| Row::of(row.value()));
        if let Some(before) = before {
            self.remove_from_orders(key, before)?;
        }
        self.added += row.length;
        self.order.insert((row.rank.number(), row.used, key), ())?;
        self.scrubs.insert((row.scrubbed, key), ())?;
        Ok(())
    }

    /// Removes content with this row from the orders.
    fn remove_from_orders(&mut self, key: &[u8], row: Row) -> Result<(), Error> {
        self.removed += row.length;
        let ordered = self.order.remove((row.rank.number(), row.used, key))?.is_some();
        let scrubbed = self.scrubs.remove((row.scrubbed, key))?.is_some();
        if ordered && scrubbed { Ok(()) } else { Err(disagreement()) }
    }

    /// Changes the row of stored content.
    pub(in crate::store) fn change(
        &mut self,
        digest: &Digest,
        change: impl FnOnce(&mut Row),
    ) -> Result<(), Error> {
        match self.row(digest)? {
            Some(mut row) => {
                change(&mut row);
                self.put(digest, row)
            }
            None => Ok(()),
        }
    }

    /// Removes the content, its holders, and its links to children.
    pub(in crate::store) fn forget(&mut self, digest: &Digest) -> Result<(), Error> {
        let key = key(digest);
        let key = key.as_slice();
        let row = self.content.remove(key)?.map(|row| Row::of(row.value()));
        let Some(row) = row else { return Ok(()) };
        self.remove_from_orders(key, row)?;
        let mut held = Vec::new();
        for holder in self.holders.range((key, "", "")..)? {
            let (holder, _) = holder?;
            let (of, registry, repository) = holder.value();
            if of != key {
                break;
            }
            held.push((registry.to_owned(), repository.to_owned()));
        }
        for (registry, repository) in &held {
            self.holders.remove((key, registry.as_str(), repository.as_str()))?;
        }
        let mut links = Vec::new();
        let none: &[u8] = &[];
        for link in self.children.range((key, "", "", none)..)? {
            let (link, ()) = link.map(|(link, nothing)| (link, nothing.value()))?;
            let (of, registry, repository, child) = link.value();
            if of != key {
                break;
            }
            links.push((registry.to_owned(), repository.to_owned(), child.to_owned()));
        }
        for (registry, repository, child) in &links {
            let (registry, repository) = (registry.as_str(), repository.as_str());
            self.children.remove((key, registry, repository, child.as_slice()))?;
            self.parents.remove((child.as_slice(), registry, repository, key))?;
        }
        Ok(())
    }

    /// Whether a repository of `registry` holds the content.
    pub(in crate::store) fn is_delivered(
        &self,
        digest: &Digest,
        registry: &Registry,
    ) -> Result<bool, Error> {
        is_delivered(&self.holders, &key(digest), registry)
    }

    /// Records that the repository holds stored content. A manifest never becomes a blob again.
    pub(in crate::store) fn hold(
        &mut self,
        repository: &RepositoryRef,
        digest: &Digest,
        seen: &HeldAs,
    ) -> Result<(), Error> {
        let Some(row) = self.row(digest)? else { return Ok(()) };
        let rank = seen.rank().max(row.rank);
        if rank != row.rank {
            self.put(digest, Row { rank, ..row })?;
        }
        let key = key(digest);
        let key = (key.as_slice(), repository.registry.as_str(), repository.name.as_str());
        let before = self.holders.get(key)?.map(|seen| HeldAs::of(seen.value()));
        let stored = match (seen, &before) {
            (HeldAs::Blob, Some(_))
            | (HeldAs::Manifest { content_type: None }, Some(HeldAs::Manifest { .. })) => {
                return Ok(());
            }
            (HeldAs::Blob, None) => (false, None),
            (HeldAs::Manifest { content_type }, Some(_) | None) => (true, content_type.as_deref()),
        };
        self.holders.insert(key, stored)?;
        Ok(())
    }

    /// Records at `now` that the stored manifest `parent` lists `child`. Keeps only the newest parents.
    pub(in crate::store) fn link(
        &mut self,
        repository: &RepositoryRef,
        child: &Digest,
        parent: &Digest,
        now: u64,
    ) -> Result<(), Error> {
        let (registry, repository) = names(repository);
        let (child, parent) = (key(child), key(parent));
        let (child, parent) = (child.as_slice(), parent.as_slice());
        self.parents.insert((child, registry, repository, parent), now)?;
        self.children.insert((parent, registry, repository, child), ())?;
        let mut known = Vec::new();
        let none: &[u8] = &[];
        for link in self.parents.range((child, registry, repository, none)..)? {
            let (link, seen) = link?;
            let (of, in_registry, in_repository, parent) = link.value();
            if (of, in_registry, in_repository) != (child, registry, repository) {
                break;
            }
            known.push((seen.value(), parent.to_owned()));
        }
        if known.len() > MAX_PARENTS
            && let Some((_, oldest)) = known.iter().min()
        {
            self.parents.remove((child, registry, repository, oldest.as_slice()))?;
            self.children.remove((oldest.as_slice(), registry, repository, child))?;
        }
        Ok(())
    }
}
