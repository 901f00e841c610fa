//! Bearer tokens (distribution's token authentication): which token servers may be asked, with which credentials, and
//! how long a token is used.
//!
//! # Where credentials are sent
//!
//! A registry names its token server (the realm) itself. A compromised registry, or an attacker on the way to a
//! registry without TLS, could name their own (CVE-2026-33540). Credentials therefore go to the realm only over https,
//! or, for a server that is configured as `http://`, on exactly that host. In addition, the realm's host must be the
//! host of the server, a well-known token server of it, or the host that the operator named as `token_realm`. A shared
//! parent domain is not enough: `a.azurecr.io` and `b.azurecr.io` belong to different owners. Without credentials, the
//! gate may ask any http or https realm that the guard in [`crate::http_client`] permits; a server on https may only
//! name https.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use moka::Expiry;
use moka::future::Cache;
use moka::ops::compute::Op;
use url::{Host, Url};

use super::error::{self, UpstreamError, Violation};
use super::exchange;
use super::metrics::{Endpoint, Metrics};
use super::together::Together;
use crate::http_client::{Client, Credentials, Method};
use crate::json::{self, Document, Value};
use crate::oci::docker_hub;
use crate::parsing;

/// The longest answer of a token server, in bytes.
const MAX_TOKEN_ANSWER: usize = 128 << 10;
/// The most redirects of a token server.
const MAX_REDIRECTS: usize = 3;
/// The most JSON values in an answer.
const MAX_VALUES: usize = 10_000;
/// The longest token that fits in a request, in bytes.
const MAX_TOKEN: usize = 32 << 10;
/// The number of cached tokens: one for each repository with recent requests.
const MAX_TOKENS: u64 = 10_000;
/// The lifetime of a token that names none.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// No token is used for longer, even if it names a longer lifetime.
const LONGEST_LIFE: Duration = Duration::from_secs(60 * 60);
/// A token is not used in the last tenth of its lifetime, or in the last ten seconds if that is less.
const LONGEST_MARGIN: Duration = Duration::from_secs(10);

/// Token servers on other hosts than their registries, as the owners of those hosts document them.
const WELL_KNOWN: [(&str, &str); 3] = [
    (docker_hub::SERVER, "auth.docker.io"),
    ("notary.docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
];

/// The purpose of a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Want {
    pub(super) realm: Url,
    pub(super) service: Option<String>,
    pub(super) scope: String,
}

/// A token as the value of `Authorization`, and how long it may be used.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) bearer: HeaderValue,
    life: Duration,
}

struct Life;

impl Expiry<Want, Token> for Life {
    fn expire_after_create(
        &self,
        _: &Want,
        token: &Token,
        _: std::time::Instant,
    ) -> Option<Duration> {
        Some(token.life)
    }
}

/// The tokens of one server. Concurrent requests for the same token ask once.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    cache: Cache<Want, Token>,
    asking: Together<Want, Result<Token, UpstreamError>>,
    token_realm: Option<Host<String>>,
}

impl Tokens {
    /// Starts without tokens. `token_realm` is one more host that may get the credentials.
    pub(super) fn new(token_realm: Option<Host<String>>) -> Self {
        let cache = Cache::builder().max_capacity(MAX_TOKENS).expire_after(Life).build();
        Self { cache, asking: Together::default(), token_realm }
    }

    /// The cached token for `want`, or a new one.
    pub(super) async fn token(
        &self,
        want: &Want,
        client: &Client,
        credentials: Option<&Credentials>,
        metrics: &Metrics,
    ) -> Result<Token, UpstreamError> {
        if credentials.is_some() && !self.may_have_credentials(client.base(), &want.realm) {
            let host = |url: &Url| url.host_str().unwrap_or_default().to_owned();
            let (realm, upstream) = (host(&want.realm), host(client.base()));
            return Err(Violation::ForeignRealm { realm, upstream }.into());
        }
        if let Some(token) = self.cache.get(want).await {
            return Ok(token);
        }
        let ask = async {
            // An identical request may have ended since.
            if let Some(token) = self.cache.get(want).await {
                return Ok(token);
            }
            let token = fetch(want, client, credentials, metrics).await?;
            self.cache.insert(want.clone(), token.clone()).await;
            Ok(token)
        };
        // Boxed, so that a request with a cached token does not need memory for this future.
        Box::pin(self.asking.answer(want.clone(), ask)).await
    }

