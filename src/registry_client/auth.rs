//! Requests to a server that may ask who we are: anonymous, Basic or Bearer, as it wants. Works for
//! registries and for Notary servers alike. Our own credentials only: there is no way to pass those of
//! a client.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use moka::future::Cache;
use url::{Host, Url};

use super::challenge::{self, Challenge};
use super::credentials::Credentials;
use super::error::UpstreamError;
use super::exchange;
use super::metrics::{Endpoint, Metrics};
use super::token::{self, Tokens, Want};
use crate::http_client::{Body, Client, Method};

/// For how many scopes it is remembered how the server wants to be asked.
const MAX_PLANS: u64 = 10_000;

/// How the server was answered the last time it asked who we are.
#[derive(Clone, Debug)]
enum Plan {
    Basic,
    Bearer(Want),
}

/// A client of one server, with what it takes to be let in.
#[derive(Clone, Debug)]
pub struct Authenticator {
    client: Client,
    credentials: Option<Credentials>,
    tokens: Tokens,
    plans: Cache<String, Plan>,
    metrics: Metrics,
}

impl Authenticator {
    /// `credentials` are for the server that `client` is configured for, and for a token server on
    /// `token_realm`, if the server names that.
    pub fn new(
        client: Client,
        credentials: Option<Credentials>,
        token_realm: Option<Host<String>>,
        metrics: Metrics,
    ) -> Self {
        let tokens = Tokens::new(token_realm);
        let plans = Cache::new(MAX_PLANS);
        Self { client, credentials, tokens, plans, metrics }
    }

    /// The client below, which shows nobody who we are.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sends a request and gives the answer, whatever its status; redirects are not followed. If the
    /// server asks who we are, it is told, for `scope` (`repository:library/app:pull`), once. Anything
    /// that is not at the client's configured server is asked as nobody.
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
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let Some(plan) = self.plan(response.headers(), scope)? else { return Ok(response) };
        match (&plan, &first) {
            // The same credentials are no better the second time.
            (Plan::Basic, Some(sent)) if self.is_basic(sent) => return Ok(response),
            (Plan::Bearer(want), Some(sent)) => self.tokens.forget(want, sent).await,
            (Plan::Basic, _) | (Plan::Bearer(_), None) => {}
        }
        drop(response);
        let second = self.answer(&plan, scope).await?;
        let response = self.once(endpoint, method, url, headers, Some(&second)).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            self.plans.insert(scope.to_owned(), plan).await;
        }
        Ok(response)
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

    /// How the challenges in `headers` can be met; `None` if they cannot.
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

    /// The `Authorization` that `plan` asks for. A plan that does not work is forgotten.
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

/// Whether the scope that a server `asked` for is the one we `meant`, reading only: some want
/// `metadata_read` for their lists. Any other is not asked for, lest a token get us more than we need.
fn is_narrow(asked: &str, meant: &str) -> bool {
    let (Some((asked, actions)), Some((meant, _))) =
        (asked.rsplit_once(':'), meant.rsplit_once(':'))
    else {
        return false;
    };
    asked == meant && actions.split(',').all(|action| matches!(action, "pull" | "metadata_read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_scope_is_asked_for_that_we_do_not_need() {
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
