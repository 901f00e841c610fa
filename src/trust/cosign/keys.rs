//! The keys of an anchor: `keys`, `hash_algorithm` and `rsa_padding`.

use crate::toml_reader::Section;
use crate::trust::keys::PublicKey;
use crate::trust::x509::Hash;

use super::key::{Key, Padding, Scheme};
use super::limits::MAX_KEYS;

const HASH: &str = "hash_algorithm";
const PADDING: &str = "rsa_padding";

/// Reads the keys in `files`, the value of `keys`, whose signatures must be made as `scheme` says.
pub(super) fn read(
    section: &Section<'_>,
    files: Option<Vec<String>>,
    scheme: Option<Scheme>,
) -> Option<Vec<Key>> {
    let keys = read_keys(section, "keys", &files?)?;
    fitting(section, keys, scheme?)
}

/// Reports the keys that only an anchor with `keys` may have.
pub(super) fn refuse(section: &Section<'_>) {
    for key in [HASH, PADDING].into_iter().filter(|key| section.has(key)) {
        section
            .refuse(key, "it describes signatures with `keys`; a certificate has a key of its own");
    }
}

/// How the signatures with `keys` must be made.
pub(super) fn scheme(section: &Section<'_>) -> Option<Scheme> {
    let hash = match section.text(HASH).as_deref() {
        None if section.has(HASH) => return None,
        None => None,
        Some("sha256") => Some(Hash::Sha256),
        Some("sha384") => Some(Hash::Sha384),
        Some("sha512") => Some(Hash::Sha512),
        Some(other) => {
            let message = format!("{other:?} is not one of \"sha256\", \"sha384\", \"sha512\"");
            section.wrong(HASH, message);
            return None;
        }
    };
    let padding = match section.text(PADDING).as_deref() {
        None if section.has(PADDING) => return None,
        None | Some("pkcs1v15") => Padding::Pkcs1,
        Some("pss") => Padding::Pss,
        Some(other) => {
            section.wrong(PADDING, format!("{other:?} is neither \"pkcs1v15\" nor \"pss\""));
            return None;
        }
    };
    Some(Scheme { hash, padding })
}

/// `keys`, whose signatures must be made as `scheme` says.
fn fitting(section: &Section<'_>, keys: Vec<Key>, scheme: Scheme) -> Option<Vec<Key>> {
    let mut fits = true;
    for key in &keys {
        if let PublicKey::Ed25519(_) = key.public()
            && scheme.hash.is_some()
        {
            section.wrong(
                HASH,
                "an Ed25519 key has a hash of its own; make another [[anchor]] for it",
            );
            fits = false;
        }
        if !matches!(key.public(), PublicKey::Rsa { .. }) && scheme.padding == Padding::Pss {
            section.wrong(
                PADDING,
                "only RSA keys have a padding; make another [[anchor]] for the others",
            );
            fits = false;
        }
    }
    fits.then(|| keys.into_iter().map(|key| key.with(scheme)).collect())
}

/// Reads the PEM files `files`, the value of `key`: at least one, and each key once.
pub fn read_keys(section: &Section<'_>, key: &'static str, files: &[String]) -> Option<Vec<Key>> {
    if files.is_empty() {
        section.wrong(key, "the list is empty, so no signature counts");
        return None;
    }
    if files.len() > MAX_KEYS {
        section.wrong(key, format!("more than {MAX_KEYS} keys; use several anchors"));
        return None;
    }
    let mut keys: Vec<Key> = Vec::new();
    let mut all = true;
    for file in files {
        let read = section.named_file(key, file).and_then(|pem| {
            Key::parse(&pem).map_err(|e| section.wrong(key, format!("{file:?} {e}"))).ok()
        });
        match read {
            Some(known) if keys.contains(&known) => {
                section.wrong(key, format!("{file:?} holds a key that is listed twice"));
            }
            Some(known) => keys.push(known),
            None => all = false,
        }
    }
    all.then_some(keys)
}
