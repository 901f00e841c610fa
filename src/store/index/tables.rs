//! The tables of the facts, and each change to them, within one transaction. What a table says of one
//! content, the others agree with.

use redb::{
    Error, ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction,
};

use crate::oci::{Algorithm, Digest, Registry, Repository};

/// What the tables mean; another number is another meaning.
pub(super) const VERSION: u64 = 2;
/// In this version the word of a registry was enough to make it a holder of what another delivered.
pub(super) const BY_WORD: u64 = 1;
/// The most parents that are known of one child in one repository.
const MAX_PARENTS: usize = 16;

/// A digest as a key: its algorithm, and its hash.
type Key = &'static [u8];

pub(super) const ABOUT: TableDefinition<&str, u64> = TableDefinition::new("about");
/// What is kept: its length, rank, last use and last scrub.
pub(super) const CONTENT: TableDefinition<Key, (u64, u8, u64, u64)> =
    TableDefinition::new("content");
/// The order in which content goes: by rank and last use.
pub(super) const ORDER: TableDefinition<(u8, u64, Key), ()> = TableDefinition::new("order");
/// The order in which content is scrubbed: by the last time.
pub(super) const SCRUBS: TableDefinition<(u64, Key), ()> = TableDefinition::new("scrubs");
/// Which repository holds what; whether it was a manifest there, and of what type. The registry of each
/// holder has delivered the bytes itself.
pub(super) const HOLDERS: TableDefinition<(Key, &str, &str), (bool, Option<&str>)> =
    TableDefinition::new("holders");
/// Child, registry, repository, parent; and when that was seen.
pub(super) const PARENTS: TableDefinition<(Key, &str, &str, Key), u64> =
    TableDefinition::new("parents");
/// The same from the parent's side.
pub(super) const CHILDREN: TableDefinition<(Key, &str, &str, Key), ()> =
    TableDefinition::new("children");

/// What goes first when room is made, and what goes last.
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

/// What is known of one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Row {
    pub(in crate::store) length: u64,
    pub(in crate::store) rank: Rank,
    /// Larger is later.
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

/// What a repository holds a digest as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldAs {
    /// It came from `/blobs/`.
    Blob,
    /// It came from `/manifests/`, with this content type.
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

/// How the keys of those digests begin whose hash begins with `first`.
pub(super) fn beginning(algorithm: Algorithm, first: u8) -> [u8; 2] {
    [number(algorithm), first]
}

/// The digest whose key this is.
pub(super) fn digest(key: &[u8]) -> Result<Digest, Error> {
    let digest = match key.split_first() {
        Some((0, raw)) => Digest::from_raw(Algorithm::Sha256, raw),
        Some((1, raw)) => Digest::from_raw(Algorithm::Sha512, raw),
        Some(_) | None => None,
    };
    digest.ok_or_else(|| Error::Corrupted("a key is no digest".to_owned()))
}

/// The tables were changed behind our back.
pub(super) fn disagreement() -> Error {
    Error::Corrupted("the tables do not agree".to_owned())
}

/// The version that a database has; `None` where it is new.
pub(super) fn version(transaction: &ReadTransaction) -> Result<Option<u64>, Error> {
    match transaction.open_table(ABOUT) {
        Ok(about) => Ok(about.get("version")?.map(|version| version.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether some repository of `registry` holds the content with that key.
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

/// The tables, open to be changed.
pub(in crate::store) struct Tables<'t> {
    content: Table<'t, Key, (u64, u8, u64, u64)>,
    order: Table<'t, (u8, u64, Key), ()>,
    scrubs: Table<'t, (u64, Key), ()>,
    holders: Table<'t, (Key, &'static str, &'static str), (bool, Option<&'static str>)>,
    parents: Table<'t, (Key, &'static str, &'static str, Key), u64>,
    children: Table<'t, (Key, &'static str, &'static str, Key), ()>,
    /// The bytes that came and those that went.
    pub(super) came: u64,
    pub(super) went: u64,
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
            came: 0,
            went: 0,
        })
    }

    pub(in crate::store) fn row(&self, digest: &Digest) -> Result<Option<Row>, Error> {
        Ok(self.content.get(key(digest).as_slice())?.map(|row| Row::of(row.value())))
    }

    /// What is kept, with its length, the first that should go first.
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

    /// Writes `row`, with its places in the orders, over whatever was known of the content before.
    pub(in crate::store) fn put(&mut self, digest: &Digest, row: Row) -> Result<(), Error> {
        let key = key(digest);
        let key = key.as_slice();
        let before = self.content.insert(key, row.stored())?.map(|row| Row::of(row.value()));
        if let Some(before) = before {
            self.leave(key, before)?;
        }
        self.came += row.length;
        self.order.insert((row.rank.number(), row.used, key), ())?;
        self.scrubs.insert((row.scrubbed, key), ())?;
        Ok(())
    }

    /// Takes content that had `row` out of the orders.
    fn leave(&mut self, key: &[u8], row: Row) -> Result<(), Error> {
        self.went += row.length;
        let ordered = self.order.remove((row.rank.number(), row.used, key))?.is_some();
        let scrubbed = self.scrubs.remove((row.scrubbed, key))?.is_some();
        if ordered && scrubbed { Ok(()) } else { Err(disagreement()) }
    }

    /// Changes what is known of content that is kept.
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

    /// Forgets the content, who held it and whose parent it was.
    pub(in crate::store) fn forget(&mut self, digest: &Digest) -> Result<(), Error> {
        let key = key(digest);
        let key = key.as_slice();
        let row = self.content.remove(key)?.map(|row| Row::of(row.value()));
        let Some(row) = row else { return Ok(()) };
        self.leave(key, row)?;
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

    /// Whether some repository of `registry` holds the content.
    pub(in crate::store) fn is_delivered(
        &self,
        digest: &Digest,
        registry: &Registry,
    ) -> Result<bool, Error> {
        is_delivered(&self.holders, &key(digest), registry)
    }

    /// Notes that the repository holds content that is kept; a manifest never becomes a blob again.
    pub(in crate::store) fn hold(
        &mut self,
        (registry, repository): (&Registry, &Repository),
        digest: &Digest,
        seen: &HeldAs,
    ) -> Result<(), Error> {
        let Some(row) = self.row(digest)? else { return Ok(()) };
        let rank = seen.rank().max(row.rank);
        if rank != row.rank {
            self.put(digest, Row { rank, ..row })?;
        }
        let key = key(digest);
        let key = (key.as_slice(), registry.as_str(), repository.as_str());
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

    /// Notes that `parent`, which is kept, lists `child`, seen at `now`; the newest are remembered.
    pub(in crate::store) fn link(
        &mut self,
        (registry, repository): (&Registry, &Repository),
        child: &Digest,
        parent: &Digest,
        now: u64,
    ) -> Result<(), Error> {
        let (registry, repository) = (registry.as_str(), repository.as_str());
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
