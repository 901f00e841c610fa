//! The trust cache: one standing for each anchor and GUN, refreshed by one update at a time however
//! many ask, and ahead of its end for those that are in use. Never takes silence for a verdict.

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
use crate::trust::refusal::{Reason, Refusal, Unendorsed};
use crate::trust::scheme::Scheme;

use super::anchor::Anchor;
use super::awaited::{Awaited, Queries, Query};
use super::cached_trust::{CachedTrust, Use};
use super::entry::{Ahead, Entry, Key, Life, Turn, lifetimes};
use super::gun::Gun;
use super::kept::{kept_file, verify_again};
use super::notary::{self, Repute};
use super::repository::SignedRepository;
use super::role::File;
use super::state::{Remembered, StateError};
use super::update::{NotUpdated, Updated, update};

/// How much memory standings may take, in bytes, about.
const MAX_WEIGHT: u64 = 512 << 20;
/// How long one update may take, with all its files: after that the server does not answer.
const MAX_UPDATE: Duration = Duration::from_secs(60);
/// How long one request waits for a refresh; less than a decision may take, so that it ends with what
/// may still be used, or with the reason why there is nothing.
const MAX_WAIT: Duration = Duration::from_secs(28);
/// How often a request asks whether its server is silent, once it has waited for [`SILENCE`].
const ASK: Duration = Duration::from_secs(1);
const BUSY: &str = "the gate is busy and could not ask the Notary server yet";
const ABANDONED: &str = "no client waits for the trust data any more";

/// A [`Key`] to look with.
#[derive(Hash)]
pub(super) struct Sought<'a>(pub(super) &'a Arc<str>, pub(super) &'a Gun);

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.1 == key.1 && *self.0 == key.0
    }
}

/// The standings of all anchors. Cheap to clone; the clones are one cache.
#[derive(Clone)]
pub struct TrustCache {
    pub(super) standings: Cache<Key, Arc<Entry>>,
    pub(super) clock: Clock,
    metrics: Metrics,
    /// Puts the refreshes, and those who want one, into an order.
    turns: Arc<AtomicU64>,
    pub(super) queries: Queries,
}

impl TrustCache {
    pub fn new(clock: Clock, metrics: Metrics) -> Self {
        let standings = Cache::builder()
            .max_capacity(MAX_WEIGHT)
            .weigher(|(_, gun): &Key, entry: &Arc<Entry>| {
                let weight = entry.standing.weight() + 2 * gun.as_str().len();
                u32::try_from(weight).unwrap_or(u32::MAX)
            })
            .expire_after(Life)
            .build();
        Self { standings, clock, metrics, turns: Arc::default(), queries: Queries::default() }
    }

