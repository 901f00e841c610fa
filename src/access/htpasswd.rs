//! A file of users and their passwords' hashes, as Apache's `htpasswd -B` writes it. Pure but for the
//! hashing, which takes its time on purpose.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The most users of one file.
const MAX_USERS: usize = 10_000;
/// The dearest hash: 2^14 rounds take about a second.
const MAX_COST: u32 = 14;
/// The longest password, in bytes: bcrypt looks at no more, and a longer one would match by its beginning.
pub(super) const MAX_PASSWORD: usize = 72;

/// Users, and what their passwords hash to. Shows no hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Htpasswd {
    users: Arc<BTreeMap<Arc<str>, String>>,
    /// What is hashed against for a user that there is not, so that it takes as long.
    nobody: String,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidHtpasswd {
    #[error("line {0} is no `user:hash`")]
    Line(usize),
    #[error(
        "line {0}: the hash of {1:?} is not bcrypt's, and others are too fast to guess; write it with `htpasswd -B FILE {1}`"
    )]
    Hash(usize, String),
    #[error("line {0}: the hash of {1:?} costs more than 2^{MAX_COST} rounds")]
    Cost(usize, String),
    #[error("line {0}: {1:?} stands there twice")]
    Twice(usize, String),
    #[error("it has more than {MAX_USERS} users")]
    TooMany,
    #[error(
        "it has no user, so nobody could pull; add one with `htpasswd -B FILE USER` (of Debian's apache2-utils)"
    )]
    Empty,
}

impl Htpasswd {
    /// Reads a file's text: a user a line, empty lines and lines that begin with `#` left out.
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

    /// The user of that name, if the password is theirs. Takes as long for a name that there is not.
    /// Blocks.
    pub(super) fn verify(&self, user: &str, password: &[u8]) -> Option<Arc<str>> {
        let known = self.users.get_key_value(user);
        let hash = known.map_or(&self.nobody, |(_, hash)| hash);
        let holds = bcrypt::verify(password, hash).unwrap_or(false);
        known.filter(|_| holds && password.len() <= MAX_PASSWORD).map(|(user, _)| user.clone())
    }

    /// What the password of `user` hashes to, if there is that user.
    pub(super) fn hash_of(&self, user: &str) -> Option<&str> {
        self.users.get(user).map(String::as_str)
    }

    pub fn len(&self) -> usize {
        self.users.len()
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

/// The cost of a bcrypt hash, `$2y$10$` and 53 characters; `None` of what is none.
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
    fn a_password_lets_in_its_own_user_only() {
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
    fn hashes_as_apache_writes_them_are_read() {
        // The vector of the original implementation, under the name that Apache gives its variant.
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
    fn what_is_too_easy_to_guess_or_no_line_is_refused() {
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
