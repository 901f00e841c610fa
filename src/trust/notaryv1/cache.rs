//! The trust cache: one entry for each anchor and GUN. However many clients wait, one update at a time refreshes an
//! entry, and entries in use are refreshed before they end. A server that does not answer never changes a verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use moka::Equivalent;
use moka::future::Cache;
use moka::ops::compute::Op;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::clock::{Clock, Timestamp};
use crate::trust::lifetimes::SILENCE;
use crate::trust::metrics::Metrics;
use crate::trust::refusal::Unendorsed;
use crate::trust::scheme::Scheme;

use super::anchor::Anchor;
use super::awaited::{Awaited, Queries, Query};
use super::cached_trust::{CachedTrust, Use};
use super::entry::{Ahead, Entry, Key, Life, Turn, lifetimes};
use super::frozen_anchors::FrozenAnchors;
use super::gun::Gun;
use super::kept::verify_again;
use super::notary::{self, Notary, Repute};
use super::recorded::warn;
use super::repository::SignedRepository;
use super::role::File;
use super::state::{Remembered, StateError};
use super::trust_source::TrustSource;
use super::update::{NotUpdated, Updated, update};

/// About how many bytes of memory the entries may take.
const MAX_WEIGHT: u64 = 512 << 20;
/// The longest time for one update with all its files. After that, the server counts as unreachable.
const MAX_UPDATE: Duration = Duration::from_secs(60);
/// How long one request waits for a refresh. Less than the limit of a decision, so that the decision still ends with
/// older trust data or with a precise reason.
const MAX_WAIT: Duration = Duration::from_secs(28);
/// How often a request checks whether its server is silent, once it has waited for [`SILENCE`].
const ASK: Duration = Duration::from_secs(1);
const BUSY: &str = "the gate is busy and has not queried the Notary server yet";
const ABANDONED: &str = "no client waits for the trust data";

/// A borrowed [`Key`], for lookups.
#[derive(Hash)]
pub(super) struct KeyRef<'a>(pub(super) &'a Arc<str>, pub(super) &'a Gun);

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.1 == key.1 && *self.0 == key.0
    }
}

/// The cached trust data of all anchors. Cheap to clone; clones share one cache.
#[derive(Clone)]
pub struct TrustCache {
    pub(super) entries: Cache<Key, Arc<Entry>>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    /// Numbers the refreshes and the requests for them, to order them.
    turns: Arc<AtomicU64>,
    pub(super) queries: Queries,
    pub(super) frozen: FrozenAnchors,
}

impl TrustCache {
    pub fn new(clock: Clock, metrics: Metrics) -> Self {
        let entries = Cache::builder()
            .max_capacity(MAX_WEIGHT)
            .weigher(|(_, gun): &Key, entry: &Arc<Entry>| {
                let weight = entry.trust.weight() + 2 * gun.as_str().len();
                u32::try_from(weight).unwrap_or(u32::MAX)
            })
            .expire_after(Life)
            .build();
        let (turns, queries) = (Arc::default(), Queries::default());
        Self { entries, clock, metrics, turns, queries, frozen: FrozenAnchors::default() }
    }

