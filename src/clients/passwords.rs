//! Passwords that come with requests, held against their hashes: seldom, because that takes long on
//! purpose, and never by more than a few at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use moka::future::Cache;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::NotLetIn;
use super::htpasswd::Htpasswd;

/// How long a password that was right is not held against its hash again.
const RIGHT: Duration = Duration::from_secs(5 * 60);
/// How many that were right are remembered.
const MAX_RIGHT: u64 = 10_000;
/// How many are looked at at once: a crowd of wrong ones leaves room for the work itself.
const AT_ONCE: usize = 1;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest header that can be one.
const MAX_HEADER: usize = 1_024;

/// Which requests bear a password that is right.
pub(super) struct Passwords {
    file: Htpasswd,
    /// What was right, by a keyed hash of name and password that is of no use to anybody else.
    right: Cache<[u8; 32], Arc<str>>,
    key: [u8; 32],
    turns: Arc<Semaphore>,
}

impl Passwords {
    pub(super) fn new(file: Htpasswd) -> Result<Self, Unspecified> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key)?;
        Ok(Self {
            file,
            right: Cache::builder().max_capacity(MAX_RIGHT).time_to_live(RIGHT).build(),
            key,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// The user of `Authorization: Basic` (RFC 7617).
    pub(super) async fn user(&self, headers: &HeaderMap) -> Result<Arc<str>, NotLetIn> {
        let mut sent = headers.get_all(AUTHORIZATION).into_iter();
        let (first, second) = (sent.next(), sent.next());
        let header = first.ok_or(NotLetIn::Unknown)?;
        if second.is_some() {
            return Err(NotLetIn::Wrong);
        }
        let pair = basic(header.as_bytes()).ok_or(NotLetIn::Wrong)?;
        let known_as = self.keyed(&pair);
        if let Some(user) = self.right.get(&known_as).await {
            return Ok(user);
        }
        let turn = tokio::time::timeout(PATIENCE, self.turns.clone().acquire_owned());
        let turn = turn.await.map_err(|_| NotLetIn::Busy)?.map_err(|_| NotLetIn::Busy)?;
        // Many requests of one client come at once, and one of them may have been looked at meanwhile.
        if let Some(user) = self.right.get(&known_as).await {
            return Ok(user);
        }
        let file = self.file.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let (user, password) = pair.split();
            let user = user.and_then(|user| file.verify(user, password));
            drop(turn);
            user
        });
        let user = looked.await.map_err(|_| NotLetIn::Busy)?.ok_or(NotLetIn::Wrong)?;
        self.right.insert(known_as, user.clone()).await;
        Ok(user)
    }

    fn keyed(&self, pair: &Pair) -> [u8; 32] {
        // The key is of one fixed length and stands first, so that no two inputs run together.
        Sha256::new().chain_update(self.key).chain_update(&pair.0).finalize().into()
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("file", &self.file).finish_non_exhaustive()
    }
}

/// `user:password`, as it was sent.
struct Pair(Vec<u8>);

impl Pair {
    /// The name, if it is text, and the password.
    fn split(&self) -> (Option<&str>, &[u8]) {
        let colon = self.0.iter().position(|byte| *byte == b':').unwrap_or(self.0.len());
        let (user, rest) = self.0.split_at(colon);
        (std::str::from_utf8(user).ok(), rest.get(1..).unwrap_or_default())
    }
}

fn basic(header: &[u8]) -> Option<Pair> {
    let text = std::str::from_utf8(header).ok().filter(|text| text.len() <= MAX_HEADER)?;
    let (scheme, credentials) = text.split_once(' ')?;
    let pair = STANDARD.decode(credentials.trim()).ok()?;
    (scheme.eq_ignore_ascii_case("basic") && pair.contains(&b':')).then_some(Pair(pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        let hash = bcrypt::hash("open sesame", 4).unwrap();
        Passwords::new(Htpasswd::parse(&format!("alice:{hash}")).unwrap()).unwrap()
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    fn basic_of(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[tokio::test]
    async fn a_right_password_is_remembered_and_a_wrong_one_is_not() {
        let passwords = passwords();
        let right = headers(&[&basic_of("alice:open sesame")]);
        for _ in 0..2 {
            assert_eq!(passwords.user(&right).await.as_deref(), Ok("alice"));
        }
        passwords.right.run_pending_tasks().await;
        assert_eq!(passwords.right.entry_count(), 1);
        let wrong = headers(&[&basic_of("alice:open barley")]);
        for _ in 0..2 {
            assert_eq!(passwords.user(&wrong).await, Err(NotLetIn::Wrong));
        }
        passwords.right.run_pending_tasks().await;
        assert_eq!(passwords.right.entry_count(), 1);
    }

    #[tokio::test]
    async fn what_is_no_password_lets_nobody_in() {
        let passwords = passwords();
        assert_eq!(passwords.user(&HeaderMap::new()).await, Err(NotLetIn::Unknown));
        let right = basic_of("alice:open sesame");
        for sent in [
            vec!["Basic"],
            vec!["Basic ="],
            vec!["Bearer abc"],
            vec![&*basic_of("alice")],
            vec![&*basic_of(":open sesame")],
            vec![&*basic_of("alice:")],
            vec![&*basic_of("alice:open sesame:")],
            vec![&*basic_of("bob:x"), &*right],
        ] {
            assert_eq!(passwords.user(&headers(&sent)).await, Err(NotLetIn::Wrong), "{sent:?}");
        }
        let long = basic_of(&format!("alice:{}", "x".repeat(MAX_HEADER)));
        assert_eq!(passwords.user(&headers(&[&long])).await, Err(NotLetIn::Wrong));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_for_a_turn_is_told_to_come_again() {
        let passwords = passwords();
        let _all = passwords.turns.clone().acquire_owned().await.unwrap();
        let right = headers(&[&basic_of("alice:open sesame")]);
        assert_eq!(passwords.user(&right).await, Err(NotLetIn::Busy));
    }
}
