//! The network of this scheme, all of it: OCSP responders and CRLs, asked over HTTP, and their answers
//! kept. Believes nothing of them; the judge does that.

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
use crate::http_client::{Client, Method as HttpMethod, Proxies, Timeouts, TlsError};
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
/// How many bytes of answers are kept.
const MAX_KEPT: u64 = 64 << 20;
/// The most requests at once.
const MAX_REQUESTS: usize = 16;
/// How often one judgement may ask for more.
const MAX_ROUNDS: usize = 8;
/// How long one judgement may wait for answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest time for which an answer is used; never past its own end.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How old an answer in use may be before it is asked for again, beside its use.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long it is remembered that there was no answer.
const MAX_FAILURE: Duration = Duration::from_secs(5);
/// How long an answer is left alone that could not be refreshed.
const PAUSE: Duration = Duration::from_secs(60);

/// How many times its own length an envelope takes in memory while it is judged, at most.
const COPIES: usize = 12;

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    first_byte: Duration::from_secs(5),
    idle: Duration::from_secs(5),
    total: Duration::from_secs(5),
};

/// Asks responders, and keeps what they say. Cheap to clone; the clones share what is kept.
#[derive(Clone, Debug)]
pub struct RevocationClient {
    /// For each registry, a client that may go where its upstream is.
    clients: Arc<BTreeMap<Registry, Client>>,
    kept: Cache<Key, Arc<CachedAnswer>>,
}

/// The registry of the image that is judged is a part of the key: what its upstream may reach, another one's may not.
type Key = (Registry, RevocationQuery);

/// An answer, and for how long it is used.
#[derive(Debug)]
struct CachedAnswer {
    answer: Answer,
    fresh_until: Timestamp,
    until: Timestamp,
    refreshing: AtomicBool,
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
    /// Asks what certificates name, for images of these registries: public addresses, and such private ones as the upstream
    /// of the image has itself.
    pub fn new<'a>(
        upstreams: impl IntoIterator<Item = (&'a Registry, &'a Url)>,
        proxies: &Proxies,
    ) -> Result<Self, TlsError> {
        let client = |(registry, url): (&Registry, &Url)| {
            Ok((registry.clone(), Client::through(proxies, url, None, MAX_REQUESTS, TIMEOUTS)?))
        };
        let clients = upstreams.into_iter().map(client).collect::<Result<_, TlsError>>()?;
        let weight = |_: &Key, kept: &Arc<CachedAnswer>| match &kept.answer {
            Answer::Content(content) => u32::try_from(content.len()).unwrap_or(u32::MAX).max(1024),
            Answer::Failed(_) => 1024,
        };
        let kept = Cache::builder().weigher(weight).max_capacity(MAX_KEPT).build();
        Ok(Self { clients: Arc::new(clients), kept })
    }

    /// What `candidate` proves to `anchor`, with everything asked that has to be. Checks that did not
    /// pass and are only logged are logged here.
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
            let registry = &subject.registry;
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
                // Somebody may have asked while we waited for our turn.
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

    /// Asks again for what is in use; if there is no better answer, the old one stays in use.
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
        // What is over already, or cannot be read, is asked for again as soon as a failure is.
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
        let client = self.clients.get(registry);
        let response = client
            .ok_or_else(|| format!("no upstream is configured for {registry}"))?
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

/// What the anchor says, with what is `known`, which is given back.
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
    // Its text, its payload, the signed bytes, and the JSON of two of them.
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