    /// The names that `anchor` has signed in `gun`. Waits for the Notary server only if the cache has no usable answer,
    /// and at most 28 seconds.
    pub async fn signed(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
    ) -> Result<Arc<SignedRepository>, Unendorsed> {
        if let Some(entry) = self.entries.get(&KeyRef(anchor.name(), gun)).await
            && entry.is_of(anchor)
        {
            // Stored only if it changes, because each store invalidates the cache line of other CPUs.
            if !entry.used.load(Ordering::Relaxed) {
                entry.used.store(true, Ordering::Relaxed);
            }
            if let Use::Now { answer, due } = entry.trust.at(self.clock.now(), lifetimes(anchor)) {
                if due && let Some(turn) = Entry::take_refresh(&entry) {
                    self.refresh_ahead(turn, gun.clone());
                }
                return answer;
            }
        }
        // In its own task, because the refresh of a known repository continues without its client.
        let awaited = Awaited::default();
        let waiting = awaited.wait();
        let refresh = self.clone().refresh(anchor.clone(), gun.clone(), Ahead::No, awaited.clone());
        let mut refreshing = tokio::spawn(async move {
            tokio::select! {
                answer = refresh => answer,
                () = awaited.abandoned() => Err(Unendorsed::Undecided(ABANDONED.to_owned())),
            }
        });
        let end = Instant::now() + MAX_WAIT;
        let (mut wait, mut has_earlier) = (SILENCE, true);
        loop {
            match timeout(wait, &mut refreshing).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(error)) => {
                    tracing::error!(%error, %gun, "trust data update panicked");
                    return Err(Unendorsed::Undecided(
                        "the update of the trust data failed".to_owned(),
                    ));
                }
                Err(_) => wait = ASK,
            }
            let is_silent = self.is_silent(anchor, gun);
            if is_silent && has_earlier {
                match Box::pin(self.earlier_answer(anchor, gun)).await {
                    // The refresh continues, and its result is cached.
                    Some(answer) => {
                        waiting.disarm();
                        return Ok(answer);
                    }
                    None => has_earlier = false,
                }
            }
            if Instant::now() < end {
                continue;
            }
            // Time in the gate's own queue does not justify the use of older trust data.
            if !is_silent {
                return Err(Unendorsed::Undecided(BUSY.to_owned()));
            }
            waiting.disarm();
            let seconds = MAX_WAIT.as_secs();
            return Err(Unendorsed::Undecided(format!(
                "the Notary server has not answered for {seconds} seconds"
            )));
        }
    }

    /// Starts to refresh the entries that are in use and soon end. To be called periodically. Returns the started
    /// refreshes; they run in the background.
    pub fn tend(&self) -> Vec<JoinHandle<()>> {
        let now = self.clock.now();
        let used = self.entries.iter().filter(|(_, entry)| entry.used.load(Ordering::Relaxed));
        used.filter(|(_, entry)| entry.is_due(now))
            .filter_map(|(key, entry)| Some((key, Entry::take_refresh(&entry)?)))
            .map(|(key, turn)| self.refresh_ahead(turn, key.1.clone()))
            .collect()
    }

    /// Removes the entries of all other anchors, which are no longer configured.
    pub async fn keep(&self, anchors: &[Arc<Anchor>]) {
        for (key, entry) in &self.entries {
            if !anchors.iter().any(|anchor| entry.is_of(anchor)) {
                self.entries.invalidate(&*key).await;
            }
        }
    }

    fn refresh_ahead(&self, turn: Turn, gun: Gun) -> JoinHandle<()> {
        let cache = self.clone();
        tokio::spawn(async move {
            let anchor = turn.anchor().clone();
            // The result is in the cache and in the log.
            drop(cache.refresh(anchor, gun, Ahead::Yes, Awaited::default()).await);
        })
    }

    /// Every GUN with verified trust data, and when that expires (possibly in the past).
    pub fn expiries(&self) -> impl Iterator<Item = (Arc<str>, Gun, Timestamp)> {
        self.entries.iter().filter_map(|(key, entry)| {
            let repository = entry.trust.repository()?;
            Some((key.0.clone(), key.1.clone(), repository.expires()))
        })
    }

    /// Refreshes one entry. Concurrent callers wait for the refresh in progress and use its result.
    pub(super) async fn refresh(
        self,
        anchor: Arc<Anchor>,
        gun: Gun,
        ahead: Ahead,
        awaited: Awaited,
    ) -> Result<Arc<SignedRepository>, Unendorsed> {
        let key = (anchor.name().clone(), gun.clone());
        let requested = self.turns.fetch_add(1, Ordering::SeqCst);
        let mut busy = false;
        let result = self
            .entries
            .entry(key)
            .and_compute_with(async |current| {
                let current = current.map(moka::Entry::into_value);
                // An anchor of an earlier configuration verified with other keys.
                let current = current.filter(|entry| entry.is_of(&anchor));
                if current
                    .as_ref()
                    .is_some_and(|entry| entry.is_done(requested, self.clock.now(), ahead))
                {
                    return Op::Nop;
                }
                let began = self.turns.fetch_add(1, Ordering::SeqCst);
                let before = current.as_ref().map(|entry| &entry.trust);
                let Some(trust) = self.ask(&anchor, &gun, before, &awaited).await else {
                    busy = true;
                    return Op::Nop;
                };
                let used = AtomicBool::new(ahead != Ahead::Yes);
                let refreshing = AtomicBool::new(false);
                Op::Put(Arc::new(Entry { anchor: anchor.clone(), trust, began, used, refreshing }))
            })
            .await;
        if busy {
            return Err(Unendorsed::Undecided(BUSY.to_owned()));
        }
        let entry = result.into_entry().map(moka::Entry::into_value);
        let answer = entry.map(|entry| entry.trust.answer(self.clock.now(), lifetimes(&anchor)));
        answer
            .unwrap_or_else(|| Err(Unendorsed::Undecided("no trust data is known yet".to_owned())))
    }

    /// The result of a query. `None` if the gate was too busy to make it.
    async fn ask(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
        before: Option<&CachedTrust>,
        awaited: &Awaited,
    ) -> Option<CachedTrust> {
        let remembered = match self.remembered(anchor, gun).await {
            Ok(remembered) => remembered,
            Err(error) => {
                tracing::error!(anchor = &**anchor.name(), %gun, %error, "the trust memory cannot be read");
                let why = format!("the trust memory cannot be read: {error}");
                return Some(CachedTrust::unreachable(before, why, self.clock.now()));
            }
        };
        // They live until the end of this function. So the server also counts as silent while an archive is read in its place.
        let (turn, query);
        let (outcome, is_from_server) = match &anchor.source {
            TrustSource::Server(notary, _) => {
                if before.is_none()
                    && let Some(trust) = self.recent(anchor, gun, remembered.as_ref()).await
                {
                    return Some(trust);
                }
                // Only verified trust data is remembered, so that invented names are always unknown.
                let known = remembered.is_some()
                    || before.is_some_and(|before| before.repository().is_some());
                let repute = if known { Repute::Known } else { Repute::Unknown };
                turn = notary.turn(repute).await?;
                query = self.queries.begin((anchor.name().clone(), gun.clone()));
                if known {
                    awaited.commit();
                }
                let requests = (&**notary, &turn, &query);
                (self.update(anchor, gun, remembered.as_ref(), requests).await, true)
            }
            // An archive does not say that trust data was removed: a bundle that is gone, or one that is refused, leaves the
            // trust data that was verified before in force until it expires.
            TrustSource::Archive(archive) => {
                (self.read_archive(anchor, gun, archive, remembered.as_ref()).await, false)
            }
        };
        let now = self.clock.now();
        Some(match outcome {
            Ok(updated) => {
                self.metrics.refreshed(Scheme::NotaryV1, "ok");
                CachedTrust::Signed { repository: Arc::new(updated.repository), answered: now }
            }
            Err(NotUpdated::Refused(refusal)) => {
                let refusal = anchor.recognize_root(refusal).await;
                self.metrics.refreshed(
                    Scheme::NotaryV1,
                    if refusal.reason.is_absence() { "absent" } else { "refused" },
                );
                warn(anchor, gun, &refusal);
                if is_from_server && remembered.is_some_and(|kept| !kept.memory.is_refused()) {
                    self.record_refusal(anchor, gun).await;
                }
                CachedTrust::Refused { refusal, answered: now }
            }
            // If the trust memory cannot be written, the earlier trust data stays, as with an unreachable server.
            Err(NotUpdated::Unreachable(why) | NotUpdated::NotRemembered(why)) => {
                self.metrics.refreshed(Scheme::NotaryV1, "unreachable");
                tracing::warn!(anchor = &**anchor.name(), %gun, why, "trust data could not be refreshed");
                if !is_from_server {
                    return Some(CachedTrust::unreachable(before, why, now));
                }
                let known = (before, remembered.as_ref());
                if let Some(trust) = self.fall_back(anchor, gun, known, &why).await {
                    return Some(trust);
                }
                let kept = match (before, &remembered) {
                    (None, Some(kept)) => verify_again(anchor, gun, kept, now).await,
                    (Some(_), _) | (None, None) => None,
                };
                CachedTrust::unreachable(before.or(kept.as_ref()), why, now)
            }
            Err(NotUpdated::Busy) => return None,
        })
    }

    /// The trust data on disk, if the server confirmed it within `refresh`: after a restart, it only needs to be verified
    /// again.
    async fn recent(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
        remembered: Option<&Arc<Remembered>>,
    ) -> Option<CachedTrust> {
        let (kept, now) = (remembered?, self.clock.now());
        let answered = kept.memory.answered()?;
        if answered > now || now.since(answered) >= anchor.config.refresh {
            return None;
        }
        verify_again(anchor, gun, kept, now).await
    }

    pub(super) async fn remembered(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
    ) -> Result<Option<Arc<Remembered>>, StateError> {
        Ok(anchor.state.recall(gun).await?.map(Arc::new))
    }

    /// Updates from the server and writes the trust memory to disk.
    async fn update(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
        remembered: Option<&Arc<Remembered>>,
        (notary, turn, query): (&Notary, &notary::Turn, &Query),
    ) -> Result<Updated, NotUpdated> {
        let terms = anchor.terms(gun.clone());
        let fetch = |file: File| {
            let (kept, notary, gun) = (remembered.cloned(), notary.clone(), gun.clone());
            async move {
                // A file that is named by its hash cannot have changed.
                if let (File::Content { .. }, Some(kept)) = (&file, &kept)
                    && let Some(content) = kept.recall(&file).await
                {
                    return Ok(Some(content));
                }
                // Only this counts as time of the server: parsing depends on the gate, and writing on the disk.
                turn.request_sent();
                query.request_sent();
                let fetched = notary.fetch(&gun, &file).await;
                query.request_ended();
                if matches!(fetched, Ok(_) | Err(NotUpdated::Refused(_))) {
                    turn.answered();
                }
                fetched
            }
        };
        let memory = remembered.map(|kept| &kept.memory);
        let updating = update(fetch, &terms, memory, self.clock.now());
        let updated = timeout(MAX_UPDATE, updating).await.map_err(|_| {
            let seconds = MAX_UPDATE.as_secs();
            NotUpdated::Unreachable(format!(
                "the Notary server did not complete one update within {seconds} seconds"
            ))
        })??;
        self.record(anchor, gun, updated, remembered).await
    }
}
