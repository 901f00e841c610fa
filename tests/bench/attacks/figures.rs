//! What an attack did to the gate and to a bystander, compared with the targets.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::bystander::Pulls;
use crate::site::Site;
use crate::{CALM, COLD, KERNEL, LONGEST, MANIFEST, MEMORY};

/// The figures of one attack.
pub(crate) struct Figures {
    line: String,
    /// The targets that were missed.
    pub(crate) missed: Vec<String>,
}

/// The most that the gate used.
#[derive(Default)]
pub(crate) struct Peak {
    connections: u64,
    resident: u64,
    /// Bytes that the kernel buffers for the clients of the public listener.
    unsent: u64,
    /// Bytes of all TCP sockets of this machine.
    sockets: u64,
}

/// Measures the gate until it is stopped.
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Peak>,
}

impl Sampler {
    pub(crate) fn start(site: &Arc<Site>) -> Self {
        let (site, stop) = (site.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut peak = Peak::default();
            while !stopped.load(Ordering::Relaxed) {
                let (connections, unsent) = site.connections();
                peak.connections = peak.connections.max(connections);
                peak.resident = peak.resident.max(site.resident());
                peak.unsent = peak.unsent.max(unsent);
                peak.sockets = peak.sockets.max(sockets());
                thread::sleep(Duration::from_millis(50));
            }
            peak
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Peak {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Figures {
    pub(crate) const HEADER: &'static str = "attack                    \
        manifest p50       p99 (n)  slowest /livez  cold blob  connections  RSS peak  RSS after  unsent  sockets  calm after";

    pub(crate) fn new(
        name: &str,
        pulls: &Pulls,
        cold: Duration,
        peak: &Peak,
        calm: Duration,
        resident: u64,
    ) -> Self {
        let (p99, count) = (pulls.percentile(99), pulls.count());
        let line = format!(
            "{name:<26}{:>9.1} ms{:>9.1} ms ({count}){:>9.1} ms{:>8.2} s{:>12}{:>7} MiB{:>7} MiB{:>4} MiB{:>4} MiB{:>9.1} s",
            milliseconds(pulls.percentile(50)),
            milliseconds(p99),
            milliseconds(pulls.slowest_check),
            cold.as_secs_f64(),
            peak.connections,
            peak.resident >> 20,
            resident >> 20,
            peak.unsent >> 20,
            peak.sockets >> 20,
            calm.as_secs_f64(),
        );
        let (percentile, longest) = MANIFEST;
        let manifest = pulls.percentile(percentile);
        let targets = [
            (pulls.failed == 0, format!("{} manifests were not served", pulls.failed)),
            (count >= 5, format!("only {count} manifests were requested")),
            (manifest <= longest, format!("manifest p{percentile} {manifest:?}")),
            (
                pulls.percentile(100) <= LONGEST,
                format!("a manifest after {:?}", pulls.percentile(100)),
            ),
            (pulls.slowest_check <= COLD, format!("/livez after {:?}", pulls.slowest_check)),
            (cold <= COLD, format!("cold blob after {cold:?}")),
            (peak.resident <= MEMORY, format!("{} MiB resident", peak.resident >> 20)),
            (
                peak.unsent <= peak.connections * KERNEL,
                format!("{} MiB unsent to {} clients", peak.unsent >> 20, peak.connections),
            ),
            (calm <= CALM, format!("calm after {calm:?}")),
        ];
        let missed = targets.into_iter().filter(|(met, _)| !met);
        Self { line, missed: missed.map(|(_, figure)| format!("{name}: {figure}")).collect() }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The bytes of all TCP sockets of this machine.
fn sockets() -> u64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let (_, pages) = line.split_once("mem ").unwrap();
    pages.trim().parse::<u64>().unwrap() * 4096
}
