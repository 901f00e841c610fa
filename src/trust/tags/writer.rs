//! The one thread that writes the database. It takes all waiting notes, writes them in one transaction, and then answers
//! the callers. It also handles other processes' requests to forget a tag, and retries to open a database that could not be
//! read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::database::{Change, Database};
use super::known::{Lookup, Records};
use super::record::Remembered;
use super::{IfOlder, Key, Need, Needs, Noted, TagsError, forget};
use crate::clock::Timestamp;
use crate::oci::Digest;
use crate::store::InPlace;

/// The most notes in one transaction.
const MAX_BATCH: usize = 1_000;
/// How long a record that no rule depends on may wait to be written with others.
const LINGER: Duration = Duration::from_secs(1);
/// How often to check for requests of other processes.
const POLL: Duration = Duration::from_millis(100);
/// How often to retry to open a database that cannot be read.
const REOPEN: Duration = Duration::from_secs(5);
/// How long to wait at the start while another process has the database open to forget a tag.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long not to repeat a search for records to evict that found none.
const FULL: Duration = Duration::from_secs(10);

/// An admission to record.
pub(super) struct Note {
    pub(super) key: Key,
    pub(super) digest: Digest,
    pub(super) signed: Option<Timestamp>,
    pub(super) now: Timestamp,
    pub(super) if_older: IfOlder,
    pub(super) need: Need,
    pub(super) needs: Needs,
}

type Answer = Result<(), TagsError>;
type NoteAnswer = Result<Noted, TagsError>;

enum Job {
    Note(Note, oneshot::Sender<NoteAnswer>),
    Forget(Key, Sender<Result<Option<Remembered>, TagsError>>),
    Close,
}

/// The writer thread. It ends when this is dropped.
pub(super) struct Writer {
    jobs: Sender<Job>,
    ended: CancellationToken,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Opens the database in `folder`, reads it into `known`, and starts the thread.
    pub(super) fn start(folder: &Path, known: &Arc<RwLock<Records>>) -> Result<Self, TagsError> {
        let (jobs, waiting) = channel();
        let mut writing = Writing {
            folder: folder.to_owned(),
            place: InPlace::open(folder).map_err(|error| super::failed(folder, &error))?,
            known: known.clone(),
            database: None,
            pending: Vec::new(),
            since: Instant::now(),
            tried: Instant::now(),
            full: None,
        };
        let end = Instant::now() + PATIENCE;
        loop {
            match writing.open() {
                Err(error @ TagsError::InUse(_)) if Instant::now() >= end => return Err(error),
                Err(TagsError::InUse(_)) => sleep(POLL),
                Err(error) => {
                    tracing::error!(%error, "the history of tags cannot be used");
                    writing.change(|known| *known = Records::unreadable(error));
                    break;
                }
                Ok(()) => break,
            }
        }
        let thread = Builder::new().name("tag-memory".to_owned());
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let thread = thread.spawn(move || {
            let _guard = guard;
            writing.run(&waiting);
        });
        let thread = thread.map_err(|error| super::failed(folder, &error))?;
        Ok(Self { jobs, ended, thread: Mutex::new(Some(thread)) })
    }

