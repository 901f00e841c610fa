//! The exemptions that a gate knows of: what the file says, looked at again and again, and what of it
//! holds. Each that comes, and each that ends, is told once.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as MetricsRegistry;

use super::exemption::{Exemption, Said};
use super::file::{ExemptionFile, ExemptionsError, Stamp};
use crate::clock::{Clock, Timestamp};
use crate::oci::{Registry, Repository};

/// How long what the file said is believed before it is looked at again.
const LOOK: Duration = Duration::from_secs(1);
/// The same for [`Exemptions::tend`]: sooner, so that requests find the file read and wait for no disk.
const TEND: Duration = Duration::from_millis(700);

/// What is counted of exemptions.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    in_force: Gauge,
    unreadable: Counter,
}

impl Metrics {
    /// Makes them and registers them in `registry`.
    pub fn registered(registry: &mut MetricsRegistry) -> Self {
        let metrics = Self::default();
        registry.register(
            "countersign_exemptions_in_force",
            "Digests that may be served now though nobody vouches for them",
            metrics.in_force.clone(),
        );
        registry.register(
            "countersign_exemptions_unreadable",
            "Looks at the file of exemptions that found no good one: nothing was exempted then",
            metrics.unreadable.clone(),
        );
        metrics
    }
}

/// Whether what comes and ends is told to the operator: by a gate that serves, and not by one that explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    Log,
    Nothing,
}

/// The exemptions of one gate. Cheap to clone; the clones are one.
#[derive(Clone)]
pub struct Exemptions {
    shared: Arc<Shared>,
}

struct Shared {
    file: ExemptionFile,
    clock: Clock,
    metrics: Metrics,
    telling: Telling,
    known: Mutex<ReadFile>,
    /// Held while a thread reads the file.
    reading: Mutex<()>,
}

/// What was read when.
#[derive(Default)]
struct ReadFile {
    looked: Option<Timestamp>,
    /// Of what is in `all`; none where it could not be read.
    stamp: Option<Stamp>,
    /// Those that have not ended. One that has is not brought back by a clock that is put back.
    all: Vec<Exemption>,
    error: Option<ExemptionsError>,
}

impl fmt::Debug for Exemptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exemptions").field("file", &self.shared.file).finish_non_exhaustive()
    }
}

impl Exemptions {
    /// Those that `file` says; it is read when somebody asks.
    pub fn new(file: ExemptionFile, clock: Clock, metrics: Metrics, telling: Telling) -> Self {
        let (known, reading) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { file, clock, metrics, telling, known, reading }) }
    }

    /// Those that hold now in that repository.
    pub fn of(&self, registry: &Registry, repository: &Repository) -> Vec<Exemption> {
        let now = self.shared.clock.now();
        self.shared.look(now, LOOK);
        let known = self.shared.known();
        let here = known.all.iter();
        let here = here.filter(|one| one.is_in(registry, repository) && one.is_in_force(now));
        here.cloned().collect()
    }

    /// Looks at the file, if that is due, and tells what has come and what has ended; to be called again
    /// and again.
    pub fn tend(&self) {
        let now = self.shared.clock.now();
        self.shared.look(now, TEND);
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, ReadFile> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file if that is due after `every`. While a thread reads, on a disk that may hang, others use what is
    /// known. Before the first read has ended, they wait.
    fn look(&self, now: Timestamp, every: Duration) {
        let is_due = |known: &ReadFile| {
            known.looked.is_none_or(|looked| now < looked || now.since(looked) >= every)
        };
        let (due, first) = {
            let known = self.known();
            (is_due(&known), known.looked.is_none())
        };
        let reading = if !due {
            None
        } else if first {
            Some(self.reading.lock().unwrap_or_else(PoisonError::into_inner))
        } else {
            match self.reading.try_lock() {
                Ok(reading) => Some(reading),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            }
        };
        // Another thread may have read the file since.
        if reading.is_some() && is_due(&self.known()) {
            let last = self.known().stamp;
            let stamp = self.file.stamp();
            let read = (stamp.as_ref().ok() != last.as_ref() || last.is_none())
                // The stamp is the older one: what is written meanwhile is read the next time.
                .then(|| stamp.and_then(|stamp| Ok((stamp, self.file.read()?))));
            let mut known = self.known();
            known.looked = Some(now);
            if let Some(read) = read {
                self.take(&mut known, read, now);
            }
        }
        drop(reading);
        let known = &mut *self.known();
        known.all.retain(|one| {
            let holds = now < one.says().until;
            if !holds {
                self.tell(one, "an exemption has ended");
            }
            holds
        });
        let in_force = known.all.iter().filter(|one| one.is_in_force(now)).count();
        self.metrics.in_force.set(i64::try_from(in_force).unwrap_or(i64::MAX));
    }

    fn take(
        &self,
        known: &mut ReadFile,
        read: Result<(Stamp, Vec<Exemption>), ExemptionsError>,
        now: Timestamp,
    ) {
        let (stamp, mut all) = match read {
            Ok((stamp, all)) => {
                known.error = None;
                (Some(stamp), all)
            }
            Err(error) => {
                self.metrics.unreadable.inc();
                if known.error.as_ref() != Some(&error) {
                    tracing::error!(%error, "the exemptions cannot be read: nothing is exempted");
                }
                known.error = Some(error);
                (None, Vec::new())
            }
        };
        all.retain(|one| now < one.says().until);
        for gone in known.all.iter().filter(|one| !all.contains(one) && now < one.says().until) {
            self.tell(gone, "an exemption was ended");
        }
        for new in all.iter().filter(|one| !known.all.contains(one)) {
            self.tell(
                new,
                "an exemption is in force: this digest is served though nobody vouches for it",
            );
        }
        (known.stamp, known.all) = (stamp, all);
    }

    fn tell(&self, exemption: &Exemption, what: &'static str) {
        if self.telling == Telling::Nothing {
            return;
        }
        let Said { registry, repository, digest, reason, by, made, until } = exemption.says();
        tracing::warn!(
            target: "countersign::exemption",
            {
            image.registry = registry.as_str(),
            image.repository = repository.as_str(),
            manifest.digest = %digest,
            why = reason,
            by,
            made = %made,
            until = %until,
            },
            "{what}"
        );
    }
}
