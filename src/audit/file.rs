//! The audit file, written by a thread of its own: whoever answers only hands a record over, and waits for
//! no disk. What finds no room on the way, or no disk, is counted and lost; nothing else is.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use thiserror::Error;

use super::config::Config;
use super::record::Record;
use super::rotated::{Lost, Rotated};
use crate::tasks::{Supervisor, Task};

/// How many records may wait for the writer.
const QUEUE: usize = 16 << 10;
/// How long the writer gathers what it writes at once.
const GATHER: Duration = Duration::from_millis(50);
/// How much it writes at once, in bytes, about.
const WRITE: usize = 64 << 10;
/// How often it looks whether it is to open the file again, while nothing comes.
const IDLE: Duration = Duration::from_secs(1);

/// Why there is no audit file.
#[derive(Debug, Error)]
pub enum AuditFileError {
    #[error(
        "the audit file {}: {error}; `[audit] path` must be a file in a folder that is there and that \
         the gate may write to", .path.display()
    )]
    Open { path: PathBuf, error: io::Error },
    #[error("the audit file has nobody to write it: {0}")]
    Thread(io::Error),
}

/// The records that are in no file, though there is one.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    lost: Counter,
}

impl Metrics {
    /// Makes the counter and registers it in `registry`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "countersign_audit_lost",
            "Decisions that are not in the audit file: it could not be written, or not fast enough",
            metrics.lost.clone(),
        );
        metrics
    }
}

