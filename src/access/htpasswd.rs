//! Users and password hashes, in the format of Apache's `htpasswd -B`. Pure, except that hashing is slow by design.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The most users in one file.
const MAX_USERS: usize = 10_000;
/// The highest bcrypt cost: 2^14 rounds take about a second.
const MAX_COST: u32 = 14;
/// The longest password, in bytes. bcrypt ignores the rest, so a longer password would match by its beginning.
pub(super) const MAX_PASSWORD: usize = 72;

/// Users and their password hashes. Its `Debug` shows no hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Htpasswd {
    users: Arc<BTreeMap<Arc<str>, String>>,
    /// The hash to check against for an unknown user, so that the check takes as long as for a known one.
    nobody: String,
}

/// Why a line or the file is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidHtpasswd {
    #[error("line {0} is not `user:hash`")]
    Line(usize),
    #[error(
        "line {0}: the hash of {1:?} is not bcrypt (other hashes are too easy to crack); create it with `htpasswd -B FILE {1}`"
    )]
    Hash(usize, String),
    #[error("line {0}: the hash of {1:?} costs more than 2^{MAX_COST} rounds")]
    Cost(usize, String),
    #[error("line {0}: duplicate user {1:?}")]
    Twice(usize, String),
    #[error("it has more than {MAX_USERS} users")]
    TooMany,
    #[error(
        "it has no users, so nobody could pull; add one with `htpasswd -B FILE USER` (Debian package apache2-utils)"
    )]
    Empty,
}

impl Htpasswd {
    /// Parses a file: one user per line; ignores empty lines and lines that begin with `#`.
    pub fn parse(text: &str) -> Result<Self, InvalidHtpasswd> {
        let mut users = BTreeMap::new();
        let mut dearest: Option<(u32, String)> = None;
        for (at, line) in text.lines().enumerate() {
            let (at, line) = (at + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = line.split_once(':').ok_or(InvalidHtpasswd::Line(at))?;
            if user.is_empty() || user.chars().any(char::is_control) {
                return Err(InvalidHtpasswd::Line(at));
            }
            let cost = cost(hash).ok_or_else(|| InvalidHtpasswd::Hash(at, user.to_owned()))?;
            if cost > MAX_COST {
                return Err(InvalidHtpasswd::Cost(at, user.to_owned()));
            }
            if dearest.as_ref().is_none_or(|(most, _)| *most < cost) {
                dearest = Some((cost, hash.to_owned()));
            }
            if users.insert(Arc::from(user), hash.to_owned()).is_some() {
                return Err(InvalidHtpasswd::Twice(at, user.to_owned()));
            }
            if users.len() > MAX_USERS {
                return Err(InvalidHtpasswd::TooMany);
            }
        }
        let (_, nobody) = dearest.ok_or(InvalidHtpasswd::Empty)?;
        Ok(Self { users: Arc::new(users), nobody })
    }

    /// The user of that name, if the password is right. Takes as long for an unknown name. Blocks.
    pub(super) fn verify(&self, user: &str, password: &[u8]) -> Option<Arc<str>> {
        let known = self.users.get_key_value(user);
        let hash = known.map_or(&self.nobody, |(_, hash)| hash);
        let holds = bcrypt::verify(password, hash).unwrap_or(false);
        known.filter(|_| holds && password.len() <= MAX_PASSWORD).map(|(user, _)| user.clone())
    }

    /// The password hash of `user`, if the file has that user.
    pub(super) fn hash_of(&self, user: &str) -> Option<&str> {
        self.users.get(user).map(String::as_str)
    }

    /// The names of all users.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(|name| &**name)
    }

    pub fn len(&self) -> usize {
        self.users.len()
    }

    #[cfg(feature = "test-support")]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

/// The cost of a bcrypt hash (`$2y$10$` and 53 characters); `None` if `hash` is not one.
fn cost(hash: &str) -> Option<u32> {
    let parts: bcrypt::HashParts = hash.parse().ok()?;
    Some(parts.get_cost())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user: &str, password: &str) -> String {
        format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap())
    }

    #[test]
    fn a_password_is_valid_for_its_own_user_only() {
        let text = format!("# users\n\n{}{}", line("alice", "secret"), line("bob", "other"));
        let file = Htpasswd::parse(&text).unwrap();
        assert_eq!(file.verify("alice", b"secret").as_deref(), Some("alice"));
        for (user, password) in
            [("bob", "secret"), ("alice", "other"), ("alice", ""), ("carol", "secret"), ("", "")]
        {
            assert_eq!(file.verify(user, password.as_bytes()), None, "{user} {password}");
        }
        assert!(!format!("{file:?}").contains("$2"));
    }

    #[test]
    fn hashes_written_by_apache_are_accepted() {
        // A test vector of the original implementation, with the prefix that Apache uses for its variant.
        let hash = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        let file = Htpasswd::parse(&format!("u:{hash}")).unwrap();
        assert!(file.verify("u", b"U*U").is_some() && file.verify("u", b"U*V").is_none());
    }

    #[test]
    fn a_long_password_does_not_match_by_its_beginning() {
        let long = "x".repeat(MAX_PASSWORD);
        let file = Htpasswd::parse(&line("u", &long)).unwrap();
        assert!(file.verify("u", long.as_bytes()).is_some());
        assert!(file.verify("u", format!("{long}y").as_bytes()).is_none());
    }

    #[test]
    fn weak_hashes_and_malformed_lines_are_errors() {
        let md5 = "alice:$apr1$abcdefgh$0123456789012345678901";
        assert_eq!(Htpasswd::parse(md5), Err(InvalidHtpasswd::Hash(1, "alice".to_owned())));
        for (text, why) in [
            ("alice", InvalidHtpasswd::Line(1)),
            (":$2y$", InvalidHtpasswd::Line(1)),
            ("alice:secret", InvalidHtpasswd::Hash(1, "alice".to_owned())),
            ("# none\n", InvalidHtpasswd::Empty),
        ] {
            assert_eq!(Htpasswd::parse(text), Err(why), "{text}");
        }
        let twice = line("alice", "a") + &line("alice", "b");
        assert_eq!(Htpasswd::parse(&twice), Err(InvalidHtpasswd::Twice(2, "alice".to_owned())));
        let dear = bcrypt::hash("a", 4).unwrap().replacen("$04$", "$31$", 1);
        let dear = Htpasswd::parse(&format!("u:{dear}"));
        assert_eq!(dear, Err(InvalidHtpasswd::Cost(1, "u".to_owned())));
    }
}
