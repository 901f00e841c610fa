//! Short-lived tokens for clients that send a password only to a token endpoint (distribution-spec, "Token
//! Authentication"). A token contains a user and an expiry time, and a MAC over both and over the hash of the user's
//! password: it becomes invalid when the user is removed or the password changes. It grants no access by itself: each
//! request is authorized elsewhere.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::htpasswd::Htpasswd;
use crate::clock::Timestamp;

/// The lifetime of a token, as stated to the client.
pub const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// How much longer a token is accepted, for slow clients.
const GRACE: Duration = Duration::from_secs(60);
/// The longest token, in bytes; user names are shorter.
const MAX_TOKEN: usize = 2_048;
/// The length of the expiry time, in bytes.
const END: usize = 8;
/// The length of a MAC, in bytes.
const MAC: usize = 32;

/// Issues tokens and verifies them, with a key that only this process has.
pub(super) struct Tokens(hmac::Key);

/// A token, as a client sends it.
#[derive(Debug, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tokens {
    /// Fails if the system provides no random numbers.
    pub(super) fn new() -> Result<Self, Unspecified> {
        let mut key = [0; MAC];
        aws_lc_rs::rand::fill(&mut key)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// A token for `user`, whose password was verified; `None` if `file` has no such user.
    pub(super) fn issue(&self, user: &str, file: &Htpasswd, now: Timestamp) -> Option<Token> {
        let hash = file.hash_of(user)?;
        let end = now.unix().saturating_add_unsigned((LIFETIME + GRACE).as_secs());
        let mut token = end.to_be_bytes().to_vec();
        token.extend(user.as_bytes());
        let mac = hmac::sign(&self.0, &message(end, user, hash));
        token.extend(mac.as_ref());
        Some(Token(URL_SAFE_NO_PAD.encode(token)))
    }

    /// The user of a token that is valid at `now`.
    pub(super) fn user(&self, token: &str, file: &Htpasswd, now: Timestamp) -> Option<Arc<str>> {
        let token = Some(token).filter(|token| token.len() <= MAX_TOKEN)?;
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (end, rest) = token.split_first_chunk::<END>()?;
        let (user, mac) = rest.split_last_chunk::<MAC>()?;
        let (end, user) = (i64::from_be_bytes(*end), std::str::from_utf8(user).ok()?);
        let hash = file.hash_of(user)?;
        hmac::verify(&self.0, &message(end, user, hash), mac).ok()?;
        (now.unix() < end).then(|| Arc::from(user))
    }
}

/// The input of a MAC. The length prefixes keep two inputs from producing the same message.
fn message(end: i64, user: &str, hash: &str) -> Vec<u8> {
    let mut message = end.to_be_bytes().to_vec();
    for part in [user, hash] {
        message.extend((part.len() as u64).to_be_bytes());
        message.extend(part.as_bytes());
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_700_000_000);

    fn file(password: &str) -> Htpasswd {
        let line = |user| format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap());
        Htpasswd::parse(&["alice", "bob"].map(line).concat()).unwrap()
    }

    fn after(seconds: u64) -> Timestamp {
        Timestamp::from_unix(NOW.unix().checked_add_unsigned(seconds).unwrap())
    }

    #[test]
    fn a_token_is_accepted_shortly_after_its_stated_lifetime() {
        let (tokens, file) = (Tokens::new().unwrap(), file("x"));
        let token = tokens.issue("alice", &file, NOW).unwrap();
        let user = |now| tokens.user(token.as_str(), &file, now);
        assert_eq!(user(NOW).as_deref(), Some("alice"));
        assert_eq!(user(after(LIFETIME.as_secs() + 59)).as_deref(), Some("alice"));
        assert_eq!(user(after(LIFETIME.as_secs() + 60)), None);
    }

    #[test]
    fn a_token_becomes_invalid_with_the_users_password() {
        let (tokens, before) = (Tokens::new().unwrap(), file("x"));
        let token = tokens.issue("alice", &before, NOW).unwrap();
        assert_eq!(tokens.user(token.as_str(), &file("y"), NOW), None);
        let bob = Htpasswd::parse(&format!("bob:{}", before.hash_of("bob").unwrap())).unwrap();
        assert_eq!(tokens.user(token.as_str(), &bob, NOW), None);
        assert_eq!(tokens.issue("carol", &before, NOW), None);
    }

    #[test]
    fn a_changed_or_foreign_token_is_invalid() {
        let (tokens, file) = (Tokens::new().unwrap(), file("x"));
        let token = tokens.issue("alice", &file, NOW).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(token.as_str()).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(tokens.user(&changed, &file, NOW), None, "byte {at}");
        }
        for length in 0..bytes.len() {
            let cut = URL_SAFE_NO_PAD.encode(&bytes[..length]);
            assert_eq!(tokens.user(&cut, &file, NOW), None, "{length} bytes");
        }
        let elsewhere = Tokens::new().unwrap().issue("alice", &file, NOW).unwrap();
        for wrong in [elsewhere.as_str(), "", "a b", &"A".repeat(MAX_TOKEN + 1)] {
            assert_eq!(tokens.user(wrong, &file, NOW), None, "{wrong:?}");
        }
    }
}
