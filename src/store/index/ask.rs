//! The queries of the index. If the database is closed or fails, they return nothing.

use redb::{Error, ReadTransaction, ReadableTable as _};

use super::ContentIndex;
use super::tables::{self, HeldAs, Row};
use crate::clock::Timestamp;
use crate::oci::{Algorithm, Digest, Registry, RepositoryRef};

/// Content that a repository holds.
pub(in crate::store) struct Held {
    pub(in crate::store) length: u64,
    pub(in crate::store) seen: HeldAs,
}

impl ContentIndex {
    /// The entry of `digest` in the repository.
    pub(in crate::store) fn held(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Option<Held> {
        let (registry, repository) = tables::names(repository);
        let key = tables::key(digest);
        let key = key.as_slice();
        self.read(|reading| {
            let holders = reading.open_table(tables::HOLDERS)?;
            let Some(seen) = holders.get((key, registry, repository))? else {
                return Ok(None);
            };
            let row = reading.open_table(tables::CONTENT)?.get(key)?;
            Ok(row.map(|row| Held {
                length: Row::of(row.value()).length,
                seen: HeldAs::of(seen.value()),
            }))
        })
    }

    /// Whether the content is stored; `None` if the database cannot be read.
    pub(in crate::store) fn keeps(&self, digest: &Digest) -> Option<bool> {
        self.read(|reading| row(reading, digest).map(|row| Some(row.is_some())))
    }

    /// Whether the content is stored and a repository of `registry` holds it.
    pub(in crate::store) fn has_delivered(&self, registry: &Registry, digest: &Digest) -> bool {
        let key = tables::key(digest);
        let found = self.read(|reading| {
            let holders = reading.open_table(tables::HOLDERS)?;
            tables::is_delivered(&holders, &key, registry).map(Some)
        });
        found.unwrap_or(false)
    }

    /// The manifests of the repository that list `child`, newest first.
    pub(in crate::store) fn parents(
        &self,
        repository: &RepositoryRef,
        child: &Digest,
    ) -> Vec<Digest> {
        let (registry, repository) = tables::names(repository);
        let key = tables::key(child);
        let (key, none): (&[u8], &[u8]) = (&key, &[]);
        let found = self.read(|reading| {
            let mut found = Vec::new();
            let parents = reading.open_table(tables::PARENTS)?;
            for link in parents.range((key, registry, repository, none)..)? {
                let (link, seen) = link?;
                let (of, in_registry, in_repository, parent) = link.value();
                if (of, in_registry, in_repository) != (key, registry, repository) {
                    break;
                }
                found.push((seen.value(), tables::digest(parent)?));
            }
            found.sort_unstable_by(|a, b| b.cmp(a));
            Ok(Some(found))
        });
        found.unwrap_or_default().into_iter().map(|(_, parent)| parent).collect()
    }

    /// The stored digests whose hash begins with the byte `first`.
    pub(in crate::store) fn beginning_with(
        &self,
        algorithm: Algorithm,
        first: u8,
    ) -> Option<Vec<Digest>> {
        let from = tables::beginning(algorithm, first);
        self.read(|reading| {
            let mut found = Vec::new();
            for row in reading.open_table(tables::CONTENT)?.range(from.as_slice()..)? {
                let (key, _) = row?;
                if !key.value().starts_with(&from) {
                    break;
                }
                found.push(tables::digest(key.value())?);
            }
            Ok(Some(found))
        })
    }

    /// The least recently scrubbed content with its length, if its last scrub was not after `until`.
    pub(in crate::store) fn scrubbed_until(&self, until: Timestamp) -> Option<(Digest, u64)> {
        self.read(|reading| {
            let scrubs = reading.open_table(tables::SCRUBS)?;
            let Some((oldest, _)) = scrubs.first()? else { return Ok(None) };
            let (scrubbed, key) = oldest.value();
            if i64::try_from(scrubbed).is_ok_and(|scrubbed| scrubbed > until.unix()) {
                return Ok(None);
            }
            let digest = tables::digest(key)?;
            match row(reading, &digest)? {
                Some(row) if row.scrubbed == scrubbed => Ok(Some((digest, row.length))),
                Some(_) | None => Err(tables::disagreement()),
            }
        })
    }
}

fn row(reading: &ReadTransaction, digest: &Digest) -> Result<Option<Row>, Error> {
    let content = reading.open_table(tables::CONTENT)?;
    Ok(content.get(tables::key(digest).as_slice())?.map(|row| Row::of(row.value())))
}
