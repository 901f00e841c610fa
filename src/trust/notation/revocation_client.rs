//! The network access of this scheme: fetches OCSP responses and CRLs over HTTP, and caches them. Verifies none of them;
//! the judge does that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderMap, StatusCode};
use moka::future::Cache;
use moka::ops::compute::Op;
use tokio::time::Instant;
use url::Url;

use crate::clock::Timestamp;
use crate::http_client::{Client, LocalServer, Method as HttpMethod, Proxies, Timeouts, TlsError};
use crate::oci::Registry;
use crate::parsing;
use crate::trust::signature::{Candidate, Rejection};
use crate::trust::subject::Subject;

use super::anchor::Anchor;
use super::judge::{Judged, Proven};
use super::revocation::{Answer, Method, RevocationQuery, Revocations};

/// The largest CRL in bytes (notation-go: 32 MiB).
const MAX_CRL: usize = 8 << 20;
/// The largest OCSP response in bytes (notation-go: 20 KiB).
const MAX_OCSP: usize = 64 << 10;
/// The most bytes of cached responses.
const MAX_KEPT: u64 = 64 << 20;
/// The most requests at once.
const MAX_REQUESTS: usize = 16;
/// How often one verification may request more data.
const MAX_ROUNDS: usize = 8;
/// How long one verification may wait for responses.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest time for which a response is used; never beyond its own `nextUpdate`.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The age at which a response in use is refreshed in the background.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long a failure is cached.
const MAX_FAILURE: Duration = Duration::from_secs(5);
/// The time between attempts to refresh a response.
const PAUSE: Duration = Duration::from_secs(60);

/// The most memory that the verification of an envelope takes, as a multiple of its length.
const COPIES: usize = 12;

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    first_byte: Duration::from_secs(5),
    idle: Duration::from_secs(5),
    total: Duration::from_secs(5),
};

/// Fetches revocation data, and caches it. Cheap to clone; all clones share the cache.
#[derive(Clone, Debug)]
pub struct RevocationClient {
    /// For each registry, where responses come from.
    sources: Arc<BTreeMap<Registry, RevocationSource>>,
    kept: Cache<Key, Arc<CachedAnswer>>,
}

/// Where revocation data for the images of one registry comes from.
#[derive(Clone, Debug)]
enum RevocationSource {
    /// A client that may reach the addresses of the upstream.
    Network(Client),
    /// Files; no connection is opened.
    Local(Arc<dyn LocalServer>),
}

/// An upstream as this scheme needs it: its registry, its URL, and the server in this process that replaces the network,
/// if there is one.
pub type RevocationUpstream<'a> = (&'a Registry, &'a Url, Option<Arc<dyn LocalServer>>);

/// The key contains the registry of the image, because each upstream may reach different addresses.
type Key = (Registry, RevocationQuery);

/// A response, and until when it is used.
#[derive(Debug)]
struct CachedAnswer {
    answer: Answer,
    fresh_until: Timestamp,
    until: Timestamp,
    refreshing: AtomicBool,
}

/// A CRL or an OCSP response as it was received. Nothing about it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptResponse {
    pub method: Method,
    pub url: String,
    pub content: bytes::Bytes,
    /// Its `nextUpdate`, if it can be read.
    pub ends: Option<Timestamp>,
}

/// The right to refresh an answer. Dropping it ends the refresh, also if that panics.
struct Turn(Arc<CachedAnswer>);

