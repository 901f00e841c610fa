//! The exemptions that a gate knows: it reads the file periodically, and keeps those in force. It logs once when
//! an exemption starts, and once when it ends.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as MetricsRegistry;

use super::exemption::{Exemption, Said};
use super::file::{ExemptionFile, ExemptionsError, Stamp};
use crate::clock::{Clock, Timestamp};
use crate::oci::RepositoryRef;

/// How long the last reading of the file is used.
const LOOK: Duration = Duration::from_secs(1);
/// How long [`Exemptions::tend`] uses the last reading: shorter, so that requests find a fresh reading and do not wait
/// for the disk.
const TEND: Duration = Duration::from_millis(700);

/// The metrics of exemptions.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    in_force: Gauge,
    unreadable: Counter,
}

impl Metrics {
    /// Creates the metrics and registers them in `registry`.
    pub fn registered(registry: &mut MetricsRegistry) -> Self {
        let metrics = Self::default();
        registry.register(
            "countersign_exemptions_in_force",
            "Digests that may be served now without an endorsement",
            metrics.in_force.clone(),
        );
        registry.register(
            "countersign_exemptions_unreadable",
            "Checks that found the exemptions file unreadable, so nothing was exempted",
            metrics.unreadable.clone(),
        );
        metrics
    }
}

/// Whether to log exemptions that start and end. A gate that serves does; a command that explains does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporting {
    Log,
    Nothing,
}

/// The exemptions of one gate. Clones are cheap and share one state.
#[derive(Clone)]
pub struct Exemptions {
    shared: Arc<Shared>,
}

struct Shared {
    file: ExemptionFile,
    clock: Clock,
    metrics: Metrics,
    reporting: Reporting,
    known: Mutex<LastReading>,
    /// Held while a thread reads the file.
    reading: Mutex<()>,
}

/// The last reading of the file.
#[derive(Default)]
struct LastReading {
    read_at: Option<Timestamp>,
    /// The version of the file that `all` was read from; `None` if it could not be read.
    stamp: Option<Stamp>,
    /// Those that have not ended. Ended ones are removed, so a clock that is set back does not revive them.
    all: Vec<Exemption>,
    error: Option<ExemptionsError>,
}

impl fmt::Debug for Exemptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exemptions").field("file", &self.shared.file).finish_non_exhaustive()
    }
}

impl Exemptions {
    /// The exemptions in `file`, which is read on first use.
    pub fn new(file: ExemptionFile, clock: Clock, metrics: Metrics, reporting: Reporting) -> Self {
        let (known, reading) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { file, clock, metrics, reporting, known, reading }) }
    }

    /// The exemptions in force now for that repository.
    pub fn of(&self, repository: &RepositoryRef) -> Vec<Exemption> {
        let now = self.shared.clock.now();
        self.shared.refresh(now, LOOK);
        let known = self.shared.known();
        let here = known.all.iter();
        let here = here.filter(|one| one.is_in(repository) && one.is_in_force(now));
        here.cloned().collect()
    }

    /// Checks the file if that is due, and logs what has started and ended. Call it periodically.
    pub fn tend(&self) {
        let now = self.shared.clock.now();
        self.shared.refresh(now, TEND);
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, LastReading> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file if the last reading is older than `every`. While one thread reads, perhaps from a disk that hangs,
    /// the others use the last reading; they wait only for the very first one.
    fn refresh(&self, now: Timestamp, every: Duration) {
        let is_due = |known: &LastReading| {
            known.read_at.is_none_or(|read_at| now < read_at || now.since(read_at) >= every)
        };
        let (due, first) = {
            let known = self.known();
            (is_due(&known), known.read_at.is_none())
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
                // The stamp is taken before the file is read, so a change in between is read the next time.
                .then(|| stamp.and_then(|stamp| Ok((stamp, self.file.read()?))));
            let mut known = self.known();
            known.read_at = Some(now);
            if let Some(read) = read {
                self.take(&mut known, read, now);
            }
        }
        drop(reading);
        let known = &mut *self.known();
        known.all.retain(|one| {
            let holds = now < one.says().until;
            if !holds {
                self.log_change(one, "an exemption has ended");
            }
            holds
        });
        let in_force = known.all.iter().filter(|one| one.is_in_force(now)).count();
        self.metrics.in_force.set(i64::try_from(in_force).unwrap_or(i64::MAX));
    }

    fn take(
        &self,
        known: &mut LastReading,
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
                    tracing::error!(%error, "cannot read the exemptions: nothing is exempted");
                }
                known.error = Some(error);
                (None, Vec::new())
            }
        };
        all.retain(|one| now < one.says().until);
        for gone in known.all.iter().filter(|one| !all.contains(one) && now < one.says().until) {
            self.log_change(gone, "an exemption was ended");
        }
        for new in all.iter().filter(|one| !known.all.contains(one)) {
            self.log_change(
                new,
                "an exemption is in force: this digest is served without an endorsement",
            );
        }
        (known.stamp, known.all) = (stamp, all);
    }

    fn log_change(&self, exemption: &Exemption, what: &'static str) {
        if self.reporting == Reporting::Nothing {
            return;
        }
        let Said { repository, digest, reason, by, made, until } = exemption.says();
        tracing::warn!(
            target: "countersign::exemption",
            {
            image.registry = repository.registry.as_str(),
            image.repository = repository.name.as_str(),
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
