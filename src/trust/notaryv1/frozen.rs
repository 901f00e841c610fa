//! Frozen archives: the trust data of a Notary server that no longer answers, in a file whose SHA-256 the configuration
//! names. The gate learns nothing new from it, and it ends on a day that the configuration names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::trust::refusal::{Reason, Refusal};
use crate::trust::signing_time::is_ahead;

use super::archive::{Captured, TrustFiles};
use super::captured_at::CapturedAt;
use super::gun::Gun;
use super::root_of_trust::Terms;
use super::update::{NotUpdated, update_captured};

/// The largest frozen archive in bytes. It contains no images.
pub const MAX_FROZEN: u64 = 256 << 20;
/// How far in the future a frozen archive may end: one year, also a leap year.
pub const MAX_FROZEN_LIFE: Duration = Duration::from_secs(366 * DAY);
/// How long before its end `check` warns.
pub const FROZEN_ENDS_SOON: Duration = Duration::from_secs(60 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// The bytes of a file with the expected SHA-256. Only [`FrozenFile::verify`] creates one.
#[derive(Clone, Debug)]
pub struct FrozenFile(Bytes);

/// The file has this SHA-256, in hex, and not the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongHash(pub String);

impl FrozenFile {
    pub fn verify(content: Bytes, sha256: &[u8; 32]) -> Result<Self, WrongHash> {
        let found: [u8; 32] = Sha256::digest(&content).into();
        if found == *sha256 { Ok(Self(content)) } else { Err(WrongHash(hex::encode(found))) }
    }
}

/// The trust data of one GUN in a frozen archive.
#[derive(Clone, Debug)]
pub struct FrozenGun {
    pub gun: Gun,
    /// When the files were fetched and verified.
    pub fetched: Timestamp,
    pub files: TrustFiles,
}

/// Reads all trust data in the bytes of a bundle. The error is a clause for people.
pub type ReadBundle = fn(Bytes) -> Result<Vec<FrozenGun>, String>;

/// A frozen archive, ready to be used.
#[derive(Debug)]
pub struct FrozenArchive {
    path: PathBuf,
    /// When the newest of its trust data was fetched.
    since: Timestamp,
    until: Timestamp,
    guns: BTreeMap<Gun, Captured>,
    unusable: BTreeMap<Gun, String>,
}

/// Why a frozen archive cannot be used: a sentence for each, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The file is not such an archive.
    File(String),
    /// `until` is not allowed.
    Until(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(why) => f.write_str(why),
            Self::Until(why) => write!(f, "`until`: {why}"),
        }
    }
}

impl FrozenArchive {
    /// Reads the archive in `file`, which was found at `path` and ends at `until`, and verifies the trust data of each GUN
    /// with the terms of its anchor at the time when it was fetched. Blocks.
    pub fn open(
        file: &FrozenFile,
        path: PathBuf,
        until: Timestamp,
        read: ReadBundle,
        terms: impl Fn(Gun) -> Terms,
        now: Timestamp,
    ) -> Result<Self, Unusable> {
        if until > now.plus(MAX_FROZEN_LIFE) {
            return Err(Unusable::Until(format!(
                "it is more than one year away; the latest day today is {}",
                day_before(now.plus(MAX_FROZEN_LIFE))
            )));
        }
        let captures = read(file.0.clone()).map_err(Unusable::File)?;
        let since = captures.iter().map(|one| one.fetched).max();
        let since = since.ok_or_else(|| Unusable::File("it contains no trust data".to_owned()))?;
        if is_ahead(since, now) {
            return Err(Unusable::File(format!(
                "it was made at {since:#}, which is in the future; check the clock of this machine"
            )));
        }
        let (mut guns, mut unusable) = (BTreeMap::new(), BTreeMap::new());
        let captures = captures.into_iter().map(|FrozenGun { gun, fetched, files }| {
            let captured = Captured::proven(files, CapturedAt::frozen(file, fetched, until));
            (terms(gun), fetched, captured)
        });
        let captures: Vec<_> = captures.collect();
        let expiries = expiries(&captures).map_err(Unusable::File)?;
        for ((Terms { gun, .. }, _, captured), expires) in captures.into_iter().zip(expiries) {
            match expires {
                Ok(ends) => {
                    if until > ends {
                        return Err(Unusable::Until(format!(
                            "it is later than {ends:#}, when the trust data of {gun} expires; the latest day is {}",
                            day_before(ends)
                        )));
                    }
                    guns.insert(gun, captured);
                }
                Err(why) => {
                    unusable.insert(gun, why);
                }
            }
        }
        if guns.is_empty() {
            let first = unusable.iter().next().map(|(gun, why)| format!("{gun}: {why}"));
            return Err(Unusable::File(format!(
                "none of its trust data verifies with the keys of this anchor: {}",
                first.unwrap_or_default()
            )));
        }
        Ok(Self { path, since, until, guns, unusable })
    }

    /// The trust data of `gun`, if the archive contains it and it verified.
    pub(super) fn captured(&self, gun: &Gun) -> Option<&Captured> {
        self.guns.get(gun)
    }

    /// The refusal of a GUN that the archive does not contain, or that did not verify when the archive was opened.
    pub(super) fn absent(&self, gun: &Gun) -> Refusal {
        let because = match self.unusable.get(gun) {
            Some(why) => {
                format!("{} contains trust data for {gun} that was refused: {why}", self.name())
            }
            None => format!("{} does not contain {gun}; {LEARNS_NOTHING}", self.name()),
        };
        Refusal::new(Reason::NoTrustData, because)
    }

    /// A name for people.
    pub fn name(&self) -> String {
        let file = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy();
        format!("the archive {file}, frozen since {:#},", self.since)
    }

    /// When the newest of its trust data was fetched.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// The GUNs whose trust data did not verify, and why.
    pub fn unusable(&self) -> impl Iterator<Item = (&Gun, &str)> {
        self.unusable.iter().map(|(gun, why)| (gun, why.as_str()))
    }
}

/// Why an archive cannot name a signature that was made later.
pub(super) const LEARNS_NOTHING: &str = "the gate learns nothing that was signed later: sign the image with cosign or notation, or freeze again";

/// The last day that ends before `at`.
pub fn day_before(at: Timestamp) -> String {
    Timestamp::from_unix(at.unix().saturating_sub(86_400)).day()
}

/// Verifies each capture with its terms, at the time when it was fetched: when it expires, or why it does not verify. Runs on
/// a thread of its own, because a runtime cannot wait for another one on its own thread.
fn expiries(
    captures: &[(Terms, Timestamp, Captured)],
) -> Result<Vec<Result<Timestamp, String>>, String> {
    let verify_all = async {
        let mut expiries = Vec::new();
        for (terms, fetched, captured) in captures {
            let expires = match update_captured(captured, terms, None, *fetched).await {
                Ok(updated) => Ok(updated.repository.expires()),
                Err(NotUpdated::Refused(refusal)) => Err(format!("{refusal} ({})", refusal.reason)),
                Err(error) => Err(error.to_string()),
            };
            expiries.push(expires);
        }
        expiries
    };
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Ok(runtime.map_err(|error| error.to_string())?.block_on(verify_all))
    };
    let joined = std::thread::scope(|scope| scope.spawn(run).join());
    joined.unwrap_or_else(|_| Err("the verification panicked".to_owned()))
}
