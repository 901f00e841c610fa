//! Migrates a database of an earlier version to the current one.

use std::collections::BTreeSet;

use redb::{Database, Error, ReadableTable as _};

use super::tables;

/// Migrates from [`tables::CLAIMED_HOLDERS`]. In that version, a registry could become a holder of content that
/// another registry had delivered. If several registries hold the same content, it is unknown which of them
/// delivered it, so all lose it: each must deliver it again.
pub(super) fn from_claimed_holders(database: &Database) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    {
        let mut holders = transaction.open_table(tables::HOLDERS)?;
        let mut unproven = BTreeSet::new();
        let mut last: Option<(Vec<u8>, String)> = None;
        for holder in holders.iter()? {
            let (holder, _) = holder?;
            let (key, registry, _) = holder.value();
            if last.as_ref().is_some_and(|(of, other)| of == key && other != registry) {
                unproven.insert(key.to_owned());
            }
            last = Some((key.to_owned(), registry.to_owned()));
        }
        holders.retain(|(key, _, _), _| !unproven.contains(key))?;
        transaction.open_table(tables::ABOUT)?.insert("version", tables::VERSION)?;
    }
    transaction.commit()?;
    Ok(())
}
