//! Authenticated requests to a registry or a Notary server: anonymous, Basic or Bearer, as the server asks. Uses only the
//! configured credentials, never those of a client, and sends them to no other server.

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use moka::future::Cache;
use url::{Host, Url};

use super::challenge::{self, Challenge};
use super::error::UpstreamError;
use super::exchange;
use super::metrics::{Endpoint, Metrics};
use super::token::{self, Tokens, Want};
use crate::http_client::{Body, Client, Credentials, Method};

/// The number of scopes for which the way to authenticate is cached.
const MAX_PLANS: u64 = 10_000;

/// The answer to the last challenge of the server.
#[derive(Clone, Debug)]
enum Plan {
    Basic,
    Bearer(Want),
}

/// A client of one server that authenticates itself.
#[derive(Clone, Debug)]
pub struct Authenticator {
    client: Client,
    credentials: Option<Credentials>,
    tokens: Tokens,
    /// Anonymous tokens of other registries to which the server redirects.
    anonymous: Tokens,
    plans: Cache<String, Plan>,
    metrics: Metrics,
}

impl Authenticator {
    /// `credentials` are for the server of `client`, and for a token server on `token_realm` if the server names it.
    pub fn new(
        client: Client,
        credentials: Option<Credentials>,
        token_realm: Option<Host<String>>,
        metrics: Metrics,
    ) -> Self {
        let tokens = Tokens::new(token_realm);
        let plans = Cache::new(MAX_PLANS);
        Self { client, credentials, tokens, anonymous: Tokens::new(None), plans, metrics }
    }

