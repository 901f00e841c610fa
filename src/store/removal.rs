//! One thread per store that removes and closes the files of ended downloads. Removing or closing a large file can be
//! slow, and never returns on a disk that hangs; threads that serve clients must not wait for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

/// The store starts no download while this many jobs wait, so that a slow disk cannot accumulate open files.
const MAX_WAITING: usize = 256;

type Job = Box<dyn FnOnce() + Send>;

/// The queue of that thread. The thread starts with the first job, and ends when this is dropped and the queue is empty.
/// Jobs that still wait when the process ends are lost: the next start empties `incoming`.
#[derive(Default)]
pub(super) struct Removal {
    queue: OnceLock<Option<Sender<Job>>>,
    waiting: Arc<AtomicUsize>,
}

impl Removal {
    /// Runs `job` on that thread. On a thread without an async runtime, which may wait for the disk, runs it in place.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        if Handle::try_current().is_err() {
            return job();
        }
        let Some(queue) = self.queue.get_or_init(start) else { return job() };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = self.waiting.clone();
        let counted = move || {
            job();
            waiting.fetch_sub(1, Ordering::Relaxed);
        };
        if let Err(unsent) = queue.send(Box::new(counted)) {
            (unsent.0)();
        }
    }

    /// Waits at most `most` for the jobs that were added so far.
    pub(super) fn wait(&self, most: Duration) {
        let Some(Some(queue)) = self.queue.get() else { return };
        let (done, all_done) = channel::<()>();
        let sent = queue.send(Box::new(move || drop(done)));
        if sent.is_ok() {
            // Ends when the job drops `done`.
            let _ = all_done.recv_timeout(most);
        }
    }

    /// Whether too many jobs wait, so that no new download should begin.
    pub(super) fn is_behind(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= MAX_WAITING
    }
}

/// Starts the thread; `None` if the system has no thread left.
fn start() -> Option<Sender<Job>> {
    let (sender, jobs) = channel();
    let run = move || run_all(&jobs);
    match thread::Builder::new().name("store-removal".to_owned()).spawn(run) {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::warn!(%error, "cannot start the thread that removes files of the store");
            None
        }
    }
}

fn run_all(jobs: &Receiver<Job>) {
    for job in jobs {
        job();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_runtime_a_job_runs_in_place() {
        let (ran, runs) = channel();
        Removal::default().run(move || ran.send(thread::current().id()).unwrap());
        assert_eq!(runs.try_recv().unwrap(), thread::current().id());
    }

    #[tokio::test]
    async fn a_job_that_hangs_delays_no_caller_and_stops_new_downloads_in_time() {
        let removal = Removal::default();
        let (answer, answers) = channel::<()>();
        removal.run(move || assert!(answers.recv().is_err()));
        let (ran, runs) = channel();
        for _ in 1..MAX_WAITING {
            assert!(!removal.is_behind());
            let ran = ran.clone();
            removal.run(move || ran.send(thread::current().id()).unwrap());
        }
        assert!(removal.is_behind());
        assert!(runs.try_recv().is_err());
        drop((answer, ran));
        let by: Vec<_> = runs.iter().collect();
        assert_eq!(by.len(), MAX_WAITING - 1);
        assert!(by.iter().all(|id| *id != thread::current().id()));
        while removal.is_behind() {
            tokio::task::yield_now().await;
        }
    }
}
