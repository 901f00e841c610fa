//! Looks after a store for as long as it is used: writes down what was used, tries again what failed,
//! and sweeps up after a crash.

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

/// How often.
const TICK: Duration = Duration::from_secs(10);
/// How long the end waits for files to be removed. The next start removes what is left.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// How much is written to see whether the disk is good.
const PROBE: usize = 64 << 10;

/// How often it is looked whether something is to be scrubbed, while nothing is: at least.
const IDLE: Duration = Duration::from_secs(60);

/// Looks after `disk` until `shutdown`.
pub(super) async fn tend(disk: &Arc<Disk>, shutdown: &CancellationToken) {
    tokio::join!(look_after(disk, shutdown), scrub(disk, shutdown));
}

/// Reads what is kept, a little at a time.
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
                tracing::error!(%error, "scrubbing the store broke off");
                (Scrub::new(disk.clone()), idle)
            }
        };
    }
}

/// Does what is due now and then, and, after `shutdown`, a last time.
async fn look_after(disk: &Arc<Disk>, shutdown: &CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let last = tokio::select! {
            () = shutdown.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let (disk, ended) = (disk.clone(), shutdown.clone());
        let looked = tokio::task::spawn_blocking(move || {
            disk.look_after(|| !ended.is_cancelled());
            if last {
                disk.removal.wait(MAX_WAIT);
            }
        });
        if let Err(error) = looked.await {
            tracing::error!(%error, "looking after the store broke off");
        }
        if last {
            return;
        }
    }
}

impl Disk {
    /// Does what is due, and what takes long only for as long as `go_on` says so.
    pub(super) fn look_after(&self, go_on: impl Fn() -> bool) {
        self.see_to();
        self.recent.forget_unused(self.clock.now());
        self.warm.forget_old();
        if self.facts.is_pending() || !self.health.is_good() {
            // The database takes it ill when the disk fails it: it is asked for nothing before that
            // is known.
            match self.probe() {
                Ok(()) => {
                    self.health.worked();
                    self.facts.flush();
                }
                Err(error) => self.health.failed(Operation::Write, &error),
            }
        }
        if self.unswept.load(Ordering::Relaxed) && self.facts.is_open() {
            self.shrink();
            if self.sweep(go_on) {
                self.unswept.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Writes something, and removes it.
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
