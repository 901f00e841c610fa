//! The limits that all listeners of one process share: requests in progress and bytes of lists. Counts how often each
//! limit was reached. Knows nothing of connections or of the content of requests.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::Limits;
use crate::gate::{Denial, Doubt, Shortage, Undecided};

/// The most requests in progress on one connection while more than half of the capacity is in use.
const CROWDED_SHARE: usize = 16;

/// The most lists that are fetched and built at once; each may have 16 MiB.
const LISTS_AT_ONCE: usize = 16;
/// How long a request for a list waits for its turn.
const LIST_WAIT: Duration = Duration::from_secs(1);

/// A limit that was reached, and the consequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reached {
    /// A blob got 503, because too many blobs of its registry were in progress or waiting.
    Blobs,
    /// A connection was closed or refused, because there were too many.
    Connections,
    /// A list got 503, because too many bytes of lists were waiting for their clients.
    Lists,
    /// A request got 503, because too many were in progress.
    Requests,
    /// A request got 503, because too many requests for unknown names were in progress or waiting.
    UnknownNames,
    /// A request got 503, because too many requests to its registry were in progress.
    UpstreamRequests,
    /// A response was aborted, because its client did not read it.
    WriteTimeout,
}

impl Reached {
    const ALL: [Self; 7] = [
        Self::Blobs,
        Self::Connections,
        Self::Lists,
        Self::Requests,
        Self::UnknownNames,
        Self::UpstreamRequests,
        Self::WriteTimeout,
    ];
}

impl EncodeLabelValue for Reached {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let name = match self {
            Self::Blobs => "blobs",
            Self::Connections => "connections",
            Self::Lists => "lists",
            Self::Requests => "requests",
            Self::UnknownNames => "unknown_names",
            Self::UpstreamRequests => "upstream_requests",
            Self::WriteTimeout => "write_timeout",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    limit: Reached,
}

/// The load that the listeners of one process share. Clones share it.
#[derive(Clone, Debug)]
pub struct Load {
    requests: Arc<Budget>,
    lists: Arc<Budget>,
    turns: Arc<Semaphore>,
    reached: Family<Labels, Counter>,
}

impl Load {
    /// With nothing in progress.
    pub fn new(limits: &Limits) -> Self {
        let reached = Family::<Labels, Counter>::default();
        for limit in Reached::ALL {
            drop(reached.get_or_create(&Labels { limit }));
        }
        Self {
            requests: Arc::new(Budget::new(limits.max_requests)),
            lists: Arc::new(Budget::new(limits.max_list_bytes)),
            turns: Arc::new(Semaphore::new(LISTS_AT_ONCE)),
            reached,
        }
    }

    /// The same, with its metrics registered in `registry`.
    pub fn registered(limits: &Limits, registry: &mut Registry) -> Self {
        let load = Self::new(limits);
        registry.register(
            "countersign_limit_reached",
            "How often each limit of the gate was reached",
            load.reached.clone(),
        );
        load
    }

    /// A slot for a request on a connection with `others` requests in progress; `None` if the request must be refused. A
    /// connection always gets a slot for one request, so nobody can shut others out with requests alone.
    pub(super) fn admit_request(&self, others: usize) -> Option<BudgetShare> {
        let taken = self.requests.used.fetch_add(1, Relaxed);
        let place = BudgetShare(Arc::clone(&self.requests), 1);
        let crowded = taken >= self.requests.most / 2 && others >= CROWDED_SHARE;
        if others > 0 && (crowded || taken >= self.requests.most) {
            self.count(Reached::Requests);
            return None;
        }
        Some(place)
    }

    /// The permission to fetch and build a list; `None` if too many bytes of lists wait for their clients, or too many
    /// lists wait for this permission.
    pub(super) async fn list_turn(&self) -> Option<OwnedSemaphorePermit> {
        if self.lists.used.load(Relaxed) < self.lists.most {
            let turn = Arc::clone(&self.turns).acquire_owned();
            if let Ok(Ok(turn)) = tokio::time::timeout(LIST_WAIT, turn).await {
                return Some(turn);
            }
        }
        self.count(Reached::Lists);
        None
    }

