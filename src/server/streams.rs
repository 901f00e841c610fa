//! The tasks of HTTP/2 streams. A stream whose client does not read its response is reset; the other streams of the
//! connection continue.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::Instant;
use tracing::debug;

use super::exchange::Exchange;
use super::load::{Load, Reached};

/// The shortest wait between two checks of a stream.
const SHORTEST: Duration = Duration::from_millis(1);

type Slot = Arc<OnceLock<Weak<Exchange>>>;

tokio::task_local! {
    static STREAM: Slot;
}

/// Associates the exchange with the HTTP/2 stream of the current task. Outside such a task, this does nothing.
pub(super) fn belongs_to(exchange: &Arc<Exchange>) {
    // Fails outside of a stream and if an exchange is already set, and neither matters.
    let _ = STREAM.try_with(|stream| stream.set(Arc::downgrade(exchange)));
}

/// Runs the tasks of streams, and drops each task whose client makes no progress for `write_timeout`. Dropping the task
/// resets the stream (`CANCEL`) and discards the data queued for it.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    pub(super) write_timeout: Duration,
    pub(super) load: Load,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let Self { write_timeout, load } = self.clone();
        tokio::spawn(async move {
            let slot = Slot::default();
            let served = STREAM.scope(Arc::clone(&slot), stream);
            tokio::select! {
                biased;
                _ = served => {}
                () = stalled(&slot, write_timeout) => {
                    debug!("stream reset: the client does not read its response");
                    load.count(Reached::WriteTimeout);
                }
            }
        });
    }
}

/// Waits until the client has made no progress for `write_timeout`.
async fn stalled(slot: &Slot, write_timeout: Duration) {
    loop {
        let exchange = slot.get().and_then(Weak::upgrade);
        let deadline = exchange.as_ref().and_then(|exchange| exchange.deadline(write_timeout));
        let wait = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
            None => write_timeout,
            Some(Duration::ZERO) => {
                exchange.inspect(|exchange| exchange.stalled());
                return;
            }
            Some(left) => left,
        };
        drop(exchange);
        tokio::time::sleep(wait.max(SHORTEST)).await;
    }
}