    /// Forgets the token for `want` if it is still `refused`, the one that the server rejected.
    pub(super) async fn forget(&self, want: &Want, refused: &HeaderValue) {
        let compute = |entry: Option<moka::Entry<Want, Token>>| {
            let same = entry.is_some_and(|entry| entry.value().bearer == *refused);
            std::future::ready(if same { Op::Remove } else { Op::Nop })
        };
        self.cache.entry_by_ref(want).and_compute_with(compute).await;
    }

    fn may_have_credentials(&self, server: &Url, realm: &Url) -> bool {
        let same_host = realm.host() == server.host();
        let well_known = || {
            let named = (server.host_str(), realm.host_str());
            WELL_KNOWN.iter().any(|(server, realm)| named == (Some(server), Some(realm)))
        };
        let configured = || {
            self.token_realm.is_some()
                && realm.host().map(|host| host.to_owned()) == self.token_realm
        };
        let private = realm.scheme() == "https" || (same_host && server.scheme() == "http");
        private && (same_host || well_known() || configured())
    }
}

/// Parses the realm `text` that `server` names; an error if it may not be asked.
pub(super) fn realm(server: &Url, text: &str) -> Result<Url, Violation> {
    let invalid = || Violation::Realm(text.chars().take(255).collect());
    let mut realm = Url::parse(text).map_err(|_| invalid())?;
    let downgrade = server.scheme() == "https" && realm.scheme() != "https";
    let web = matches!(realm.scheme(), "http" | "https");
    if downgrade || !web || !realm.username().is_empty() || realm.password().is_some() {
        return Err(invalid());
    }
    realm.set_fragment(None);
    Ok(realm)
}

async fn fetch(
    want: &Want,
    client: &Client,
    credentials: Option<&Credentials>,
    metrics: &Metrics,
) -> Result<Token, UpstreamError> {
    let mut url = question(want, credentials);
    let mut headers = HeaderMap::new();
    if let Some(credentials) = credentials {
        headers.insert(AUTHORIZATION, credentials.basic().clone());
    }
    let mut redirects = 0;
    let response = loop {
        let response =
            exchange::send(client, metrics, Endpoint::Token, Method::Get, &url, &headers).await?;
        match exchange::redirect(&response, &url)? {
            Some(next) if redirects < MAX_REDIRECTS && is_same_server(&url, &next) => {
                redirects += 1;
                url = next;
            }
            Some(_) | None => break response,
        }
    };
    if response.status() != StatusCode::OK {
        return Err(error::of_status(&response));
    }
    let answer = response.into_body().read_whole(MAX_TOKEN_ANSWER).await?;
    let memory = json::most_memory(answer.len(), MAX_VALUES);
    Ok(parsing::run(answer.len(), memory, move || read_token(&answer)).await?)
}

/// Whether a token server may redirect from `url` to `next`: to another path, or from http to https on the same host.
fn is_same_server(url: &Url, next: &Url) -> bool {
    let upgrade = url.scheme() == "http" && next.scheme() == "https" && url.host() == next.host();
    url.origin() == next.origin() || upgrade
}

/// The realm's URL with the parameters of the request.
fn question(want: &Want, credentials: Option<&Credentials>) -> Url {
    let mut url = want.realm.clone();
    let mut query = url.query_pairs_mut();
    if let Some(service) = &want.service {
        query.append_pair("service", service);
    }
    query.append_pair("scope", &want.scope);
    if let Some(credentials) = credentials {
        query.append_pair("account", credentials.username());
    }
    drop(query);
    url
}