    /// `list`, counted until its last byte is sent or dropped; `None` if it must not be sent now. A list above the limit
    /// is sent if it is the only one.
    pub(super) fn admit_list(&self, list: Bytes) -> Option<Bytes> {
        let used = self.lists.used.fetch_add(list.len(), Relaxed);
        let place = BudgetShare(Arc::clone(&self.lists), list.len());
        if used > 0 && used.saturating_add(list.len()) > self.lists.most {
            self.count(Reached::Lists);
            return None;
        }
        // Every slice of these bytes keeps the reservation.
        Some(Bytes::from_owner(Counted { list, _place: place }))
    }

    /// Counts the limit that was reached, if that is why the request was denied.
    pub(super) fn count_busy(&self, denial: &Denial) {
        let Denial::Undecided(Undecided { doubt: Doubt::GateBusy(shortage), .. }) = denial else {
            return;
        };
        self.count(match shortage {
            Shortage::Blobs => Reached::Blobs,
            Shortage::Requests => Reached::UpstreamRequests,
            Shortage::UnknownNames => Reached::UnknownNames,
        });
    }

    pub(super) fn count(&self, limit: Reached) {
        self.reached.get_or_create(&Labels { limit }).inc();
    }
}

#[derive(Debug)]
struct Budget {
    most: usize,
    used: AtomicUsize,
}

impl Budget {
    const fn new(most: usize) -> Self {
        Self { most, used: AtomicUsize::new(0) }
    }
}

/// A part of a budget, returned when it is dropped.
#[derive(Debug)]
pub(super) struct BudgetShare(Arc<Budget>, usize);

impl Drop for BudgetShare {
    fn drop(&mut self) {
        self.0.used.fetch_sub(self.1, Relaxed);
    }
}

struct Counted {
    list: Bytes,
    _place: BudgetShare,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(max_requests: usize, max_list_bytes: usize) -> Load {
        Load::new(&Limits { max_requests, max_list_bytes, ..Limits::default() })
    }

    #[test]
    fn a_connection_always_gets_a_slot_for_one_request() {
        let load = load(3, 0);
        let places: Vec<_> = (0..3).map(|others| load.admit_request(others).unwrap()).collect();
        assert!(load.admit_request(1).is_none());
        let first = load.admit_request(0);
        assert!(first.is_some());
        drop((places, first));
        assert!(load.admit_request(1).is_some());
        assert_eq!(load.requests.used.load(Relaxed), 0);
    }

    #[test]
    fn one_connection_cannot_take_the_second_half_of_the_slots() {
        let load = load(100, 0);
        let places: Vec<_> = (0..).map_while(|others| load.admit_request(others)).collect();
        assert_eq!(places.len(), 50);
        assert!(
            load.admit_request(CROWDED_SHARE - 1).is_some(),
            "other connections still get slots"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn lists_wait_only_briefly_for_their_turn() {
        let load = load(0, 100);
        let mut turns = Vec::new();
        for _ in 0..LISTS_AT_ONCE {
            turns.push(load.list_turn().await.unwrap());
        }
        assert!(load.list_turn().await.is_none());
        let (next, ()) = tokio::join!(load.list_turn(), async { turns.truncate(1) });
        assert!(next.is_some());
    }

    #[tokio::test]
    async fn the_bytes_of_a_list_count_until_its_last_slice_is_dropped() {
        let load = load(0, 100);
        let mut first = load.admit_list(Bytes::from(vec![b'x'; 60])).unwrap();
        assert!(load.list_turn().await.is_some());
        assert!(load.admit_list(Bytes::from(vec![b'x'; 60])).is_none());
        let tail = first.split_off(59);
        drop(first);
        assert!(load.admit_list(Bytes::from(vec![b'x'; 60])).is_none());
        drop(tail);
        let long = load.admit_list(Bytes::from(vec![b'x'; 1000]));
        let long = long.unwrap();
        assert_eq!(long.len(), 1000, "a list above the limit is sent alone");
        assert!(load.list_turn().await.is_none());
        drop(long);
        assert!(load.list_turn().await.is_some());
    }
}
