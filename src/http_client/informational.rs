//! Limits informational responses (1xx) before the final one (HTTP/1.1). The client skips them; without a limit, a
//! server could send them until the time for an answer is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use thiserror::Error;
use tokio::sync::Notify;

/// The most informational responses to one request. Real servers send one or two.
pub(super) const MAX_INFORMATIONAL: usize = 16;

#[derive(Debug, Error)]
#[error(
    "the server sent more than {MAX_INFORMATIONAL} informational responses (1xx) to one request"
)]
pub(super) struct TooMany;

/// Counts the informational responses to one request.
#[derive(Debug, Default)]
pub(super) struct Informational {
    count: AtomicUsize,
    exceeded: Notify,
}

impl Informational {
    /// Starts to count the informational responses to `request`.
    pub(super) fn of<B>(request: &mut Request<B>) -> Arc<Self> {
        let counted = Arc::new(Self::default());
        let counter = counted.clone();
        hyper::ext::on_informational(request, move |_| counter.count());
        counted
    }

    /// Completes once there are too many.
    pub(super) async fn too_many(&self) -> TooMany {
        self.exceeded.notified().await;
        TooMany
    }

    fn count(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) == MAX_INFORMATIONAL {
            self.exceeded.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn one_more_informational_response_than_the_limit_is_too_many() {
        let counted = Informational::default();
        (0..MAX_INFORMATIONAL).for_each(|_| counted.count());
        assert!(counted.too_many().now_or_never().is_none());
        counted.count();
        assert!(counted.too_many().now_or_never().is_some());
    }
}
