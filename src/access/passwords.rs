//! Passwords in requests. Password checks are slow by design, so results are cached, few checks run at once, and
//! they run round-robin by client address: a client that sends wrong passwords delays nobody else.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use moka::future::Cache;
use sha2::{Digest as _, Sha256};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::Unauthorized;
use super::htpasswd::Htpasswd;
use super::tokens::{Token, Tokens};
use crate::clock::Timestamp;

/// How long a verified password is remembered. It can be long: a remembered password costs no check, and a changed
/// password has another hash.
const RIGHT: Duration = Duration::from_secs(24 * 60 * 60);
/// How many verified passwords are remembered.
const MAX_RIGHT: u64 = 10_000;
/// How many checks run at once. Few, so that a flood of wrong passwords leaves CPU time for serving.
const AT_ONCE: usize = 1;
/// The most client addresses with a queue of their own, and how long an idle queue is kept.
const MAX_PLACES: u64 = 10_000;
const PLACE: Duration = Duration::from_secs(60);
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest `Authorization` header that is parsed.
const MAX_HEADER: usize = 1_024;

/// Verifies passwords and tokens in requests. Built from one version of the file.
pub(super) struct Passwords {
    file: Htpasswd,
    shared: Arc<Shared>,
}

/// The state that is kept when the file is reloaded.
struct Shared {
    /// Verified passwords, by a keyed hash of user name, password and password hash. The keys are useless outside this
    /// process, and no longer match once the hash in the file changes.
    right: Cache<[u8; 32], Arc<str>>,
    key: [u8; 32],
    tokens: Tokens,
    turns: Arc<Semaphore>,
    /// One request per address waits for a turn; the others of that address wait for it.
    places: Cache<IpAddr, Arc<Semaphore>>,
}

impl Passwords {
    pub(super) fn new(file: Htpasswd) -> Result<Self, Unspecified> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key)?;
        let shared = Shared {
            right: Cache::builder().max_capacity(MAX_RIGHT).time_to_live(RIGHT).build(),
            key,
            tokens: Tokens::new()?,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Cache::builder().max_capacity(MAX_PLACES).time_to_idle(PLACE).build(),
        };
        Ok(Self { file, shared: Arc::new(shared) })
    }

    /// The passwords of a new version of the file.
    pub(super) fn renewed(&self, file: Htpasswd) -> Self {
        Self { file, shared: self.shared.clone() }
    }

    /// A token for `user`, whose password was verified; `None` if the file no longer has that user.
    pub(super) fn token(&self, user: &str, now: Timestamp) -> Option<Token> {
        self.shared.tokens.issue(user, &self.file, now)
    }

    /// The user of `Authorization: Bearer` (RFC 6750) in `headers`; `None` without such a header.
    pub(super) fn token_user(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Option<Result<Arc<str>, Unauthorized>> {
        let mut sent = headers.get_all(AUTHORIZATION).into_iter();
        let (Some(header), None) = (sent.next(), sent.next()) else { return None };
        let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
        let user = || self.shared.tokens.user(token.trim(), &self.file, now);
        scheme.eq_ignore_ascii_case("bearer").then(|| user().ok_or(Unauthorized::Token))
    }

    /// The user of `Authorization: Basic` (RFC 7617), in a request `from` that address.
    pub(super) async fn user(
        &self,
        headers: &HeaderMap,
        from: IpAddr,
    ) -> Result<Arc<str>, Unauthorized> {
        let mut sent = headers.get_all(AUTHORIZATION).into_iter();
        let (first, second) = (sent.next(), sent.next());
        let header = first.ok_or(Unauthorized::Unknown)?;
        if second.is_some() {
            return Err(Unauthorized::Wrong);
        }
        let pair = basic(header.as_bytes()).ok_or(Unauthorized::Wrong)?;
        if pair.is_empty() {
            return Err(Unauthorized::Unknown);
        }
        let known_as = self.keyed(&pair);
        if let Some(user) = self.known(known_as.as_ref()).await {
            return Ok(user);
        }
        let turn = tokio::time::timeout(PATIENCE, self.turn(from));
        let turn = turn.await.map_err(|_| Unauthorized::Busy)?.map_err(|_| Unauthorized::Busy)?;
        // A client sends many requests at once; one of them may have been verified in the meantime.
        if let Some(user) = self.known(known_as.as_ref()).await {
            return Ok(user);
        }
        let file = self.file.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let (user, password) = pair.split();
            let user = user.and_then(|user| file.verify(user, password));
            drop(turn);
            user
        });
        let user = checked.await.map_err(|_| Unauthorized::Busy)?.ok_or(Unauthorized::Wrong)?;
        if let Some(known_as) = known_as {
            self.shared.right.insert(known_as, user.clone()).await;
        }
        Ok(user)
    }

    /// Waits for a turn among the requests of the same address, then for one among all.
    async fn turn(&self, from: IpAddr) -> Result<[OwnedSemaphorePermit; 2], AcquireError> {
        let one = async { Arc::new(Semaphore::new(1)) };
        let of_place = self.shared.places.get_with(place(from), one).await;
        let of_place = of_place.acquire_owned().await?;
        Ok([of_place, self.shared.turns.clone().acquire_owned().await?])
    }

    async fn known(&self, known_as: Option<&[u8; 32]>) -> Option<Arc<str>> {
        self.shared.right.get(known_as?).await
    }

    /// `None` for an unknown user.
    fn keyed(&self, pair: &Pair) -> Option<[u8; 32]> {
        let hash = self.file.hash_of(pair.split().0?)?;
        // The key has a fixed length and the hash has a length prefix, so two inputs never produce the same text.
        let keyed = Sha256::new().chain_update(self.shared.key);
        let keyed = keyed.chain_update((hash.len() as u64).to_be_bytes()).chain_update(hash);
        Some(keyed.chain_update(&pair.0).finalize().into())
    }
}