    /// The client below, which sends no credentials.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request and returns the response, whatever its status; follows no redirect. Answers one challenge, for
    /// `scope` (`repository:library/app:pull`). Sends credentials only to the configured server.
    pub async fn send(
        &self,
        endpoint: Endpoint,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
        scope: &str,
    ) -> Result<Response<Body>, UpstreamError> {
        if !self.client.is_own(url) {
            return self.once(endpoint, method, url, headers, None).await;
        }
        let known = self.plans.get(scope).await;
        let first = match &known {
            Some(plan) => Some(self.answer(plan, scope).await?),
            None => None,
        };
        let response = self.once(endpoint, method, url, headers, first.as_ref()).await?;
        let status = response.status();
        let denied = status == StatusCode::UNAUTHORIZED
            || (status == StatusCode::FORBIDDEN && first.is_none());
        if !denied {
            return Ok(response);
        }
        // The cache key is the challenge that the token was fetched for, even if the new challenge differs.
        if let (Some(Plan::Bearer(want)), Some(sent)) = (&known, &first) {
            self.tokens.forget(want, sent).await;
        }
        let plan = match self.plan(response.headers(), scope)? {
            Some(plan) => plan,
            // Some registries send a challenge only at `/v2/`.
            None if !response.headers().contains_key(WWW_AUTHENTICATE) => {
                match self.plan_of_base(endpoint, scope).await? {
                    Some(plan) => plan,
                    None => return Ok(response),
                }
            }
            None => return Ok(response),
        };
        // The same credentials would fail again.
        if matches!((&plan, &first), (Plan::Basic, Some(sent)) if self.is_basic(sent)) {
            return Ok(response);
        }
        drop(response);
        let second = self.answer(&plan, scope).await?;
        let response = self.once(endpoint, method, url, headers, Some(&second)).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            self.plans.insert(scope.to_owned(), plan).await;
        }
        Ok(response)
    }

    /// The `Authorization` for requests with `scope`, if the server has asked for one before.
    pub(super) async fn authorization(
        &self,
        scope: &str,
    ) -> Result<Option<HeaderValue>, UpstreamError> {
        match self.plans.get(scope).await {
            Some(plan) => self.answer(&plan, scope).await.map(Some),
            None => Ok(None),
        }
    }

    /// The `Authorization` for `scope` that the challenges in `headers` ask for; `None` if there is none.
    pub(super) async fn answer_to(
        &self,
        headers: &HeaderMap,
        scope: &str,
    ) -> Result<Option<HeaderValue>, UpstreamError> {
        let Some(plan) = self.plan(headers, scope)? else { return Ok(None) };
        let authorization = self.answer(&plan, scope).await?;
        self.plans.insert(scope.to_owned(), plan).await;
        Ok(Some(authorization))
    }

    /// Sends a request to another server after a redirect. That server never gets credentials. If it is a registry that
    /// asks for a token, it gets an anonymous one from its own token server.
    pub(super) async fn send_elsewhere(
        &self,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, UpstreamError> {
        let response = self.once(Endpoint::Redirect, method, url, headers, None).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let bearer = challenge::parse(response.headers()).into_iter().find_map(|it| match it {
            Challenge::Bearer { realm, service, scope: Some(scope) } if is_pull(&scope) => {
                Some((realm, service, scope))
            }
            Challenge::Bearer { .. } | Challenge::Basic => None,
        });
        let Some((realm, service, scope)) = bearer else { return Ok(response) };
        let want = Want { realm: token::realm(url, &realm)?, service, scope };
        drop(response);
        let token = self.anonymous.token(&want, &self.client, None, &self.metrics).await?.bearer;
        let response = self.once(Endpoint::Redirect, method, url, headers, Some(&token)).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.anonymous.forget(&want, &token).await;
        }
        Ok(response)
    }

    /// The plan for the challenge at `/v2/`, if there is one.
    async fn plan_of_base(
        &self,
        endpoint: Endpoint,
        scope: &str,
    ) -> Result<Option<Plan>, UpstreamError> {
        let mut url = self.client.base().clone();
        url.set_path(&format!("{}/v2/", url.path().trim_end_matches('/')));
        let base = self.once(endpoint, Method::Get, &url, &HeaderMap::new(), None).await?;
        match base.status() {
            StatusCode::UNAUTHORIZED => self.plan(base.headers(), scope),
            _ => Ok(None),
        }
    }

    async fn once(
        &self,
        endpoint: Endpoint,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response<Body>, UpstreamError> {
        let mut headers = headers.clone();
        headers.remove(AUTHORIZATION);
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        exchange::send(&self.client, &self.metrics, endpoint, method, url, &headers).await
    }

    /// The answer to the challenges in `headers`; `None` if there is none.
    fn plan(&self, headers: &HeaderMap, scope: &str) -> Result<Option<Plan>, UpstreamError> {
        let mut basic = None;
        for challenge in challenge::parse(headers) {
            match challenge {
                Challenge::Bearer { realm, service, scope: asked } => {
                    let realm = token::realm(self.client.base(), &realm)?;
                    let scope = match asked {
                        Some(asked) if is_narrow(&asked, scope) => asked,
                        Some(_) | None => scope.to_owned(),
                    };
                    return Ok(Some(Plan::Bearer(Want { realm, service, scope })));
                }
                Challenge::Basic if self.credentials.is_some() => basic = Some(Plan::Basic),
                Challenge::Basic => {}
            }
        }
        Ok(basic)
    }

    /// The `Authorization` for `plan`. Removes a plan that fails from the cache.
    async fn answer(&self, plan: &Plan, scope: &str) -> Result<HeaderValue, UpstreamError> {
        let credentials = self.credentials.as_ref();
        match (plan, credentials) {
            (Plan::Bearer(want), _) => {
                let token = self.tokens.token(want, &self.client, credentials, &self.metrics).await;
                if token.is_err() {
                    self.plans.invalidate(scope).await;
                }
                token.map(|token| token.bearer)
            }
            (Plan::Basic, Some(credentials)) => Ok(credentials.basic().clone()),
            (Plan::Basic, None) => Err(UpstreamError::Refused { status: StatusCode::UNAUTHORIZED }),
        }
    }

    fn is_basic(&self, sent: &HeaderValue) -> bool {
        self.credentials.as_ref().is_some_and(|credentials| credentials.basic() == sent)
    }
}

/// Whether the scope that a server `asked` for is the one we `meant`, and read-only. Some servers require
/// `metadata_read` for their lists. The gate requests no other scopes: a token must not permit more than needed.
fn is_narrow(asked: &str, meant: &str) -> bool {
    let (Some((asked, actions)), Some((meant, _))) =
        (asked.rsplit_once(':'), meant.rsplit_once(':'))
    else {
        return false;
    };
    asked == meant && actions.split(',').all(|action| matches!(action, "pull" | "metadata_read"))
}

/// Whether a scope permits only pulls from one repository.
fn is_pull(scope: &str) -> bool {
    scope.starts_with("repository:") && scope.ends_with(":pull") && !scope.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_needed_scopes_are_requested() {
        let meant = "repository:a/b:pull";
        for asked in ["repository:a/b:pull", "repository:a/b:pull,metadata_read"] {
            assert!(is_narrow(asked, meant), "{asked}");
        }
        for asked in [
            "",
            "repository:a/b",
            "repository:a/b:",
            "repository:a/b:pull,push",
            "repository:a:pull",
            "registry:catalog:*",
            "repository:a/b:pull repository:c:pull",
        ] {
            assert!(!is_narrow(asked, meant), "{asked}");
        }
    }
}