/// The way to the audit file. Cheap to clone; the clones write one file.
#[derive(Clone, Debug)]
pub struct AuditFile {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: SyncSender<Message>,
    signals: Arc<Signals>,
    metrics: Metrics,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer is told beside records.
#[derive(Debug, Default)]
struct Signals {
    reopen: AtomicBool,
    /// How many records found no room in the queue since the writer last looked.
    overflowed: AtomicU64,
}

enum Message {
    Record(Arc<Record>),
    /// There is a signal.
    Look,
    End,
}

impl AuditFile {
    /// Opens the file, and begins to write what comes, in a thread that `supervisor` watches over.
    pub fn open(
        config: &Config,
        metrics: Metrics,
        supervisor: &Supervisor,
    ) -> Result<Self, AuditFileError> {
        let file = Rotated::open(config.clone())
            .map_err(|error| AuditFileError::Open { path: config.path.clone(), error })?;
        let (queue, records) = sync_channel(QUEUE);
        let signals = Arc::new(Signals::default());
        let mut writer = Writer {
            records,
            signals: signals.clone(),
            metrics: metrics.clone(),
            path: config.path.clone(),
            file,
            lines: Vec::with_capacity(WRITE),
            lost: None,
            behind: false,
            ends: false,
        };
        let supervisor = supervisor.clone();
        let thread = thread::Builder::new().name("audit".to_owned());
        let run = move || {
            supervisor.run_thread(Task::AuditFile, || writer.run(&supervisor));
        };
        let writer = thread.spawn(run).map_err(AuditFileError::Thread)?;
        let shared = Shared { queue, signals, metrics, writer: Mutex::new(Some(writer)) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Has `record` written. Waits for nothing: where the queue is full, it is counted and lost.
    pub(super) fn write(&self, record: Arc<Record>) {
        match self.shared.queue.try_send(Message::Record(record)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.metrics.lost.inc();
                self.shared.signals.overflowed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Has the file opened again that has the name now, before the next record is written: whoever rotates
    /// it has moved it away.
    pub fn reopen(&self) {
        self.shared.signals.reopen.store(true, Ordering::Release);
        // Where the queue is full, the writer is at work, and sees it by itself.
        let _ = self.shared.queue.try_send(Message::Look);
    }

    /// Writes all that was handed over, and ends.
    pub async fn close(&self) {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(writer) = writer else { return };
        let queue = self.shared.queue.clone();
        let ended = tokio::task::spawn_blocking(move || {
            // Where nobody takes it, the writer has ended already.
            let _ = queue.send(Message::End);
            writer.thread().unpark();
            writer.join().is_ok()
        });
        if !ended.await.unwrap_or(false) {
            tracing::error!("the writer of the audit file broke off");
        }
    }
}

/// Writes the records, some at a time.
struct Writer {
    records: Receiver<Message>,
    signals: Arc<Signals>,
    metrics: Metrics,
    path: PathBuf,
    file: Rotated,
    /// What is to be written.
    lines: Vec<u8>,
    /// How many lines were lost since the file could last be written.
    lost: Option<u64>,
    /// Whether the queue was full lately.
    behind: bool,
    /// Whether no more records come.
    ends: bool,
}

impl Writer {
    fn run(&mut self, supervisor: &Supervisor) {
        // What was in hand when this panicked may have been written in part.
        let in_hand = self.lines.iter().filter(|byte| **byte == b'\n').count();
        self.metrics.lost.inc_by(in_hand as u64);
        self.lines.clear();
        while !self.ends {
            supervisor.check(Task::AuditFile);
            self.ends = match self.records.recv_timeout(IDLE) {
                Ok(first) => {
                    let ends = self.take(&first);
                    if !ends {
                        // So that many records are one write, and those who hand them over wake nobody.
                        thread::park_timeout(GATHER);
                    }
                    ends | self.take_rest()
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            self.look();
            self.flush();
        }
        if let Err(error) = self.file.sync() {
            tracing::error!(path = %self.path.display(), %error, "the audit file may not be on the disk whole");
        }
    }

    /// Takes what waits; whether it was the last. Not for ever, however fast they come.
    fn take_rest(&mut self) -> bool {
        for _ in 0..QUEUE {
            let Ok(message) = self.records.try_recv() else { return false };
            if self.take(&message) {
                return true;
            }
            if self.lines.len() >= WRITE {
                self.look();
                self.flush();
            }
        }
        false
    }

    /// Takes up one message; whether it is the last.
    fn take(&mut self, message: &Message) -> bool {
        match message {
            Message::Record(record) => {
                let before = self.lines.len();
                match serde_json::to_writer(&mut self.lines, &**record) {
                    Ok(()) => self.lines.push(b'\n'),
                    Err(error) => {
                        self.lines.truncate(before);
                        self.metrics.lost.inc();
                        tracing::error!(%error, "a decision could not be written out");
                    }
                }
                false
            }
            Message::Look => false,
            Message::End => true,
        }
    }

    /// Looks at what else there is to do.
    fn look(&mut self) {
        let overflowed = self.signals.overflowed.swap(0, Ordering::Relaxed);
        if overflowed > 0 && !self.behind {
            tracing::error!(
                path = %self.path.display(), lost = overflowed,
                "decisions are lost to the audit file: more come than its disk takes; \
                 countersign_audit_lost_total counts them"
            );
        }
        self.behind = overflowed > 0;
        if self.signals.reopen.swap(false, Ordering::Acquire) {
            match self.file.reopen() {
                Ok(()) => {
                    tracing::info!(path = %self.path.display(), "the audit file was opened again");
                }
                Err(error) => tracing::error!(
                    path = %self.path.display(), %error,
                    "the audit file cannot be opened again; the one before is still written"
                ),
            }
        }
    }

    fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        match self.file.write(&self.lines) {
            Ok(()) => {
                if let Some(lost) = self.lost.take() {
                    tracing::info!(path = %self.path.display(), lost, "the audit file is written again");
                }
            }
            Err(Lost { lines, why }) => {
                self.metrics.lost.inc_by(lines);
                if self.lost.is_none() {
                    tracing::error!(
                        path = %self.path.display(), error = %why,
                        "the audit file cannot be written: decisions are lost to it until it can, and \
                         countersign_audit_lost_total counts them"
                    );
                }
                self.lost = Some(self.lost.unwrap_or(0) + lines);
            }
        }
        self.lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::record::tests::undecided;
    use super::*;

    fn record(number: usize) -> Arc<Record> {
        let id = format!("{number:016x}").parse().unwrap();
        Arc::new(undecided(id, "r.example/a:1", "silence"))
    }

    fn folder(name: &str) -> PathBuf {
        let name = format!("countersign-audit-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[tokio::test]
    async fn all_that_was_handed_over_is_written_in_its_order_before_the_end() {
        let folder = folder("order");
        let config = Config { path: folder.join("audit"), max_size: 64 << 10, keep: 1_000 };
        let metrics = Metrics::default();
        let file = AuditFile::open(&config, metrics.clone(), &Supervisor::default()).unwrap();
        let count = QUEUE / 2;
        for number in 0..count {
            file.write(record(number));
        }
        file.close().await;
        let mut seen = Vec::new();
        for number in
            (1..=1_000).rev().map(|number| format!("audit.{number}")).chain(["audit".into()])
        {
            let Ok(text) = std::fs::read_to_string(folder.join(number)) else { continue };
            assert!(text.len() as u64 <= config.max_size);
            seen.extend(text.lines().map(|line| {
                let told: Value = serde_json::from_str(line).unwrap();
                usize::from_str_radix(told["request_id"].as_str().unwrap(), 16).unwrap()
            }));
        }
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
        assert_eq!(metrics.lost.get(), 0);
        // Whoever comes after the end is counted.
        file.write(record(0));
        assert_eq!(metrics.lost.get(), 1);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_counted_and_goes_on_when_it_can() {
        let folder = folder("gone");
        let config = Config { path: folder.join("audit"), max_size: 64 << 10, keep: 1 };
        let metrics = Metrics::default();
        let file = AuditFile::open(&config, metrics.clone(), &Supervisor::default()).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        file.write(record(1));
        while metrics.lost.get() == 0 {
            thread::yield_now();
        }
        std::fs::create_dir_all(&folder).unwrap();
        file.write(record(2));
        file.close().await;
        let text = std::fs::read_to_string(&config.path).unwrap();
        assert_eq!((text.lines().count(), metrics.lost.get()), (1, 1));
        assert!(text.contains("0000000000000002"), "{text}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_left_once_it_is_opened_again() {
        let folder = folder("moved");
        let config = Config { path: folder.join("audit"), max_size: 64 << 10, keep: 1 };
        let file = AuditFile::open(&config, Metrics::default(), &Supervisor::default()).unwrap();
        std::fs::rename(&config.path, folder.join("away")).unwrap();
        file.reopen();
        while !config.path.exists() {
            thread::yield_now();
        }
        file.write(record(1));
        file.close().await;
        assert_eq!(std::fs::metadata(folder.join("away")).unwrap().len(), 0);
        assert_eq!(std::fs::read_to_string(&config.path).unwrap().lines().count(), 1);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_folder_that_is_missing_at_the_start_is_an_error_that_names_it() {
        let config = Config { path: "/nowhere/at/all".into(), max_size: 64 << 10, keep: 1 };
        let error = AuditFile::open(&config, Metrics::default(), &Supervisor::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all") && error.contains("[audit] path"), "{error}");
    }
}
