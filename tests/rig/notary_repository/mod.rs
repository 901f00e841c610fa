//! A publisher of Notary v1 metadata for tests: one valid repository, in which a test then breaks exactly one part.
//! Written from notary-v1.md and independent of the product's code.
//!
//! ```text
//! let mut repository = NotaryRepository::signed();              // valid, several roles and tags
//! repository.edit_signed("targets", |signed| …);                // before it is signed
//! repository.edit_file("targets", |text| …);                    // after; parents are hashed anew
//! let first = repository.publish();                             // name without .json → bytes
//! repository.tag("targets/releases", "v2", b"…");
//! let second = repository.publish();                            // what changed has a new version
//! ```

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    reason = "a rig: each test binary uses a part of it"
)]

mod certificate;
mod json;
mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

pub use certificate::Certificate;
pub use json::{NOW, canonical, in_days};
pub use keys::{How, Key, Kind, Signer};

/// The name of the tests' repository.
pub const GUN: &str = "registry.example.com/library/app";
pub const RELEASES: &str = "targets/releases";

/// Files as a Notary server names them, without `.json`.
pub type Files = BTreeMap<String, Vec<u8>>;

type EditValue = Arc<dyn Fn(&mut Value) + Send + Sync>;
type EditFile = Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>;

/// One role: its keys, its signers, and its content.
#[derive(Clone)]
pub struct Role {
    pub version: i64,
    pub expires: String,
    pub keys: Vec<Key>,
    pub threshold: i64,
    /// The signers, if they are not all of `keys`.
    pub signers: Option<Vec<Signer>>,
    /// The paths that a delegation may sign.
    pub paths: Vec<String>,
    /// The content of targets and delegations: tag → entry.
    pub tags: BTreeMap<String, Value>,
    signed_edits: Vec<EditValue>,
    envelope_edits: Vec<EditValue>,
    file_edits: Vec<EditFile>,
    sealed: Option<Sealed>,
    touched: bool,
}

/// A role as last published.
#[derive(Clone)]
struct Sealed {
    body: Value,
    keys: Vec<Key>,
    file: Vec<u8>,
}

impl Role {
    fn of(key: Key, days: i64) -> Self {
        Self {
            version: 1,
            expires: in_days(days),
            keys: vec![key],
            threshold: 1,
            signers: None,
            paths: vec![String::new()],
            tags: BTreeMap::new(),
            signed_edits: Vec::new(),
            envelope_edits: Vec::new(),
            file_edits: Vec::new(),
            sealed: None,
            touched: false,
        }
    }

    fn listed(&self) -> Value {
        let ids: Vec<_> = self.keys.iter().map(Key::listed_id).collect();
        json!({ "keyids": ids, "threshold": self.threshold })
    }
}

/// A repository and all its signers.
#[derive(Clone)]
pub struct NotaryRepository {
    pub gun: String,
    roles: BTreeMap<String, Role>,
    /// Every root ever published, by version.
    roots: BTreeMap<i64, Vec<u8>>,
}

impl NotaryRepository {
    /// A repository with the four base roles and nothing in it.
    pub fn empty(gun: &str) -> Self {
        let root = Certificate::named(gun).of(&Key::named("root"));
        let mut roles = BTreeMap::from([("root".to_owned(), Role::of(root, 3650))]);
        for (name, days) in [("targets", 1095), ("snapshot", 1095), ("timestamp", 14)] {
            roles.insert(name.to_owned(), Role::of(Key::named(name), days));
        }
        Self { gun: gun.to_owned(), roles, roots: BTreeMap::new() }
    }

    /// The valid repository of the tests: `v1` signed equally by `targets/releases`, `targets/alice` and `targets/qa`;
    /// another, older `v1` in `targets`; and `base` only in `targets`.
    pub fn signed() -> Self {
        Self::signed_as(GUN)
    }

    /// The same with another name.
    pub fn signed_as(gun: &str) -> Self {
        let mut repository = Self::empty(gun);
        repository.tag("targets", "v1", OLD_V1).tag("targets", "base", BASE);
        for name in [RELEASES, "targets/alice", "targets/qa"] {
            repository.delegate(name, Key::named(name)).tag(name, "v1", V1);
        }
        repository
    }

