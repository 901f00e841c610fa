//! The typed metadata of each role (Notary 0.7, `tuf/data`), read from the same parse as the canonical form that is
//! verified. Does not check signatures.

use std::collections::{BTreeMap, HashMap};

use crate::clock::Timestamp as Instant;
use crate::json::Value;
use crate::oci::{Digest, Tag};
use crate::trust::refusal::Refusal;

use super::fields::{Fields, malformed};
use super::role::{Delegated, Role};
use super::tuf_key::{KeyId, TufKey};

/// The most keys that one file may list.
pub(super) const MAX_KEYS: usize = 1_024;
/// The most keys that one role may have.
pub(super) const MAX_ROLE_KEYS: usize = 64;
/// The most delegations that `targets` may have, and that a snapshot may list.
pub(super) const MAX_DELEGATIONS: usize = 1_024;
/// The most paths that one delegation may have.
pub(super) const MAX_PATHS: usize = 1_024;
/// The most tags that one role may sign.
pub(super) const MAX_TAGS: usize = 200_000;

/// The members that the `signed` object of every role has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    pub(super) version: u64,
    pub(super) expires: Instant,
}

/// The keys of a role and its threshold.
#[derive(Clone, Debug)]
pub(super) struct RoleKeys {
    pub(super) keys: Vec<(KeyId, TufKey)>,
    pub(super) threshold: u64,
}

pub(super) struct Root {
    pub(super) common: Common,
    pub(super) root: RoleKeys,
    pub(super) snapshot: RoleKeys,
    pub(super) targets: RoleKeys,
    pub(super) timestamp: RoleKeys,
}

/// The hashes and length of a file, as its parent lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) length: u64,
    pub(super) sha256: [u8; 32],
    pub(super) sha512: Option<[u8; 64]>,
}

pub(super) struct Timestamp {
    pub(super) common: Common,
    pub(super) snapshot: Meta,
}

pub(super) struct Snapshot {
    pub(super) common: Common,
    pub(super) root: Meta,
    pub(super) targets: Meta,
    pub(super) delegations: BTreeMap<Delegated, Meta>,
}

pub(super) struct Targets {
    pub(super) common: Common,
    pub(super) tags: HashMap<Tag, Entry>,
    pub(super) delegations: Vec<Delegation>,
}

/// A role's entry for a tag: the digest of the manifest and its length in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub digest: Digest,
    pub sha512: Option<Box<[u8; 64]>>,
    pub length: u64,
}

#[derive(Clone)]
pub(super) struct Delegation {
    pub(super) name: Delegated,
    pub(super) keys: RoleKeys,
    pub(super) paths: Vec<String>,
}

/// A role's metadata, read from its `signed` object.
pub(super) trait Metadata: Sized {
    fn read(role: &Role, signed: Value<'_>) -> Result<Self, Refusal>;
    fn common(&self) -> Common;
}

fn common(role: &Role, fields: &Fields<'_>) -> Result<Common, Refusal> {
    let is = fields.text("_type")?;
    if is != role.type_name() {
        return Err(malformed(format!("{role} has the type {is:?}, not {:?}", role.type_name())));
    }
    let expires = fields.text("expires")?;
    Ok(Common {
        version: fields.count("version", 1)?,
        expires: Instant::parse_rfc3339(expires)
            .ok_or_else(|| fields.wrong("expires", "an RFC 3339 time"))?,
    })
}

impl Metadata for Root {
    fn read(role: &Role, signed: Value<'_>) -> Result<Self, Refusal> {
        let fields = Fields::of("root", signed, &["_type", "expires", "version", "keys", "roles"])?;
        let common = common(role, &fields)?;
        let keys: HashMap<&str, Value<'_>> = fields.members("keys", MAX_KEYS)?.collect();
        let known = ["root", "snapshot", "targets", "timestamp"];
        let roles = Fields::of("root: roles", fields.required("roles")?, &known)?;
        let of = |name: &str| {
            let place = format!("root: role {name}");
            let role = Fields::of(&place, roles.required(name)?, &["keyids", "threshold"])?;
            role_keys(&role, &keys)
        };
        Ok(Self {
            common,
            root: of("root")?,
            snapshot: of("snapshot")?,
            targets: of("targets")?,
            timestamp: of("timestamp")?,
        })
    }

    fn common(&self) -> Common {
        self.common
    }
}

impl Metadata for Timestamp {
    fn read(role: &Role, signed: Value<'_>) -> Result<Self, Refusal> {
        let fields = Fields::of("timestamp", signed, &["_type", "expires", "version", "meta"])?;
        let metas = Fields::of("timestamp: meta", fields.required("meta")?, &["snapshot"])?;
        Ok(Self {
            common: common(role, &fields)?,
            snapshot: meta(&Role::Snapshot, metas.required("snapshot")?)?,
        })
    }

    fn common(&self) -> Common {
        self.common
    }
}

impl Metadata for Snapshot {
    fn read(role: &Role, signed: Value<'_>) -> Result<Self, Refusal> {
        let fields = Fields::of("snapshot", signed, &["_type", "expires", "version", "meta"])?;
        let metas = Fields::of("snapshot: meta", fields.required("meta")?, &["root", "targets"])?;
        let mut delegations = BTreeMap::new();
        for (name, value) in fields.members("meta", MAX_DELEGATIONS)? {
            if let Some(name) = Delegated::parse(name) {
                let of = meta(&Role::Delegation(name.clone()), value)?;
                delegations.insert(name, of);
            }
        }
        Ok(Self {
            common: common(role, &fields)?,
            root: meta(&Role::Root, metas.required("root")?)?,
            targets: meta(&Role::Targets, metas.required("targets")?)?,
            delegations,
        })
    }

