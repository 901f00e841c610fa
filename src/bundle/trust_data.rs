//! All trust data of Notary v1 in a bundle, for a frozen archive. Verifies nothing.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::text::shown;
use crate::trust::notaryv1::{FrozenGun, Gun};

use super::archive::files;
use super::file::Bundle;

/// The longest name that a message shows.
const MAX_SHOWN: usize = 300;

/// All trust data in the bundle with the bytes `content`, for a frozen archive: its SHA-256 was checked, so it is read from
/// memory, where it cannot change. The error is a clause for people.
pub fn trust_data(content: Bytes) -> Result<Vec<FrozenGun>, String> {
    let bundle =
        Bundle::in_memory(Path::new(""), content).map_err(|problem| problem.to_string())?;
    let (mut guns, mut known) = (Vec::new(), BTreeSet::new());
    for repository in &bundle.contents().notaryv1 {
        let gun: Gun = repository.gun.parse().map_err(|_| {
            format!("it names the invalid GUN {}", shown(&repository.gun, MAX_SHOWN))
        })?;
        if !known.insert(gun.clone()) {
            return Err(format!("it contains {gun} twice"));
        }
        let fetched = Timestamp::from_unix(repository.fetched);
        let files = files(&bundle, &gun).map_err(|error| error.to_string())?;
        let files = files.ok_or_else(|| format!("it contains no files of {gun}"))?;
        guns.push(FrozenGun { gun, fetched, files });
    }
    Ok(guns)
}