    /// Adds a delegation with the one key `key` that may sign every tag.
    pub fn delegate(&mut self, name: &str, key: Key) -> &mut Self {
        self.roles.insert(name.to_owned(), Role::of(key, 1095));
        self
    }

    /// Removes a delegation.
    pub fn undelegate(&mut self, name: &str) -> &mut Self {
        self.roles.remove(name);
        self
    }

    /// Signs `manifest` as `tag`; the role gets its next version when it is published.
    pub fn tag(&mut self, role: &str, tag: &str, manifest: &[u8]) -> &mut Self {
        let role = self.roles.get_mut(role).unwrap();
        role.tags.insert(tag.to_owned(), entry(manifest));
        self
    }

    /// Removes the tag from `role`.
    pub fn untag(&mut self, role: &str, tag: &str) -> &mut Self {
        let role = self.roles.get_mut(role).unwrap();
        role.tags.remove(tag);
        self
    }

    pub fn role(&self, name: &str) -> &Role {
        &self.roles[name]
    }

    /// A role to change; it is signed again with the version that it then has.
    pub fn role_mut(&mut self, name: &str) -> &mut Role {
        let role = self.roles.get_mut(name).unwrap();
        role.touched = true;
        role
    }

    /// The keys of a role to change; the role that lists them is published with its next version.
    pub fn keys_mut(&mut self, name: &str) -> &mut Vec<Key> {
        &mut self.roles.get_mut(name).unwrap().keys
    }

    /// Gives a role one new P-256 key; a root key also gets its certificate.
    pub fn rotate(&mut self, name: &str, key: &str) -> &mut Self {
        let key = Key::named(key);
        let key = if name == "root" { Certificate::named(&self.gun).of(&key) } else { key };
        *self.keys_mut(name) = vec![key];
        self
    }

    /// Changes the content of a role before it is signed.
    pub fn edit_signed(
        &mut self,
        role: &str,
        edit: impl Fn(&mut Value) + Send + Sync + 'static,
    ) -> &mut Self {
        self.role_mut(role).signed_edits.push(Arc::new(edit));
        self
    }

    /// Changes the signed document, signatures and all, after it was signed.
    pub fn edit_envelope(
        &mut self,
        role: &str,
        edit: impl Fn(&mut Value) + Send + Sync + 'static,
    ) -> &mut Self {
        self.role_mut(role).envelope_edits.push(Arc::new(edit));
        self
    }

    /// Changes the text of the file after it was signed.
    pub fn edit_text(
        &mut self,
        role: &str,
        edit: impl Fn(String) -> String + Send + Sync + 'static,
    ) -> &mut Self {
        self.edit_file(role, move |file| edit(String::from_utf8(file).unwrap()).into_bytes())
    }

    /// Changes the bytes of the file after it was signed.
    pub fn edit_file(
        &mut self,
        role: &str,
        edit: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
    ) -> &mut Self {
        self.role_mut(role).file_edits.push(Arc::new(edit));
        self
    }

