//! Roles, and the files of their metadata as a Notary server names them.

use std::fmt;
use std::sync::Arc;

/// A TUF role: the authority to sign one kind of metadata.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Root,
    Timestamp,
    Snapshot,
    Targets,
    Delegation(Delegated),
}

/// The name of a delegation directly below `targets`, such as `targets/releases`. Docker Content Trust has no deeper
/// delegations.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Delegated(Arc<str>);

impl Delegated {
    /// The longest name of a role.
    const MAX: usize = 255;

    /// The delegation from which docker resolves tags first.
    pub fn releases() -> Self {
        Self("targets/releases".into())
    }

    /// Reads a full name, `targets/<name>`, where `<name>` consists of a-z, 0-9, `-` and `_`. Deeper names are refused.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix("targets/")?;
        let word = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        let is_valid = !name.is_empty() && name.bytes().all(word) && text.len() <= Self::MAX;
        is_valid.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The signer's name: the part after `targets/`.
    pub fn signer(&self) -> &str {
        self.0.strip_prefix("targets/").unwrap_or(&self.0)
    }
}

impl Role {
    /// The `_type` of this role's metadata.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Root => "Root",
            Self::Timestamp => "Timestamp",
            Self::Snapshot => "Snapshot",
            Self::Targets | Self::Delegation(_) => "Targets",
        }
    }

    /// The largest metadata of this role, in bytes.
    pub(super) const fn ceiling(&self) -> u64 {
        match self {
            Self::Timestamp => 64 << 10,
            Self::Root | Self::Snapshot => 1 << 20,
            Self::Targets | Self::Delegation(_) => 16 << 20,
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
            Self::Delegation(name) => name.as_str(),
        }
    }

    /// Reads a role's name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "root" => Some(Self::Root),
            "timestamp" => Some(Self::Timestamp),
            "snapshot" => Some(Self::Snapshot),
            "targets" => Some(Self::Targets),
            other => Delegated::parse(other).map(Self::Delegation),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A file of a repository on a Notary server. `Display` is its name without `.json`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum File {
    /// The newest file of the role.
    Newest(Role),
    /// The root with this version.
    Root(u64),
    /// The metadata with the hash and the exact length that its parent names.
    Content { role: Role, sha256: [u8; 32], length: u64 },
}

impl File {
    /// Reads the server's name of a file, without `.json`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((before, after)) = text.split_once('.') {
            if after == "root" {
                let digits = before.len() <= 10 && before.bytes().all(|b| b.is_ascii_digit());
                return before
                    .parse()
                    .ok()
                    .filter(|_| digits && !before.starts_with('0'))
                    .map(Self::Root);
            }
            let role = Role::parse(before)?;
            let mut sha256 = [0; 32];
            let lower = after.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            hex::decode_to_slice(after, &mut sha256).ok().filter(|()| lower)?;
            let length = role.ceiling();
            return Some(Self::Content { role, sha256, length });
        }
        Role::parse(text).map(Self::Newest)
    }

    /// The largest accepted size, in bytes.
    pub fn ceiling(&self) -> u64 {
        match self {
            Self::Newest(role) => role.ceiling(),
            Self::Root(_) => Role::Root.ceiling(),
            Self::Content { length, .. } => *length,
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(role) => role.fmt(f),
            Self::Root(version) => write!(f, "{version}.root"),
            Self::Content { role, sha256, .. } => write!(f, "{role}.{}", hex::encode(sha256)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delegations_are_direct_children_of_targets_with_plain_names() {
        for text in ["targets/releases", "targets/alice", "targets/a-b_c9"] {
            assert_eq!(Delegated::parse(text).unwrap().as_str(), text);
        }
        let long = format!("targets/{}", "a".repeat(248));
        for text in [
            "targets",
            "targets/",
            "targets/a/b",
            "targets//a",
            "targets/../root",
            "targets/A",
            "targets/a.b",
            "root",
            "target/a",
            "targets/a ",
            "targets/%61",
            &long,
        ] {
            assert_eq!(Delegated::parse(text), None, "{text}");
        }
    }

    #[test]
    fn files_are_named_as_the_server_names_them() {
        let releases = Role::Delegation(Delegated::releases());
        let content = File::Content { role: releases, sha256: [0xab; 32], length: 7 };
        assert_eq!(content.to_string(), format!("targets/releases.{}", "ab".repeat(32)));
        assert_eq!(File::Root(2).to_string(), "2.root");
        assert_eq!(File::Newest(Role::Timestamp).to_string(), "timestamp");
        assert_eq!(content.ceiling(), 7);
        for name in ["root", "2.root", "timestamp", "targets/alice", &content.to_string()] {
            assert_eq!(File::parse(name).unwrap().to_string(), name);
        }
        for name in [
            "",
            "x",
            "0.root",
            "01.root",
            ".root",
            "-1.root",
            "2.snapshot",
            "root.",
            "root.ab",
            "targets/a/b",
            "timestamp.key",
        ] {
            assert_eq!(File::parse(name), None, "{name}");
        }
    }
}