    /// What `anchor` has signed of `gun`. Waits for the Notary server only where nothing is known
    /// that may be used, and not for ever.
    pub async fn signed(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
    ) -> Result<Arc<SignedRepository>, Unendorsed> {
        if let Some(entry) = self.standings.get(&Sought(anchor.name(), gun)).await
            && entry.is_of(anchor)
        {
            // Written only where it changes, so that those who read it need not fetch it anew.
            if !entry.used.load(Ordering::Relaxed) {
                entry.used.store(true, Ordering::Relaxed);
            }
            if let Use::Now { answer, due } = entry.standing.at(self.clock.now(), lifetimes(anchor))
            {
                if due && let Some(turn) = Entry::take_refresh(&entry) {
                    self.refresh_ahead(turn, gun.clone());
                }
                return answer;
            }
        }
        // In a task of its own, because a refresh of a known repository goes on without its client.
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
                    tracing::error!(%error, %gun, "an update of trust data panicked");
                    return Err(Unendorsed::Undecided(
                        "the update of the trust data failed".to_owned(),
                    ));
                }
                Err(_) => wait = ASK,
            }
            let (is_silent, is_over) = (self.is_silent(anchor, gun), Instant::now() >= end);
            if is_silent && (has_earlier || is_over) {
                match Box::pin(self.meanwhile(anchor, gun)).await {
                    // The refresh goes on, and its outcome is remembered.
                    Some(answer) => {
                        waiting.disarm();
                        return Ok(answer);
                    }
                    None => has_earlier = false,
                }
            }
            if !is_over {
                continue;
            }
            // Time in the gate's own queue is no reason to use old trust data for longer.
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

    /// Begins to refresh what is in use and soon runs out; to be called again and again. Gives the
    /// refreshes that it began, which go on without being waited for.
    pub fn tend(&self) -> Vec<JoinHandle<()>> {
        let now = self.clock.now();
        let used = self.standings.iter().filter(|(_, entry)| entry.used.load(Ordering::Relaxed));
        used.filter(|(_, entry)| entry.is_due(now))
            .filter_map(|(key, entry)| Some((key, Entry::take_refresh(&entry)?)))
            .map(|(key, turn)| self.refresh_ahead(turn, key.1.clone()))
            .collect()
    }

    /// Forgets what all other anchors found: they are configured no more.
    pub async fn keep(&self, anchors: &[Arc<Anchor>]) {
        for (key, entry) in &self.standings {
            if !anchors.iter().any(|anchor| entry.is_of(anchor)) {
                self.standings.invalidate(&*key).await;
            }
        }
    }

    fn refresh_ahead(&self, turn: Turn, gun: Gun) -> JoinHandle<()> {
        let cache = self.clone();
        tokio::spawn(async move {
            let anchor = turn.anchor().clone();
            // Its outcome is in the cache, and in the log.
            drop(cache.refresh(anchor, gun, Ahead::Yes, Awaited::default()).await);
        })
    }

    /// Every GUN whose signed names are known, with the end of what it rests on.
    pub fn expiries(&self) -> impl Iterator<Item = (Arc<str>, Gun, Timestamp)> {
        self.standings.iter().filter_map(|(key, entry)| {
            let repository = entry.standing.repository()?;
            Some((key.0.clone(), key.1.clone(), repository.expires()))
        })
    }

    /// Brings one standing up to date. Those who come while another does this wait, and find it done.
    pub(super) async fn refresh(
        self,
        anchor: Arc<Anchor>,
        gun: Gun,
        ahead: Ahead,
        awaited: Awaited,
    ) -> Result<Arc<SignedRepository>, Unendorsed> {
        let key = (anchor.name().clone(), gun.clone());
        let came = self.turns.fetch_add(1, Ordering::SeqCst);
        let mut busy = false;
        let result = self
            .standings
            .entry(key)
            .and_compute_with(async |current| {
                let current = current.map(moka::Entry::into_value);
                // What an anchor of another configuration found was found with other keys.
                let current = current.filter(|entry| entry.is_of(&anchor));
                if current
                    .as_ref()
                    .is_some_and(|entry| entry.is_done(came, self.clock.now(), ahead))
                {
                    return Op::Nop;
                }
                let began = self.turns.fetch_add(1, Ordering::SeqCst);
                let before = current.as_ref().map(|entry| &entry.standing);
                let Some(standing) = self.ask(&anchor, &gun, before, &awaited).await else {
                    busy = true;
                    return Op::Nop;
                };
                let used = AtomicBool::new(ahead != Ahead::Yes);
                let refreshing = AtomicBool::new(false);
                Op::Put(Arc::new(Entry {
                    anchor: anchor.clone(),
                    standing,
                    began,
                    used,
                    refreshing,
                }))
            })
            .await;
        if busy {
            return Err(Unendorsed::Undecided(BUSY.to_owned()));
        }
        let entry = result.into_entry().map(moka::Entry::into_value);
        let answer = entry.map(|entry| entry.standing.answer(self.clock.now(), lifetimes(&anchor)));
        answer.unwrap_or_else(|| Err(Unendorsed::Undecided("nothing is known yet".to_owned())))
    }

    /// The standing after a query; `None` if the gate was too busy to make it.
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
        let now = self.clock.now();
        // After a restart, what was answered lately need not be asked again, only verified.
        if before.is_none()
            && let Some(kept) = &remembered
            && let Some(answered) = kept.memory.answered()
            && answered <= now
            && now.since(answered) < anchor.config.refresh
            && let Some(standing) = verify_again(anchor, gun, kept, now).await
        {
            return Some(standing);
        }
        // Only trust data that was verified once is remembered: invented names are always unknown.
        let known =
            remembered.is_some() || before.is_some_and(|before| before.repository().is_some());
        let repute = if known { Repute::Known } else { Repute::Unknown };
        let turn = anchor.notary.turn(repute).await?;
        let query = self.queries.begin((anchor.name().clone(), gun.clone()));
        if known {
            awaited.commit();
        }
        let outcome = self.update(anchor, gun, remembered.as_ref(), (&turn, &query)).await;
        let now = self.clock.now();
        let standing = match outcome {
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
                if remembered.is_some_and(|kept| kept.memory.answered().is_some()) {
                    self.set_aside(anchor, gun).await;
                }
                CachedTrust::Refused { refusal, answered: now }
            }
            // A trust memory that cannot be written leaves the earlier trust data, as an unreachable server does.
            Err(NotUpdated::Unreachable(why) | NotUpdated::NotRemembered(why)) => {
                self.metrics.refreshed(Scheme::NotaryV1, "unreachable");
                tracing::warn!(anchor = &**anchor.name(), %gun, why, "trust data could not be refreshed");
                let kept = match (before, &remembered) {
                    (None, Some(kept)) => verify_again(anchor, gun, kept, now).await,
                    (Some(_), _) | (None, None) => None,
                };
                CachedTrust::unreachable(before.or(kept.as_ref()), why, now)
            }
            Err(NotUpdated::Busy) => return None,
        };
        Some(standing)
    }

    pub(super) async fn remembered(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
    ) -> Result<Option<Arc<Remembered>>, StateError> {
        let (state, gun) = (anchor.state.clone(), gun.clone());
        let read = tokio::task::spawn_blocking(move || state.read(&gun)).await;
        read.unwrap_or_else(|broken| Err(StateError::broken(broken)))
            .map(|found| found.map(Arc::new))
    }

    /// Remembers a refusal. Where that fails it still holds for as long as this process runs.
    async fn set_aside(&self, anchor: &Arc<Anchor>, gun: &Gun) {
        let (state, refused) = (anchor.state.clone(), gun.clone());
        let written = tokio::task::spawn_blocking(move || state.refused(&refused)).await;
        if let Err(error) = written.unwrap_or_else(|broken| Err(StateError::broken(broken))) {
            tracing::error!(anchor = &**anchor.name(), %gun, %error, "a refusal cannot be remembered");
        }
    }

    /// One update from the server, and its memory on disk: it counts only with that.
    async fn update(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
        remembered: Option<&Arc<Remembered>>,
        (turn, query): (&notary::Turn, &Query),
    ) -> Result<Updated, NotUpdated> {
        let terms = anchor.terms(gun.clone());
        let fetch = |file: File| {
            let (kept, notary, gun) = (remembered.cloned(), anchor.notary.clone(), gun.clone());
            async move {
                // What is named by its hash cannot have changed.
                if let (File::Content { .. }, Some(kept)) = (&file, &kept)
                    && let Some(content) = kept_file(kept, &file).await
                {
                    return Ok(Some(content));
                }
                // Only this is time of the server: parsing waits for the gate, and writing for the disk.
                turn.asks();
                query.asks();
                let fetched = notary.fetch(&gun, &file).await;
                query.asked();
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
                "the Notary server takes more than {seconds} seconds for one update"
            ))
        })??;
        let (state, gun) = (anchor.state.clone(), gun.clone());
        let written =
            tokio::task::spawn_blocking(move || state.write(&gun, &updated).map(|()| updated));
        written.await.unwrap_or_else(|broken| Err(StateError::broken(broken))).map_err(|error| {
            tracing::error!(anchor = &**anchor.name(), %error, "the trust memory cannot be written");
            NotUpdated::NotRemembered(format!("the trust memory cannot be written: {error}"))
        })
    }
}

fn warn(anchor: &Anchor, gun: &Gun, refusal: &Refusal) {
    let (anchor, reason, because) = (&**anchor.name(), refusal.reason.as_str(), &refusal.because);
    match refusal.reason {
        Reason::NoTrustData => tracing::debug!(anchor, %gun, reason, because, "no trust data"),
        Reason::ContentMismatch
        | Reason::DeniedByRule
        | Reason::DigestNotSigned
        | Reason::Expired
        | Reason::Malformed
        | Reason::MixAndMatch
        | Reason::NoRule
        | Reason::Rollback
        | Reason::RootNotPinned
        | Reason::SignatureInvalid
        | Reason::SignerMissing
        | Reason::SignersDisagree
        | Reason::TagNotSigned
        | Reason::TrustRemoved
        | Reason::WrongRepository => {
            tracing::warn!(anchor, %gun, reason, because, "trust data was refused");
        }
    }
}