/// One IPv6 client usually has a whole /64, so that counts as one address.
fn place(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("file", &self.file).finish_non_exhaustive()
    }
}

/// `user:password`, as sent.
struct Pair(Vec<u8>);

impl Pair {
    /// Empty user and password: containers/image sends this if it has no credentials.
    fn is_empty(&self) -> bool {
        self.0 == b":"
    }

    /// The name, if it is UTF-8, and the password.
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
    use futures_util::FutureExt as _;
    use futures_util::stream::{FuturesUnordered, StreamExt as _};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

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
            assert_eq!(passwords.user(&right, HERE).await.as_deref(), Ok("alice"));
        }
        passwords.shared.right.run_pending_tasks().await;
        assert_eq!(passwords.shared.right.entry_count(), 1);
        let wrong = headers(&[&basic_of("alice:open barley")]);
        for _ in 0..2 {
            assert_eq!(passwords.user(&wrong, HERE).await, Err(Unauthorized::Wrong));
        }
        passwords.shared.right.run_pending_tasks().await;
        assert_eq!(passwords.shared.right.entry_count(), 1);
    }

    #[tokio::test]
    async fn malformed_and_wrong_credentials_are_refused() {
        let passwords = passwords();
        assert_eq!(passwords.user(&HeaderMap::new(), HERE).await, Err(Unauthorized::Unknown));
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
            assert_eq!(
                passwords.user(&headers(&sent), HERE).await,
                Err(Unauthorized::Wrong),
                "{sent:?}"
            );
        }
        let long = basic_of(&format!("alice:{}", "x".repeat(MAX_HEADER)));
        assert_eq!(passwords.user(&headers(&[&long]), HERE).await, Err(Unauthorized::Wrong));
    }

    #[tokio::test]
    async fn an_empty_user_and_password_count_as_no_credentials() {
        let none = headers(&["Basic Og=="]);
        assert_eq!(passwords().user(&none, HERE).await, Err(Unauthorized::Unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_too_long_for_a_turn_is_busy() {
        let passwords = passwords();
        let _all = passwords.shared.turns.clone().acquire_owned().await.unwrap();
        let right = headers(&[&basic_of("alice:open sesame")]);
        assert_eq!(passwords.user(&right, HERE).await, Err(Unauthorized::Busy));
    }

    #[tokio::test]
    async fn a_flood_of_wrong_passwords_delays_no_other_address() {
        let passwords = passwords();
        let all = passwords.shared.turns.clone().acquire_owned().await.unwrap();
        let mut order = FuturesUnordered::new();
        let ask = |pair: String, from| {
            let (passwords, headers) = (&passwords, headers(&[&basic_of(&pair)]));
            async move { passwords.user(&headers, from).await.is_ok() }
        };
        for guess in 0..50 {
            order.push(ask(format!("alice:{guess}"), HERE));
        }
        assert!(order.next().now_or_never().is_none());
        order.push(ask("alice:open sesame".to_owned(), THERE));
        assert!(order.next().now_or_never().is_none());
        drop(all);
        let mut before = 0;
        while order.next().await == Some(false) {
            before += 1;
        }
        assert!(before <= 2, "{before} wrong passwords were checked first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_verified_password_needs_no_turn_after_a_reload() {
        let passwords = passwords();
        let right = headers(&[&basic_of("alice:open sesame")]);
        assert!(passwords.user(&right, HERE).await.is_ok());
        let renewed = passwords.renewed(passwords.file.clone());
        let _all = passwords.shared.turns.clone().acquire_owned().await.unwrap();
        assert_eq!(renewed.user(&right, HERE).await.as_deref(), Ok("alice"));
        // Turns taken before the reload still count.
        assert_eq!(renewed.shared.turns.available_permits(), 0);
    }

    #[tokio::test]
    async fn a_password_is_checked_again_when_its_hash_changes() {
        let passwords = passwords();
        let right = headers(&[&basic_of("alice:open sesame")]);
        assert!(passwords.user(&right, HERE).await.is_ok());
        for file in
            ["alice:", "bob:"].map(|user| format!("{user}{}", bcrypt::hash("x", 4).unwrap()))
        {
            let renewed = passwords.renewed(Htpasswd::parse(&file).unwrap());
            assert_eq!(renewed.user(&right, HERE).await, Err(Unauthorized::Wrong), "{file}");
        }
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let place = |text: &str| super::place(text.parse().unwrap());
        assert_eq!(place("2001:db8::1"), place("2001:db8::ffff:0:0:2"));
        assert_ne!(place("2001:db8::1"), place("2001:db8:0:1::1"));
        assert_eq!(place("::ffff:10.0.0.1"), HERE);
    }
}