impl Turn {
    fn take(kept: &Arc<CachedAnswer>) -> Option<Self> {
        (!kept.refreshing.swap(true, Ordering::Relaxed)).then(|| Self(kept.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.refreshing.store(false, Ordering::Relaxed);
    }
}

impl RevocationClient {
    /// Fetches from the addresses in certificates of images in these registries: public addresses, and private ones only if
    /// the upstream of the image is private.
    pub fn new<'a>(
        upstreams: impl IntoIterator<Item = RevocationUpstream<'a>>,
        proxies: &Proxies,
    ) -> Result<Self, TlsError> {
        let source = |(registry, url, local): RevocationUpstream<'a>| {
            let source = match local {
                Some(local) => RevocationSource::Local(local),
                None => RevocationSource::Network(Client::through(
                    proxies,
                    url,
                    None,
                    MAX_REQUESTS,
                    TIMEOUTS,
                )?),
            };
            Ok((registry.clone(), source))
        };
        let sources = upstreams.into_iter().map(source).collect::<Result<_, TlsError>>()?;
        let weight = |_: &Key, kept: &Arc<CachedAnswer>| match &kept.answer {
            Answer::Content(content) => u32::try_from(content.len()).unwrap_or(u32::MAX).max(1024),
            Answer::Failed(_) => 1024,
        };
        let kept = Cache::builder().weigher(weight).max_capacity(MAX_KEPT).build();
        Ok(Self { sources: Arc::new(sources), kept })
    }

    /// Returns what `candidate` proves, after it fetched all required data. Logs the failed checks that the level only
    /// records.
    pub async fn judge(
        &self,
        anchor: &Anchor,
        candidate: &Candidate,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<Proven, Rejection> {
        let deadline = Instant::now() + PATIENCE;
        let mut known = Revocations::default();
        let mut rounds = 0;
        loop {
            let judged;
            (judged, known) = judge(anchor, candidate, subject, known, now).await;
            let queries = match judged {
                Judged::Proven(proven) => {
                    log(anchor, candidate, &proven);
                    return Ok(proven);
                }
                Judged::Rejected(rejection) => return Err(rejection),
                Judged::Needs(queries) => queries,
            };
            rounds += 1;
            if rounds > MAX_ROUNDS {
                known.end("too many places would have to be asked");
                continue;
            }
            let registry = &subject.repository.registry;
            let answer =
                |query: &RevocationQuery| self.answer((registry.clone(), query.clone()), now);
            let answering = join_all(queries.iter().map(answer));
            match tokio::time::timeout_at(deadline, answering).await {
                Ok(answers) => {
                    queries.into_iter().zip(answers).for_each(|(query, answer)| {
                        known.know(query, answer);
                    });
                }
                Err(_) => known.end("there was no answer in time"),
            }
        }
    }

    /// The responses that are cached now, sorted by URL.
    pub fn responses(&self) -> Vec<KeptResponse> {
        let response = |(key, kept): (Arc<Key>, Arc<CachedAnswer>)| match &kept.answer {
            Answer::Content(content) => {
                let RevocationQuery { method, url } = &key.1;
                let (content, ends) = (content.clone(), method.next_update(content));
                Some(KeptResponse { method: *method, url: url.clone(), content, ends })
            }
            Answer::Failed(_) => None,
        };
        let mut responses: Vec<KeptResponse> = self.kept.iter().filter_map(response).collect();
        responses.sort_by(|a, b| (&a.url, a.method).cmp(&(&b.url, b.method)));
        responses.dedup_by(|a, b| a.url == b.url && a.method == b.method);
        responses
    }

    /// The answer to a query, from the cache or fetched. Concurrent callers with the same query share one request.
    async fn answer(&self, key: Key, now: Timestamp) -> Answer {
        if let Some(kept) = self.kept.get(&key).await
            && now < kept.until
        {
            if now >= kept.fresh_until
                && let Some(turn) = Turn::take(&kept)
            {
                tokio::spawn(self.clone().refresh(key, turn, now));
            }
            return kept.answer.clone();
        }
        let asked = &key;
        let result = self
            .kept
            .entry_by_ref(asked)
            .and_compute_with(|found| async move {
                // Another task may have fetched it meanwhile.
                match found {
                    Some(kept) if now < kept.value().until => Op::Nop,
                    Some(_) | None => Op::Put(Arc::new(self.ask(asked, now).await)),
                }
            })
            .await;
        match result.into_entry() {
            Some(entry) => entry.into_value().answer.clone(),
            None => Answer::Failed("the answer was not kept".to_owned()),
        }
    }

    /// Refreshes a response in use; if that fails, the old one stays in use.
    async fn refresh(self, key: Key, turn: Turn, now: Timestamp) {
        let new = self.ask(&key, now).await;
        let old = &turn.0;
        let kept = if new.until > old.until || matches!(new.answer, Answer::Content(_)) {
            new
        } else {
            let (_, RevocationQuery { url, .. }) = &key;
            tracing::warn!(%url, "what is known of revocations could not be refreshed");
            CachedAnswer {
                answer: old.answer.clone(),
                fresh_until: now.plus(PAUSE),
                until: old.until,
                refreshing: AtomicBool::new(false),
            }
        };
        self.kept.insert(key, Arc::new(kept)).await;
    }

    async fn ask(&self, (registry, query): &Key, now: Timestamp) -> CachedAnswer {
        let answer = match self.fetch(registry, query).await {
            Ok(content) => Answer::Content(content),
            Err(why) => Answer::Failed(why),
        };
        let ends = match &answer {
            Answer::Content(content) => query.method.next_update(content),
            Answer::Failed(_) => None,
        };
        // An expired or unreadable response is fetched again as soon as a failure is.
        let until = match ends.filter(|end| *end > now) {
            Some(end) => end.min(now.plus(MAX_AGE)),
            None => now.plus(MAX_FAILURE),
        };
        let fresh = until.since(now) / 2;
        let fresh_until = now.plus(fresh.min(FRESH));
        CachedAnswer { answer, fresh_until, until, refreshing: AtomicBool::new(false) }
    }

    async fn fetch(
        &self,
        registry: &Registry,
        query: &RevocationQuery,
    ) -> Result<bytes::Bytes, String> {
        let url = Url::parse(&query.url).map_err(|e| format!("it is not a URL: {e}"))?;
        let client = match self.sources.get(registry) {
            None => return Err(format!("no upstream is configured for {registry}")),
            Some(RevocationSource::Network(client)) => client.clone(),
            Some(RevocationSource::Local(server)) => {
                Client::local(&url, server.clone(), MAX_REQUESTS, TIMEOUTS)
            }
        };
        let response = client
            .send(HttpMethod::Get, &url, &HeaderMap::new())
            .await
            .map_err(|e| e.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("the answer has the status {}", response.status()));
        }
        let ceiling = match query.method {
            Method::Ocsp => MAX_OCSP,
            Method::Crl => MAX_CRL,
        };
        response.into_body().read_whole(ceiling).await.map_err(|e| e.to_string())
    }
}

