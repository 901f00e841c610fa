//! The authentication of a registry: it rejects requests without a valid token, and issues tokens at `/token`, to
//! everyone or to one user.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(unreachable_pub, reason = "reads the same wherever it is included")]
#![allow(dead_code, reason = "shared by tests that each use a part of it")]

use std::sync::{Arc, Mutex};

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use crate::fake_registry::{Asked, Fault, respond, with};

/// The `Authorization: Basic` of `robot` with the password `open sesame`.
pub const ROBOT: &str = "Basic cm9ib3Q6b3BlbiBzZXNhbWU=";

/// Issues tokens and recognizes them.
#[derive(Clone)]
pub struct TokenServer {
    realm: String,
    /// In seconds.
    expires_in: i64,
    /// The credentials that a request for a token needs.
    wants: Option<&'static str>,
    good: Arc<Mutex<Vec<String>>>,
}

impl TokenServer {
    /// A server at `realm` that issues tokens to everyone.
    pub fn new(realm: impl Into<String>) -> Self {
        Self { realm: realm.into(), expires_in: 300, wants: None, good: Arc::default() }
    }

    /// A server that issues tokens only to [`ROBOT`].
    pub fn for_robot(mut self) -> Self {
        self.wants = Some(ROBOT);
        self
    }

    pub fn expires_in(mut self, seconds: i64) -> Self {
        self.expires_in = seconds;
        self
    }

    /// From now on, all earlier tokens are invalid.
    pub fn revoke(&self) {
        self.good.lock().unwrap().iter_mut().for_each(|token| *token = "revoked".to_owned());
    }

    /// The response to `asked`; `None` if the request is for the registry.
    pub fn answer(&self, asked: &Asked) -> Option<Fault> {
        if asked.path == "/token" {
            return Some(self.token(asked));
        }
        let token = asked.header(AUTHORIZATION).strip_prefix("Bearer ").unwrap_or_default();
        if self.good.lock().unwrap().iter().any(|good| good == token) {
            return None;
        }
        let challenge = format!(
            r#"Basic realm="ignored", Bearer realm="{}",service="fake",scope="repository:other:*""#,
            self.realm
        );
        Some(Fault::Respond(with(respond(401, ""), WWW_AUTHENTICATE, challenge)))
    }

    fn token(&self, asked: &Asked) -> Fault {
        if self.wants.is_some_and(|wants| wants != asked.header(AUTHORIZATION)) {
            return Fault::Respond(respond(401, ""));
        }
        let mut good = self.good.lock().unwrap();
        let token = format!("token-{}", good.len());
        good.push(token.clone());
        let expires_in = self.expires_in;
        Fault::Respond(respond(200, format!(r#"{{"token":"{token}","expires_in":{expires_in}}}"#)))
    }
}