fn read_token(answer: &[u8]) -> Result<Token, Violation> {
    let answer = Document::parse_within(answer, MAX_VALUES)?;
    let answer = answer.root();
    let member = |name| answer.member(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let text = member("token").or_else(|| member("access_token"));
    let text = text.filter(|text| text.len() <= MAX_TOKEN).ok_or(Violation::Missing("token"))?;
    let bearer = HeaderValue::try_from(format!("Bearer {text}"));
    let mut bearer = bearer.map_err(|_| Violation::Missing("token"))?;
    bearer.set_sensitive(true);
    let life = match answer.member("expires_in").and_then(Value::as_integer) {
        Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        None => DEFAULT_LIFE,
    };
    let life = life.min(LONGEST_LIFE);
    Ok(Token { bearer, life: life.saturating_sub(LONGEST_MARGIN.min(life / 10)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn credentials_go_only_to_the_server_and_known_realms() {
        let tokens = Tokens::new(None);
        for (server, realm, may) in [
            ("https://r.example", "https://r.example/token", true),
            ("https://r.example", "https://r.example:8443/token", true),
            ("https://r.example", "http://r.example/token", false),
            ("http://r.example", "http://r.example:5001/token", true),
            ("http://r.example", "http://evil.example/token", false),
            ("https://registry-1.docker.io", "https://auth.docker.io/token", true),
            ("https://registry-1.docker.io", "http://auth.docker.io/token", false),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true),
            ("https://a.azurecr.io", "https://b.azurecr.io/oauth2/token", false),
            ("https://r.example", "https://auth.r.example/token", false),
            ("https://r.example", "https://r.example.evil.example/token", false),
            ("https://r.example", "https://auth.docker.io/token", false),
        ] {
            assert_eq!(tokens.may_have_credentials(&url(server), &url(realm)), may, "{realm}");
        }
        let tokens = Tokens::new(Some(Host::parse("auth.r.example").unwrap()));
        let server = url("https://r.example");
        assert!(tokens.may_have_credentials(&server, &url("https://auth.r.example/token")));
        assert!(!tokens.may_have_credentials(&server, &url("http://auth.r.example/token")));
        assert!(!tokens.may_have_credentials(&server, &url("https://other.r.example/token")));
    }

    #[test]
    fn a_realm_must_be_http_or_as_private_as_the_server() {
        let https = url("https://r.example");
        assert!(realm(&https, "https://auth.example/token#x").unwrap().fragment().is_none());
        for text in ["http://auth.example/", "file:///etc/passwd", "/token", "", "https://u:p@a/"] {
            assert!(realm(&https, text).is_err(), "{text}");
        }
        assert!(realm(&url("http://r.example"), "http://auth.example/token").is_ok());
    }

    #[test]
    fn a_token_is_not_used_in_its_last_seconds() {
        let life = |answer: &str| read_token(answer.as_bytes()).unwrap().life.as_secs();
        assert_eq!(life(r#"{"token":"t"}"#), 54);
        assert_eq!(life(r#"{"access_token":"t","expires_in":300}"#), 290);
        assert_eq!(life(r#"{"token":"t","expires_in":99999999}"#), 3590);
        assert_eq!(life(r#"{"token":"t","expires_in":0}"#), 0);
        assert_eq!(life(r#"{"token":"t","expires_in":-5}"#), 0);
    }

    #[test]
    fn an_answer_without_a_valid_token_is_an_error() {
        let long = format!(r#"{{"token":"{}"}}"#, "t".repeat(MAX_TOKEN + 1));
        for answer in ["", "{}", r#"{"token":""}"#, r#"{"token":7}"#, r#"{"token":"a\nb"}"#, &long]
        {
            assert!(read_token(answer.as_bytes()).is_err(), "{answer}");
        }
        let token = read_token(br#"{"token":"secret"}"#).unwrap();
        assert!(!format!("{token:?}").contains("secret"));
    }
}