/// The verdict of the anchor with the `known` data, which is returned.
async fn judge(
    anchor: &Anchor,
    candidate: &Candidate,
    subject: &Subject,
    known: Revocations,
    now: Timestamp,
) -> (Judged, Revocations) {
    let length = candidate.content.length();
    if length <= parsing::MAX_IN_PLACE {
        return (anchor.judge(candidate, subject, &known, now), known);
    }
    let (anchor, candidate, subject) = (anchor.clone(), candidate.clone(), subject.clone());
    let judge = move || (anchor.judge(&candidate, &subject, &known, now), known);
    // The text, the payload, the signed bytes, and the JSON of two of them.
    parsing::run(length, COPIES * length, judge).await
}

fn log(anchor: &Anchor, candidate: &Candidate, proven: &Proven) {
    for flaw in &proven.tolerated {
        tracing::warn!(
            anchor = %anchor.name(),
            place = %candidate.place,
            check = flaw.check,
            found = %flaw.found,
            "a check did not pass, and the anchor's level only logs it",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_refresh_that_panics_leaves_nothing_marked_as_running() {
        let now = Timestamp::from_unix(0);
        let (answer, refreshing) = (Answer::Failed(String::new()), AtomicBool::new(false));
        let kept = Arc::new(CachedAnswer { answer, fresh_until: now, until: now, refreshing });
        let turn = Turn::take(&kept).unwrap();
        assert!(Turn::take(&kept).is_none(), "two refresh it at once");
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _turn = turn;
            panic!("while it refreshes");
        }));
        assert!(panicked.is_err());
        assert!(Turn::take(&kept).is_some(), "it is never refreshed again");
    }
}
