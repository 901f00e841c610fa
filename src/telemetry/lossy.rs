//! Standard error for a process that serves: logging never blocks and never fails. Events go into a bounded buffer,
//! and one thread writes them. An event that does not fit, or cannot be written, is lost and counted.

use std::io::{self, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// The size of the buffer in bytes; a single event may be longer.
const ROOM: usize = 1 << 20;
/// How long the thread waits if standard error is full and non-blocking.
const FULL: Duration = Duration::from_millis(50);

/// The sending end. Clones share one buffer.
#[derive(Clone, Debug)]
pub(super) struct Lossy {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    lost: Counter,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whole events, each with its line break.
    text: Vec<u8>,
    writing: bool,
    ends: bool,
}

impl Lossy {
    /// Starts the thread that writes to `to`. `lost` counts lost events.
    pub(super) fn start(to: impl Write + Send + 'static, lost: Counter) -> io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), lost });
        let mut writer = Writer { shared: shared.clone(), to, torn: false, reported: 0 };
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            // Reporting lost events runs the formatter, the only part that could panic.
            while catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {}
        })?;
        Ok(Self { shared })
    }

    /// Queues one event.
    pub(super) fn push(&self, event: &[u8]) {
        let mut queue = self.shared.lock();
        if queue.ends || !queue.text.is_empty() && queue.text.len() + event.len() > ROOM {
            drop(queue);
            self.shared.lost.inc();
            return;
        }
        let wake = queue.text.is_empty();
        queue.text.extend_from_slice(event);
        drop(queue);
        if wake {
            self.shared.changed.notify_all();
        }
    }

    /// Waits until everything is written, for at most `limit`. Later events are lost.
    pub(super) fn finish(&self, limit: Duration) {
        let mut queue = self.shared.lock();
        queue.ends = true;
        self.shared.changed.notify_all();
        let waits = |queue: &mut Queue| queue.writing || !queue.text.is_empty();
        drop(self.shared.changed.wait_timeout_while(queue, limit, waits));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Writer<W> {
    shared: Arc<Shared>,
    to: W,
    /// Whether the last line was written only in part.
    torn: bool,
    /// How many lost events were already reported in the log.
    reported: u64,
}

impl<W: Write> Writer<W> {
    /// Writes events until the end.
    fn run(&mut self) {
        while let Some(text) = self.next() {
            let written = self.write(&text);
            let lost = text[written..].iter().filter(|byte| **byte == b'\n').count();
            self.shared.lost.inc_by(lost as u64);
            self.shared.lock().writing = false;
            self.shared.changed.notify_all();
            let all = self.shared.lost.get();
            if lost == 0 && all > self.reported {
                let lost = all - self.reported;
                self.reported = all;
                tracing::warn!(
                    lost,
                    "log events were lost: writing to standard error failed or was too slow"
                );
            }
        }
    }

    /// The queued events; `None` at the end.
    fn next(&self) -> Option<Vec<u8>> {
        let idle = |queue: &mut Queue| queue.text.is_empty() && !queue.ends;
        let waited = self.shared.changed.wait_while(self.shared.lock(), idle);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        if queue.text.is_empty() {
            return None;
        }
        queue.writing = true;
        Some(std::mem::take(&mut queue.text))
    }

    /// Returns how many bytes of `text` were written.
    fn write(&mut self, text: &[u8]) -> usize {
        if self.torn && self.write_some(b"\n") == 1 {
            self.torn = false;
        }
        if self.torn {
            return 0;
        }
        let written = self.write_some(text);
        self.torn = written > 0 && text[written - 1] != b'\n';
        written
    }

    fn write_some(&mut self, text: &[u8]) -> usize {
        let mut written = 0;
        while written < text.len() {
            match self.to.write(&text[written..]) {
                Ok(0) => break,
                Ok(some) => written += some,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL),
                Err(_) => break,
            }
        }
        written
    }
}

/// Receives one event, which the formatter writes in one call.
pub(super) struct Pen<'a>(&'a Lossy);

impl Write for Pen<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.push(event);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lossy {
    type Writer = Pen<'a>;

    fn make_writer(&'a self) -> Pen<'a> {
        Pen(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Forwards each write, and returns the result that the test sends back.
    struct Scripted(Sender<Vec<u8>>, Receiver<io::Result<usize>>);

    impl Write for Scripted {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.send(text.to_vec()).unwrap();
            self.1.recv().unwrap()
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn scripted() -> (Lossy, Receiver<Vec<u8>>, Sender<io::Result<usize>>, Counter) {
        let ((wrote, written), (answer, answers)) = (channel(), channel());
        let lost = Counter::default();
        let lossy = Lossy::start(Scripted(wrote, answers), lost.clone()).unwrap();
        (lossy, written, answer, lost)
    }

    #[test]
    fn a_full_buffer_loses_events_and_never_blocks() {
        let (lossy, written, answer, lost) = scripted();
        lossy.push(b"first\n");
        assert_eq!(written.recv().unwrap(), b"first\n");
        // The test does not answer this write, so the buffer is not emptied.
        let event = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..ROOM / 1024 + 7 {
            lossy.push(&event);
        }
        assert_eq!(lost.get(), 7);
        answer.send(Ok(6)).unwrap();
        assert_eq!(written.recv().unwrap().len(), ROOM);
    }

    #[test]
    fn an_unwritten_event_is_counted_and_the_next_starts_a_new_line() {
        let (lossy, written, answer, lost) = scripted();
        lossy.push(b"first\n");
        written.recv().unwrap();
        answer.send(Ok(2)).unwrap();
        assert_eq!(written.recv().unwrap(), b"rst\n");
        answer.send(Err(ErrorKind::StorageFull.into())).unwrap();
        lossy.push(b"second\n");
        assert_eq!(written.recv().unwrap(), b"\n");
        answer.send(Ok(1)).unwrap();
        assert_eq!(written.recv().unwrap(), b"second\n");
        answer.send(Ok(7)).unwrap();
        lossy.finish(LIMIT);
        assert_eq!(lost.get(), 1);
    }

    #[test]
    fn finish_waits_for_queued_events_within_its_limit() {
        let (lossy, written, answer, _) = scripted();
        lossy.push(b"last\n");
        lossy.finish(Duration::from_millis(1));
        written.recv().unwrap();
        answer.send(Ok(5)).unwrap();
        lossy.finish(LIMIT);
        assert!(lossy.shared.lock().text.is_empty() && !lossy.shared.lock().writing);
    }
}
