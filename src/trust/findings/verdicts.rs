//! The cached verdicts, by anchor and manifest, never by tag. Concurrent requests search once. A verdict never outlives
//! the evidence for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use moka::future::Cache;
use moka::ops::compute::Op;

use super::Anchor;
use super::judging::judge;
use super::verdict::{AnchorVerdict, Evidence, Outcome};
use crate::clock::{Clock, Timestamp};
use crate::oci::{Digest, RepositoryRef};
use crate::queue_time::{Unanswered, within};
use crate::trust::discovery::{Places, RequestBudget};
use crate::trust::lifetimes::{Lifetimes, SILENCE};
use crate::trust::metrics::Metrics;
use crate::trust::refusal::Unendorsed;
use crate::trust::subject::Subject;

/// The approximate memory limit for verdicts, in bytes.
const MAX_WEIGHT: u64 = 64 << 20;
/// How long an unused verdict is cached.
const MAX_IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long to wait for registries if an earlier verdict may be used instead. A search takes several requests.
const MAX_LOOK: Duration = SILENCE.saturating_mul(2);

const BUSY: &str = "the gate is busy and has not searched for signatures yet";

/// An anchor with its fingerprint, and a manifest in one repository.
type Key = (Arc<str>, Digest, RepositoryRef, Digest);

/// A verdict, and when it was last searched for.
#[derive(Clone)]
struct CachedVerdict {
    verdict: Arc<AnchorVerdict>,
    /// When registries were last asked, even if they did not answer.
    tried: Timestamp,
    /// The turn in which the search began.
    began: u64,
}

/// The verdicts of all anchors. Cheap to clone; clones share one cache.
#[derive(Clone)]
pub struct AnchorVerdicts {
    known: Cache<Key, CachedVerdict>,
    places: Places,
    clock: Clock,
    metrics: Metrics,
    /// Orders the searches and the requests for verdicts.
    turns: Arc<AtomicU64>,
}

impl AnchorVerdicts {
    pub fn new(places: Places, clock: Clock, metrics: Metrics) -> Self {
        let known = Cache::builder()
            .max_capacity(MAX_WEIGHT)
            .weigher(|_: &Key, known: &CachedVerdict| {
                u32::try_from(known.verdict.weight()).unwrap_or(u32::MAX)
            })
            .time_to_idle(MAX_IDLE)
            .build();
        Self { known, places, clock, metrics, turns: Arc::default() }
    }

    /// The same verdicts; unknown ones are searched for in `places`.
    #[must_use]
    pub fn looking_in(&self, places: Places) -> Self {
        Self { places, ..self.clone() }
    }

    /// Forgets the verdicts of all other anchors, which are no longer configured.
    pub async fn keep(&self, anchors: &[Anchor]) {
        let is_kept = |key: &Key| {
            anchors.iter().any(|anchor| *anchor.name() == key.0 && anchor.fingerprint() == key.1)
        };
        for (key, _) in &self.known {
            if !is_kept(&key) {
                self.known.invalidate(&*key).await;
            }
        }
    }

    /// The verdict of `anchor` on `subject`. Asks registries only without a usable verdict, within `budget`.
    pub async fn of(
        &self,
        anchor: &Anchor,
        subject: &Arc<Subject>,
        budget: &RequestBudget,
    ) -> Arc<AnchorVerdict> {
        let lifetimes = anchor.lifetimes();
        let key = key(anchor, subject);
        if let Some(known) = self.known.get(&key).await
            && known.is_usable(self.clock.now(), lifetimes)
        {
            return known.verdict;
        }
        let came = self.turns.fetch_add(1, Ordering::SeqCst);
        let mut busy = None;
        let result = self
            .known
            .entry(key)
            .and_compute_with(async |known| {
                let known = known.map(moka::Entry::into_value);
                let now = self.clock.now();
                let is_done =
                    |known: &CachedVerdict| known.began > came || known.is_usable(now, lifetimes);
                if known.as_ref().is_some_and(is_done) {
                    return Op::Nop;
                }
                let began = self.turns.fetch_add(1, Ordering::SeqCst);
                // A boxed type, because the compiler's limit on type lengths is too low for the type itself.
                let judging: BoxFuture<'_, AnchorVerdict> =
                    Box::pin(judge(anchor, subject, &self.places, budget, now));
                let kept = known.filter(|known| known.verdict.outlasts(now, lifetimes));
                let looked = match kept {
                    Some(_) => within(MAX_LOOK, judging).await,
                    None => Ok(judging.await),
                };
                let (is_busy, found) = match looked {
                    Ok(found) => (found.is_of_a_busy_gate(), found),
                    Err(Unanswered::Silent) => (false, silent(now)),
                    Err(Unanswered::Queued) => (true, undecided(BUSY.to_owned(), now)),
                };
                self.metrics.refreshed(anchor.scheme(), found.result());
                if is_busy {
                    busy = Some(found);
                    return Op::Nop;
                }
                let (verdict, tried) = match kept {
                    Some(known) if found.leaves(&known.verdict) => {
                        tell_silence(anchor, subject, &found);
                        (known.verdict, self.clock.now())
                    }
                    Some(_) | None => (Arc::new(found), now),
                };
                Op::Put(CachedVerdict { verdict, tried, began })
            })
            .await;
        if let Some(busy) = busy {
            return Arc::new(busy);
        }
        match result.into_entry() {
            Some(entry) => entry.into_value().verdict,
            None => Arc::new(undecided("there is no result yet".to_owned(), self.clock.now())),
        }
    }

    /// The expiry of each known endorsement that expires.
    pub(crate) fn expiries(&self) -> impl Iterator<Item = ((Arc<str>, String), Timestamp)> {
        self.known.iter().filter_map(|(key, known)| {
            let Outcome::Endorsed { endorsement, .. } = &known.verdict.outcome else { return None };
            let expires = endorsement.says().expires?;
            let (anchor, _, repository, _) = &*key;
            let of = || (anchor.clone(), repository.to_string());
            Some((of(), expires))
        })
    }
}

impl CachedVerdict {
    fn is_usable(&self, now: Timestamp, lifetimes: Lifetimes) -> bool {
        self.verdict.is_fresh(now, lifetimes)
            || (self.tried <= now
                && self.verdict.judged < self.tried
                && now.since(self.tried) < lifetimes.patience()
                && self.verdict.outlasts(now, lifetimes))
    }
}

/// The verdict if registries do not answer in time.
fn silent(now: Timestamp) -> AnchorVerdict {
    undecided(format!("the registry did not answer within {} seconds", MAX_LOOK.as_secs()), now)
}

fn undecided(why: String, judged: Timestamp) -> AnchorVerdict {
    let outcome = Outcome::Unendorsed(Unendorsed::Undecided(why));
    AnchorVerdict { outcome, evidence: Evidence::default(), judged }
}

fn key(anchor: &Anchor, subject: &Subject) -> Key {
    let Subject { repository, digest, .. } = subject;
    let (name, made_of) = (anchor.name().clone(), anchor.fingerprint());
    (name, made_of, repository.clone(), *digest)
}

fn tell_silence(anchor: &Anchor, subject: &Subject, found: &AnchorVerdict) {
    if let Outcome::Unendorsed(why) = &found.outcome {
        tracing::warn!(
            anchor = &**anchor.name(),
            manifest.digest = %subject.digest,
            ?why,
            "cannot search for signatures again; using the earlier result"
        );
    }
}
