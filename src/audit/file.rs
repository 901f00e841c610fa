//! The audit file. A thread of its own writes it: request tasks only queue records and never wait for the disk.
//! A record is lost, and counted, only if the queue is full or the disk fails.

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

/// How many records the queue holds.
const QUEUE: usize = 16 << 10;
/// How long the writer collects records for one write.
const GATHER: Duration = Duration::from_millis(50);
/// About how many bytes it writes at once.
const WRITE: usize = 64 << 10;
/// How often an idle writer checks whether it must reopen the file.
const IDLE: Duration = Duration::from_secs(1);

/// Why the audit file cannot be opened.
#[derive(Debug, Error)]
pub enum AuditFileError {
    #[error(
        "the audit file {}: {error}; `[audit] path` must name a file in an existing \
         folder that the gate can write to", .path.display()
    )]
    Open { path: PathBuf, error: io::Error },
    #[error("cannot start the audit writer thread: {0}")]
    Thread(io::Error),
}

/// Counts the records that did not reach the audit file.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    lost: Counter,
}

impl Metrics {
    /// Creates the counter and registers it in `registry`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "countersign_audit_lost",
            "Decisions missing from the audit file because writing failed or was too slow",
            metrics.lost.clone(),
        );
        metrics
    }
}

/// A handle to the audit file. Clones are cheap and share one writer.
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

/// What the writer is asked to do besides writing records.
#[derive(Debug, Default)]
struct Signals {
    reopen: AtomicBool,
    /// How many records did not fit into the queue since the writer last checked.
    overflowed: AtomicU64,
}

enum Message {
    Record(Arc<Record>),
    /// Check the signals.
    Look,
    End,
}

impl AuditFile {
    /// Opens the file and starts the writer in a thread that `supervisor` monitors.
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

    /// Queues `record` without waiting. If the queue is full, the record is lost and counted.
    pub(super) fn write(&self, record: Arc<Record>) {
        match self.shared.queue.try_send(Message::Record(record)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.metrics.lost.inc();
                self.shared.signals.overflowed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Reopens the file by its name before the next record is written, because a log rotator has moved the old one away.
    pub fn reopen(&self) {
        self.shared.signals.reopen.store(true, Ordering::Release);
        // If the queue is full, the writer is running and checks the signal anyway.
        let _ = self.shared.queue.try_send(Message::Look);
    }

    /// Writes all queued records and ends the writer.
    pub async fn close(&self) {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(writer) = writer else { return };
        let queue = self.shared.queue.clone();
        let ended = tokio::task::spawn_blocking(move || {
            // If sending fails, the writer has already ended.
            let _ = queue.send(Message::End);
            writer.thread().unpark();
            writer.join().is_ok()
        });
        if !ended.await.unwrap_or(false) {
            tracing::error!("audit writer panicked");
        }
    }
}

/// Writes the records in batches.
struct Writer {
    records: Receiver<Message>,
    signals: Arc<Signals>,
    metrics: Metrics,
    path: PathBuf,
    file: Rotated,
    /// The lines of the current batch.
    lines: Vec<u8>,
    /// How many lines were lost since writes began to fail.
    lost: Option<u64>,
    /// Whether the queue was full at the last check.
    behind: bool,
    /// Whether no more records will come.
    ends: bool,
}

impl Writer {
    fn run(&mut self, supervisor: &Supervisor) {
        // After a panic: the current batch may be partly written.
        let in_hand = self.lines.iter().filter(|byte| **byte == b'\n').count();
        self.metrics.lost.inc_by(in_hand as u64);
        self.lines.clear();
        while !self.ends {
            supervisor.check(Task::AuditFile);
            self.ends = match self.records.recv_timeout(IDLE) {
                Ok(first) => {
                    let ends = self.take(&first);
                    if !ends {
                        // Collects a batch, so that one write covers many records and senders need not wake the writer.
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
            tracing::error!(path = %self.path.display(), %error, "cannot sync the audit file to disk");
        }
    }

    /// Takes the queued messages; returns whether they include the end. Bounded, so that it returns under constant
    /// load.
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

    /// Takes one message; returns whether it is the end.
    fn take(&mut self, message: &Message) -> bool {
        match message {
            Message::Record(record) => {
                let before = self.lines.len();
                match serde_json::to_writer(&mut self.lines, &**record) {
                    Ok(()) => self.lines.push(b'\n'),
                    Err(error) => {
                        self.lines.truncate(before);
                        self.metrics.lost.inc();
                        tracing::error!(%error, "cannot encode an audit record");
                    }
                }
                false
            }
            Message::Look => false,
            Message::End => true,
        }
    }

    /// Handles the signals.
    fn look(&mut self) {
        let overflowed = self.signals.overflowed.swap(0, Ordering::Relaxed);
        if overflowed > 0 && !self.behind {
            tracing::error!(
                path = %self.path.display(), lost = overflowed,
                "audit records lost: the disk is too slow; \
                 countersign_audit_lost_total counts them"
            );
        }
        self.behind = overflowed > 0;
        if self.signals.reopen.swap(false, Ordering::Acquire) {
            match self.file.reopen() {
                Ok(()) => {
                    tracing::info!(path = %self.path.display(), "reopened the audit file");
                }
                Err(error) => tracing::error!(
                    path = %self.path.display(), %error,
                    "cannot reopen the audit file; still writing to the old one"
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
                    tracing::info!(path = %self.path.display(), lost, "the audit file is writable again");
                }
            }
            Err(Lost { lines, why }) => {
                self.metrics.lost.inc_by(lines);
                if self.lost.is_none() {
                    tracing::error!(
                        path = %self.path.display(), error = %why,
                        "cannot write the audit file: decisions are lost until it is writable; \
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
    async fn close_writes_all_queued_records_in_order() {
        let folder = folder("order");
        let config = Config { path: folder.join("audit"), max_size: 64 << 10, keep: 1_000 };
        let metrics = Metrics::default();
        let file = AuditFile::open(&config, metrics.clone(), &Supervisor::default()).unwrap();
        let count = QUEUE / 2;
        for number in 0..count {
            file.write(record(number));
        }
        file.close().await;
        let mut numbers = Vec::new();
        for number in
            (1..=1_000).rev().map(|number| format!("audit.{number}")).chain(["audit".into()])
        {
            let Ok(text) = std::fs::read_to_string(folder.join(number)) else { continue };
            assert!(text.len() as u64 <= config.max_size);
            numbers.extend(text.lines().map(|line| {
                let event: Value = serde_json::from_str(line).unwrap();
                usize::from_str_radix(event["request_id"].as_str().unwrap(), 16).unwrap()
            }));
        }
        assert_eq!(numbers, (0..count).collect::<Vec<_>>());
        assert_eq!(metrics.lost.get(), 0);
        // A record after the end is counted as lost.
        file.write(record(0));
        assert_eq!(metrics.lost.get(), 1);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn lost_records_are_counted_and_writing_resumes() {
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
    async fn reopen_leaves_a_file_that_was_moved_away() {
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
    fn a_missing_folder_is_an_error_that_names_it() {
        let config = Config { path: "/nowhere/at/all".into(), max_size: 64 << 10, keep: 1 };
        let error = AuditFile::open(&config, Metrics::default(), &Supervisor::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all") && error.contains("[audit] path"), "{error}");
    }
}