    fn common(&self) -> Common {
        self.common
    }
}

impl Metadata for Targets {
    fn read(role: &Role, signed: Value<'_>) -> Result<Self, Refusal> {
        let known = ["_type", "expires", "version", "targets", "delegations"];
        let fields = Fields::of(role.as_str(), signed, &known)?;
        let common = common(role, &fields)?;
        let mut tags = HashMap::new();
        for (name, entry) in fields.members("targets", MAX_TAGS)? {
            let entry = read_entry(role, name, entry)?;
            // Clients cannot request a target whose name is not a tag.
            if let Ok(tag) = name.parse() {
                tags.insert(tag, entry);
            }
        }
        // Docker Content Trust has no nested delegations.
        let delegations = match (role, fields.optional("delegations")) {
            (Role::Targets, Some(delegations)) => read_delegations(delegations)?,
            (Role::Targets | Role::Delegation(_), _)
            | (Role::Root | Role::Timestamp | Role::Snapshot, _) => Vec::new(),
        };
        Ok(Self { common, tags, delegations })
    }

    fn common(&self) -> Common {
        self.common
    }
}

fn role_keys(role: &Fields<'_>, keys: &HashMap<&str, Value<'_>>) -> Result<RoleKeys, Refusal> {
    let mut of_role: Vec<(KeyId, TufKey)> = Vec::new();
    for id in role.texts("keyids", MAX_ROLE_KEYS)? {
        let key =
            *keys.get(id).ok_or_else(|| role.wrong("keyids", "a list of keys in this file"))?;
        let key = TufKey::read(id, key)?;
        if of_role.iter().all(|(known, _)| *known != key.0) {
            of_role.push(key);
        }
    }
    let threshold = role.count("threshold", 1)?;
    Ok(RoleKeys { keys: of_role, threshold })
}

/// Reads the member for `role` in a `meta` object: a length and hashes. SHA-256 is required.
fn meta(role: &Role, value: Value<'_>) -> Result<Meta, Refusal> {
    let place = format!("meta of {role}");
    let fields = Fields::of(&place, value, &["hashes", "length"])?;
    let length = fields.count("length", 1)?;
    if length > role.ceiling() {
        return Err(fields.wrong("length", &format!("at most {} bytes", role.ceiling())));
    }
    let (sha256, sha512) = hashes(&place, fields.required("hashes")?)?;
    Ok(Meta { length, sha256, sha512 })
}

fn hashes(place: &str, value: Value<'_>) -> Result<([u8; 32], Option<[u8; 64]>), Refusal> {
    let hashes = Fields::of(place, value, &["sha256", "sha512"])?;
    let sha256 =
        hashes.base64("sha256")?.try_into().map_err(|_| hashes.wrong("sha256", "32 bytes"))?;
    let sha512 = match hashes.optional("sha512") {
        Some(_) => Some(
            hashes.base64("sha512")?.try_into().map_err(|_| hashes.wrong("sha512", "64 bytes"))?,
        ),
        None => None,
    };
    Ok((sha256, sha512))
}

fn read_entry(role: &Role, name: &str, value: Value<'_>) -> Result<Entry, Refusal> {
    let shown: String = name.chars().take(128).collect();
    let place = format!("{role}: target {shown:?}");
    let fields = Fields::of(&place, value, &["hashes", "length"])?;
    let (sha256, sha512) = hashes(&place, fields.required("hashes")?)?;
    Ok(Entry {
        digest: Digest::from_sha256(sha256),
        sha512: sha512.map(Box::new),
        length: fields.count("length", 0)?,
    })
}

fn read_delegations(value: Value<'_>) -> Result<Vec<Delegation>, Refusal> {
    let fields = Fields::of("targets: delegations", value, &["keys", "roles"])?;
    let keys: HashMap<&str, Value<'_>> = fields.members("keys", MAX_KEYS)?.collect();
    let mut delegations: Vec<Delegation> = Vec::new();
    for role in fields.items("roles", MAX_DELEGATIONS)? {
        let known = ["name", "keyids", "threshold", "paths"];
        let role = Fields::of("targets: delegation", role, &known)?;
        let name = Delegated::parse(role.text("name")?)
            .ok_or_else(|| role.wrong("name", "`targets/` followed by a-z, 0-9, - and _"))?;
        if delegations.iter().any(|other| other.name == name) {
            return Err(malformed(format!("targets delegates to {} twice", name.as_str())));
        }
        let paths = role.texts("paths", MAX_PATHS)?.into_iter().map(str::to_owned).collect();
        delegations.push(Delegation { name, keys: role_keys(&role, &keys)?, paths });
    }
    Ok(delegations)
}

impl Delegation {
    /// Whether this delegation may sign `tag`: one of its paths is a prefix of the tag.
    pub(super) fn covers(&self, tag: &Tag) -> bool {
        self.paths.iter().any(|path| tag.as_str().starts_with(path.as_str()))
    }
}
