//! Maintains a store while it is used: writes recorded uses to the index, retries what failed, scrubs, and
//! sweeps after a crash.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::disk::Disk;
use super::metrics::Operation;
use super::scrub::Scrub;

/// The interval of maintenance.
const TICK: Duration = Duration::from_secs(10);
/// How long shutdown waits for files to be removed. The next start removes the rest.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// How many bytes a probe of the disk writes.
const PROBE: usize = 64 << 10;

/// The maximum time between two checks for content that is due for scrubbing.
const IDLE: Duration = Duration::from_secs(60);

/// Maintains and scrubs `disk` until `shutdown`.
pub(super) async fn run(disk: &Arc<Disk>, shutdown: &CancellationToken) {
    tokio::join!(maintain(disk, shutdown), scrub(disk, shutdown));
}

/// Scrubs the stored content, piece by piece.
async fn scrub(disk: &Arc<Disk>, shutdown: &CancellationToken) {
    let mut scrub = Scrub::new(disk.clone());
    let idle = IDLE.min(disk.scrub_every);
    let mut pause = idle;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let now = disk.clock.now();
        let stepped = tokio::task::spawn_blocking(move || {
            let step = scrub.step(now);
            (scrub, step)
        });
        (scrub, pause) = match stepped.await {
            Ok((scrub, step)) => (scrub, step.pause(idle)),
            Err(error) => {
                tracing::error!(%error, "scrubbing the store panicked");
                (Scrub::new(disk.clone()), idle)
            }
        };
    }
}

/// Runs the maintenance at each tick, and a last time after `shutdown`.
async fn maintain(disk: &Arc<Disk>, shutdown: &CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let last = tokio::select! {
            () = shutdown.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let (disk, ended) = (disk.clone(), shutdown.clone());
        let maintained = tokio::task::spawn_blocking(move || {
            disk.maintain(|| !ended.is_cancelled());
            if last {
                disk.removal.wait(MAX_WAIT);
            }
        });
        if let Err(error) = maintained.await {
            tracing::error!(%error, "maintenance of the store panicked");
        }
        if last {
            return;
        }
    }
}

impl Disk {
    /// Runs the maintenance that is due. Long work stops when `go_on` returns false.
    pub(super) fn maintain(&self, go_on: impl Fn() -> bool) {
        self.ensure_open();
        self.recent.forget_unused(self.clock.now());
        self.warm.forget_old();
        if self.index.is_pending() || !self.health.is_good() {
            // A failed write closes the database: probe the disk before writing to it.
            match self.probe() {
                Ok(()) => {
                    self.health.worked();
                    self.index.flush();
                }
                Err(error) => self.health.failed(Operation::Write, &error),
            }
        }
        if let Some(folder) = self.health.unwritten_memory() {
            // Trust data may not be requested for a long time: do not wait until it is written again.
            match folder.probe(PROBE) {
                Ok(()) => self.health.memory_worked(&folder),
                Err(error) => tracing::debug!(%error, "the trust memory still cannot be written"),
            }
        }
        if self.unswept.load(Ordering::Relaxed) && self.index.is_open() {
            self.shrink();
            if self.sweep(go_on) {
                self.unswept.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Writes a file, syncs it, and removes it.
    fn probe(&self) -> io::Result<()> {
        let path = self.layout.incoming();
        let written = File::create_new(&path).and_then(|mut file| {
            file.write_all(&vec![0; PROBE])?;
            file.sync_all()
        });
        let removed = fs::remove_file(&path);
        written.and(removed)
    }
}