    /// Waits until the thread has ended.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Compares `note` with the record and records it. If a rule depends on it, it is on disk when this returns.
    pub(super) async fn note(&self, note: Note) -> NoteAnswer {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job::Note(note, answer)).map_err(|_| TagsError::Closed)?;
        answered.await.unwrap_or(Err(TagsError::Closed))
    }

    pub(super) fn forget(&self, key: Key) -> Result<Option<Remembered>, TagsError> {
        let (answer, answered) = channel();
        self.jobs.send(Job::Forget(key, answer)).map_err(|_| TagsError::Closed)?;
        answered.recv().unwrap_or(Err(TagsError::Closed))
    }

    /// Writes pending changes and ends the thread.
    pub(super) fn close(&self) {
        // Fails if the thread has already ended.
        let _ = self.jobs.send(Job::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes the history of tags panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// The state of the thread.
struct Writing {
    folder: PathBuf,
    /// The open folder. If its path leads to another folder, another process may own that.
    place: InPlace,
    known: Arc<RwLock<Records>>,
    /// `None` while it cannot be read.
    database: Option<Database>,
    /// Changes that are not written yet.
    pending: Vec<Change>,
    /// When the first of them was added.
    since: Instant,
    /// When opening the database was last tried.
    tried: Instant,
    /// The last search for records to evict that found none.
    full: Option<(TagsError, Instant)>,
}

impl Writing {
    fn open(&mut self) -> Answer {
        self.tried = Instant::now();
        self.check()?;
        let (database, known) = Database::open(&self.folder)?;
        self.database = Some(database);
        self.change(|old| *old = known);
        Ok(())
    }

    fn change<T>(&self, how: impl FnOnce(&mut Records) -> T) -> T {
        how(&mut self.known.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn read<T>(&self, how: impl FnOnce(&Records) -> T) -> T {
        how(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn run(mut self, waiting: &Receiver<Job>) {
        loop {
            let first = match waiting.recv_timeout(POLL) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Job::Close),
            };
            let mut notes = Vec::new();
            let mut closes = false;
            for job in first.into_iter().chain(waiting.try_iter().take(MAX_BATCH)) {
                match job {
                    Job::Note(note, answer) => notes.push((note, answer)),
                    Job::Forget(key, answer) => {
                        let forgotten = self.forget(&key);
                        // The caller may be gone.
                        let _ = answer.send(forgotten);
                    }
                    Job::Close => closes = true,
                }
            }
            self.record(notes);
            if closes || self.since.elapsed() >= LINGER || self.pending.len() >= MAX_BATCH {
                // `flush` logs a failure. No caller waits for these records, because no rule depends on them.
                let _ = self.flush();
            }
            if closes {
                return;
            }
            self.poll();
        }
    }

    /// Records the notes and answers their callers.
    fn record(&mut self, notes: Vec<(Note, oneshot::Sender<NoteAnswer>)>) {
        if self.pending.is_empty() {
            self.since = Instant::now();
        }
        let mut waiting = Vec::new();
        for (note, answer) in notes {
            match self.apply(&note) {
                Ok(noted) if note.need == Need::Required => waiting.push((noted, answer)),
                // The caller may be gone.
                outcome => drop(answer.send(outcome)),
            }
        }
        if waiting.is_empty() {
            return;
        }
        let outcome = self.flush();
        for (noted, answer) in waiting {
            let _ = answer.send(outcome.clone().map(|()| noted));
        }
    }

    /// Compares a note with the record, makes room for it, and updates the record in memory.
    fn apply(&mut self, note: &Note) -> NoteAnswer {
        let (repository, tag) = &note.key;
        let before = match self.read(|known| known.find(repository, tag))? {
            Lookup::Record(before, _) => Some(before),
            Lookup::Nothing => None,
            Lookup::Corrupt => {
                return Err(TagsError::CorruptRecord(super::database::path(&self.folder)));
            }
        };
        let noted = Remembered::compare(before.as_ref(), &note.digest, note.signed);
        if noted != Noted::Recorded && note.if_older == IfOlder::Reject {
            return Ok(noted);
        }
        if before.is_none() {
            for evicted in self.make_room(note)? {
                self.change(|known| known.remove(&evicted));
                self.pending.push(Change::Remove(evicted));
            }
        }
        let record = Remembered::after(before.as_ref(), &note.digest, note.signed, note.now);
        // Later notes of this batch are compared with it. If a rule depends on it, the caller waits for the write.
        self.change(|known| known.put(&note.key, record, false));
        self.pending.push(Change::Put(note.key.clone(), record));
        Ok(noted)
    }

    fn make_room(&mut self, note: &Note) -> Result<Vec<Key>, TagsError> {
        match &self.full {
            Some((_, since)) if since.elapsed() >= FULL => self.full = None,
            Some((full @ TagsError::Full { of, .. }, _))
                if *of == note.key.0.to_string() || !of.contains('/') =>
            {
                return Err(full.clone());
            }
            Some(_) | None => {}
        }
        let room = self.read(|known| known.make_room(&note.key, &note.needs));
        if let Err(full) = &room {
            tracing::error!(error = %full, "the history of a tag cannot be recorded");
            self.full = Some((full.clone(), Instant::now()));
        }
        room
    }

    /// Writes the pending changes.
    fn flush(&mut self) -> Answer {
        if self.pending.is_empty() {
            return Ok(());
        }
        let Some(database) = &self.database else {
            self.pending.clear();
            return Err(self.closed());
        };
        let written = self.check().and_then(|()| database.write(&self.pending));
        match &written {
            Ok(()) => {
                let put = std::mem::take(&mut self.pending);
                self.change(|known| {
                    for change in &put {
                        if let Change::Put(key, record) = change
                            && known.has(key)
                        {
                            known.put(key, *record, true);
                        }
                    }
                });
            }
            Err(error) => {
                tracing::error!(%error, "the history of tags cannot be written");
                self.pending.clear();
            }
        }
        written
    }

    fn check(&self) -> Answer {
        self.place.check().map_err(|error| TagsError::Unwritable {
            path: super::database::path(&self.folder),
            why: error.to_string(),
        })
    }

    fn closed(&self) -> TagsError {
        let path = super::database::path(&self.folder);
        TagsError::Unwritable { path, why: "the database could not be read".to_owned() }
    }

    fn forget(&mut self, key: &Key) -> Result<Option<Remembered>, TagsError> {
        self.flush()?;
        if !self.read(|known| known.has(key)) {
            return Ok(None);
        }
        let Some(database) = &self.database else { return Err(self.closed()) };
        self.check()?;
        database.write(&[Change::Remove(key.clone())])?;
        self.full = None;
        Ok(self.change(|known| known.remove(key)))
    }

    /// Handles requests of other processes, and retries to open what could not be read.
    fn poll(&mut self) {
        for (file, key) in forget::pending(&self.folder) {
            match self.forget(&key) {
                Ok(_) => {
                    if let Err(error) = fs::remove_file(&file) {
                        tracing::error!(path = %file.display(), %error, "cannot remove a request to forget a tag");
                    }
                }
                Err(error) => tracing::error!(%error, "cannot forget a tag"),
            }
        }
        if self.tried.elapsed() < REOPEN {
            return;
        }
        if self.database.is_none() {
            if let Err(error) = self.open() {
                tracing::debug!(%error, "the history of tags is still unusable");
            }
        } else if self.read(Records::has_damaged) {
            self.tried = Instant::now();
            self.move_files();
        }
    }

    fn move_files(&mut self) {
        let Some(database) = &self.database else { return };
        match database.move_files(|key| self.read(|known| known.has(key))) {
            Ok(files) => self.change(|known| known.take(files)),
            Err(error) => tracing::error!(%error, "files of the history of tags cannot be read"),
        }
    }
}
