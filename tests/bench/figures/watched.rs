//! The cost of processes according to `/proc`: their CPU time and memory.

use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The clock ticks of `/proc` per second, a constant of Linux.
const TICKS: f64 = 100.0;
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The user and system time of these processes since their start, all threads.
pub(crate) fn cpu_seconds(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| ticks(*pid)).sum::<f64>() / TICKS
}

fn ticks(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .unwrap_or_else(|error| panic!("process {pid} is gone: {error}"));
    // The name of the program may contain anything, and ends with the last parenthesis.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields = fields.split(' ').skip(11).take(2);
    fields.map(|field| field.parse::<f64>().unwrap()).sum()
}

/// Samples the anonymous resident memory of processes until [`Self::peak`].
pub(crate) struct Memory {
    stop: mpsc::Sender<()>,
    watch: JoinHandle<u64>,
}

impl Memory {
    pub(crate) fn watch(pids: Vec<u32>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let watch = thread::spawn(move || {
            let mut most = 0;
            loop {
                most = most.max(pids.iter().map(|pid| anonymous_kib(*pid)).sum());
                if stopped.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
                    return most;
                }
            }
        });
        Self { stop, watch }
    }

    /// The peak, in MiB.
    pub(crate) fn peak(self) -> f64 {
        self.stop.send(()).unwrap();
        self.watch.join().unwrap() as f64 / 1024.0
    }
}

fn anonymous_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .unwrap_or_else(|error| panic!("process {pid} is gone: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}