    /// All files that the server then has. Changed roles are signed again, with the next version unless the test chose
    /// one with `role_mut`.
    pub fn publish(&mut self) -> Files {
        let delegations: Vec<_> =
            self.roles.keys().filter(|name| name.contains('/')).cloned().collect();
        let mut files = Files::new();
        let mut listed = json!({});
        for name in delegations.iter().map(String::as_str).chain(["targets"]) {
            let body = self.targets_body(name);
            self.seal(name, body);
            self.store(&mut files, name);
            listed[name] = meta(self.file(name));
        }
        let keys: Value = ["root", "targets", "snapshot", "timestamp"]
            .iter()
            .flat_map(|name| &self.roles[*name].keys)
            .map(|key| (key.listed_id(), key.entry()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let roles: Value = ["root", "targets", "snapshot", "timestamp"]
            .iter()
            .map(|name| ((*name).to_owned(), self.roles[*name].listed()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let root = json!({ "_type": "Root", "consistent_snapshot": false,
            "expires": self.roles["root"].expires, "keys": keys, "roles": roles });
        self.seal("root", root);
        self.store(&mut files, "root");
        self.roots.insert(self.roles["root"].version, self.file("root").to_vec());
        for (version, file) in &self.roots {
            files.insert(format!("{version}.root"), file.clone());
        }
        listed["root"] = meta(self.file("root"));
        let expires = self.roles["snapshot"].expires.clone();
        self.seal("snapshot", json!({ "_type": "Snapshot", "expires": expires, "meta": listed }));
        self.store(&mut files, "snapshot");
        let snapshot = json!({ "snapshot": meta(self.file("snapshot")) });
        let expires = self.roles["timestamp"].expires.clone();
        self.seal(
            "timestamp",
            json!({ "_type": "Timestamp", "expires": expires, "meta": snapshot }),
        );
        self.store(&mut files, "timestamp");
        files
    }

    /// The bytes of a role as last published.
    pub fn file(&self, role: &str) -> &[u8] {
        &self.roles[role].sealed.as_ref().unwrap().file
    }

    fn store(&self, files: &mut Files, name: &str) {
        let file = self.file(name).to_vec();
        files.insert(hash_name(name, &file), file.clone());
        files.insert(name.to_owned(), file);
    }

    /// The body of `targets` or a delegation; it lists the delegations directly below it.
    fn targets_body(&self, name: &str) -> Value {
        let mut keys = json!({});
        let mut roles = Vec::new();
        for (child, role) in &self.roles {
            if child.rsplit_once('/').is_some_and(|(parent, _)| parent == name) {
                for key in &role.keys {
                    keys[key.listed_id()] = key.entry();
                }
                let mut listed = role.listed();
                listed["name"] = json!(child);
                listed["paths"] = json!(role.paths);
                roles.push(listed);
            }
        }
        let role = &self.roles[name];
        json!({ "_type": "Targets", "expires": role.expires, "targets": role.tags,
            "delegations": { "keys": keys, "roles": roles } })
    }

    fn seal(&mut self, name: &str, body: Value) {
        let role = self.roles.get_mut(name).unwrap();
        let touched = std::mem::take(&mut role.touched);
        let mut signers: Vec<_> = role.keys.iter().map(Signer::of).collect();
        if let Some(sealed) = &role.sealed {
            let same_keys = sealed.keys.iter().map(Key::id).eq(role.keys.iter().map(Key::id));
            if sealed.body == body && !touched && same_keys {
                return;
            }
            if !touched {
                role.version += 1;
            }
            if name == "root" && !same_keys {
                signers.extend(sealed.keys.iter().map(Signer::of));
            }
        }
        let mut signed = body.clone();
        signed["version"] = json!(role.version);
        for edit in &role.signed_edits {
            edit(&mut signed);
        }
        let signers = role.signers.as_ref().unwrap_or(&signers);
        let message = canonical(&signed);
        let signatures: Vec<_> = signers.iter().map(|signer| signer.sign(&message)).collect();
        let mut envelope = json!({ "signed": signed, "signatures": signatures });
        for edit in &role.envelope_edits {
            edit(&mut envelope);
        }
        let mut file = envelope.to_string().into_bytes();
        for edit in &role.file_edits {
            file = edit(file);
        }
        role.sealed = Some(Sealed { body, keys: role.keys.clone(), file });
    }
}

/// The manifest of `v1` that delegations sign.
pub const V1: &[u8] = b"the manifest of v1";
/// The manifest of `v1` that `targets` signs.
pub const OLD_V1: &[u8] = b"the manifest of v1 as it was once";
/// The manifest of `base`.
pub const BASE: &[u8] = b"the manifest of base";

/// The entry of a tag.
pub fn entry(manifest: &[u8]) -> Value {
    json!({ "hashes": { "sha256": STANDARD.encode(Sha256::digest(manifest)) },
        "length": manifest.len() })
}

/// A file's entry in its parent.
pub fn meta(file: &[u8]) -> Value {
    json!({ "hashes": { "sha256": STANDARD.encode(Sha256::digest(file)),
            "sha512": STANDARD.encode(Sha512::digest(file)) },
        "length": file.len() })
}

/// The file name with the hash.
pub fn hash_name(role: &str, file: &[u8]) -> String {
    format!("{role}.{}", hex::encode(Sha256::digest(file)))
}

/// The name with the hash under which `files` contains the file of `role`.
pub fn name_in(files: &Files, role: &str) -> String {
    let prefix = format!("{role}.");
    files.keys().find(|name| name.starts_with(&prefix)).unwrap().clone()
}
