//! The keys that say where the trust data of an anchor comes from: `url`; `exporters` and `max_age`; `frozen`,
//! `frozen_sha256` and `until`.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use url::Url;

use crate::clock::Timestamp;
use crate::registry_client::{ConfigError, is_base};
use crate::toml_reader::Section;
use crate::trust::cosign;

use super::exporters::Exporters;
use super::frozen::{FrozenArchive, FrozenFile, MAX_FROZEN, ReadBundle, Unusable, WrongHash};
use super::gun::Gun;
use super::root_of_trust::Terms;

/// What an anchor needs to know besides its own section.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    pub now: Timestamp,
    /// Whether an upstream has `bundles`: then trust data may come from them.
    pub has_bundles: bool,
    pub read_bundle: ReadBundle,
}

/// The keys about a connection to a Notary server and about exporters. A frozen archive replaces both.
pub const SOURCE_KEYS: [&str; 9] = [
    "ca",
    "username",
    "password_file",
    "token_realm",
    "proxy",
    "proxy_username",
    "proxy_password_file",
    "exporters",
    "max_age",
];

/// Reads `url`. It may be missing if the trust data comes from files.
pub(super) fn url(section: &Section<'_>, around: &Surroundings) -> Option<Url> {
    if section.has("frozen") {
        section.refuse("url", "a frozen archive replaces the server; remove one of the two");
        return None;
    }
    if !section.has("url") && (around.has_bundles || section.has("exporters")) {
        return None;
    }
    let url = section.required::<Url>("url");
    if url.as_ref().is_some_and(|url| !is_base(url)) {
        section.wrong("url", ConfigError::Url.to_string());
    }
    url
}

impl Exporters {
    /// Reads `exporters` and `max_age`: both or neither.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let (names, max_age) = (section.texts("exporters"), section.duration("max_age"));
        if section.has("frozen") {
            return None;
        }
        match (section.has("exporters"), section.has("max_age")) {
            (false, false) => return None,
            (true, false) => {
                section.wrong(
                    "exporters",
                    "set `max_age` as well: how long after its capture trust data counts, such as \"90d\"",
                );
                return None;
            }
            (false, true) => {
                section.wrong(
                    "max_age",
                    "Notary v1 does not prove signing times; this key needs `exporters`, whose signature states when \
                     the trust data in a bundle was fetched",
                );
                return None;
            }
            (true, true) => {}
        }
        if max_age.is_some_and(|max_age| max_age.is_zero()) {
            section.wrong(
                "max_age",
                "with zero, no trust data counts; write a longer time, such as \"90d\"",
            );
        }
        let keys = cosign::read_keys(section, "exporters", &names?)?;
        Some(Self { keys, max_age: max_age? })
    }
}

/// The values of `frozen`, `frozen_sha256` and `until`.
pub(super) struct FrozenKeys {
    path: PathBuf,
    file: FrozenFile,
    until: Timestamp,
}

impl FrozenKeys {
    /// Reads the keys, and the file.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let (name, sha256) = (section.text("frozen"), section.text("frozen_sha256"));
        let until = section.instant("until");
        if !section.has("frozen") {
            for key in ["frozen_sha256", "until"] {
                section.refuse(key, "this key belongs to `frozen`, which is missing");
            }
            return None;
        }
        for key in SOURCE_KEYS {
            section.refuse(key, "a frozen archive has no server and no exporter; remove this key");
        }
        for (key, what) in [
            ("frozen_sha256", "the SHA-256 of the file"),
            ("until", "the day on which the archive ends, such as 2027-06-30"),
        ] {
            if !section.has(key) {
                section.wrong("frozen", format!("set `{key}` as well: {what}"));
            }
        }
        let sha256 = sha256.and_then(|text| {
            let mut sha256 = [0; 32];
            let decoded = hex::decode_to_slice(&text, &mut sha256);
            let expected =
                "write the SHA-256 of the file in 64 hex digits, as `sha256sum` prints it";
            decoded.map_err(|_| section.wrong("frozen_sha256", expected)).ok().map(|()| sha256)
        });
        let path = section.path("frozen")?;
        let content = section.named_bytes_within("frozen", &name?, MAX_FROZEN)?;
        let file = FrozenFile::verify(Bytes::from(content), &sha256?);
        let file = file.map_err(|WrongHash(found)| {
            section.wrong(
                "frozen_sha256",
                format!(
                    "{} has the SHA-256 {found}: restore the file, or write this value if you replaced it",
                    path.display()
                ),
            );
        });
        Some(Self { path, file: file.ok()?, until: until? })
    }

    /// Opens the archive.
    pub(super) fn open(
        self,
        section: &Section<'_>,
        around: &Surroundings,
        terms: impl Fn(Gun) -> Terms,
    ) -> Option<Arc<FrozenArchive>> {
        let Self { path, file, until } = self;
        match FrozenArchive::open(&file, path, until, around.read_bundle, terms, around.now) {
            Ok(archive) => Some(Arc::new(archive)),
            Err(Unusable::File(why)) => {
                section.wrong("frozen", why);
                None
            }
            Err(Unusable::Until(why)) => {
                section.wrong("until", why);
                None
            }
        }
    }
}
