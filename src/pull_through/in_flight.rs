//! One download per digest, regardless of the number of clients: tracks which downloads are in progress and for which
//! repositories, and who starts one. Clients of a repository share the download of another one only after upstream has
//! confirmed that their repository holds the blob, too. They never share a download from another registry, which may be
//! slow or lie. This module does not know how a download proceeds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::progress::Progress;
use crate::oci::{Digest, Registry, RepositoryRef};

/// The downloads in progress. Clones share them.
#[derive(Clone, Default)]
pub(super) struct InFlight {
    flights: Arc<Mutex<Flights>>,
}

type Flights = HashMap<(Registry, Digest), Arc<Flight>>;

/// One download, from the view of its clients.
pub(super) struct Flight {
    progress: watch::Sender<Progress>,
    /// The repository that it is fetched from.
    place: RepositoryRef,
    /// The repositories that hold this blob, starting with that one.
    holders: Mutex<Vec<RepositoryRef>>,
}

/// How a client can get a blob from a download.
pub(super) enum Boarding {
    /// A download is in progress and may be shared; `own` if it is from the same repository.
    Joined { progress: watch::Receiver<Progress>, own: bool },
    /// A download is in progress for other repositories: ask upstream for confirmation, then call
    /// [`InFlight::confirm`].
    Unconfirmed,
    /// No download was in progress: this client starts one.
    Started(Start, watch::Receiver<Progress>),
    /// No download is in progress any more: the content was published meanwhile.
    Published,
    /// No download is in progress, and none is wanted.
    Nothing,
}

/// A download to start. Until this is dropped, all requests for the digest share it.
pub(super) struct Start {
    in_flight: InFlight,
    digest: Digest,
    flight: Arc<Flight>,
}

impl InFlight {
    /// Joins the download of `digest`, or begins one if there is none and `wanted` is set. Calls `is_kept` while no
    /// download can end.
    pub(super) fn board(
        &self,
        digest: &Digest,
        place: &RepositoryRef,
        wanted: bool,
        is_kept: impl FnOnce() -> bool,
    ) -> Boarding {
        let mut flights = self.flights();
        let key = (place.registry.clone(), *digest);
        if let Some(flight) = flights.get(&key) {
            return match flight.holders().contains(place) {
                true => {
                    let progress = flight.progress.subscribe();
                    Boarding::Joined { progress, own: flight.place == *place }
                }
                false => Boarding::Unconfirmed,
            };
        }
        if is_kept() {
            return Boarding::Published;
        }
        if !wanted {
            return Boarding::Nothing;
        }
        let (progress, receiver) = watch::channel(Progress::Opening);
        let holders = Mutex::new(vec![place.clone()]);
        let flight = Arc::new(Flight { progress, place: place.clone(), holders });
        flights.insert(key, flight.clone());
        Boarding::Started(Start { in_flight: self.clone(), digest: *digest, flight }, receiver)
    }

    /// Records that `place` holds `digest`, too, as upstream said.
    pub(super) fn confirm(&self, digest: &Digest, place: &RepositoryRef) {
        if let Some(flight) = self.flights().get(&(place.registry.clone(), *digest)) {
            let mut holders = flight.holders();
            if !holders.contains(place) {
                holders.push(place.clone());
            }
        }
    }

    /// The length of `digest` in bytes, if its download for `place` is in progress and the length is known.
    pub(super) fn length(&self, digest: &Digest, place: &RepositoryRef) -> Option<u64> {
        let flights = self.flights();
        let flight = flights.get(&(place.registry.clone(), *digest))?;
        if !flight.holders().contains(place) {
            return None;
        }
        flight.progress.borrow().length()
    }

    /// The number of clients that wait for the download of `digest`.
    #[cfg(feature = "test-support")]
    pub(super) fn waiting(&self, digest: &Digest, registry: &Registry) -> usize {
        let flights = self.flights();
        let flight = flights.get(&(registry.clone(), *digest));
        flight.map_or(0, |flight| flight.progress.receiver_count())
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    fn holders(&self) -> MutexGuard<'_, Vec<RepositoryRef>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Start {
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Changes the progress and notifies all waiting clients.
    pub(super) fn tell(&self, change: impl FnOnce(&mut Progress)) {
        self.flight.progress.send_modify(change);
    }

    /// Whether no client waits for the download now.
    pub(super) fn is_alone(&self) -> bool {
        self.clients() == 0
    }

    /// How many clients wait for it now.
    pub(super) fn clients(&self) -> usize {
        self.flight.progress.receiver_count()
    }

    /// Waits until no client waits for the download.
    pub(super) async fn left_alone(&self) {
        self.flight.progress.closed().await;
    }

    /// Stops sharing the download if no client waits for it; otherwise changes nothing.
    pub(super) fn give_up(&self) -> bool {
        let mut flights = self.in_flight.flights();
        let alone = self.is_alone();
        if alone {
            flights.remove(&self.key());
        }
        alone
    }

    fn key(&self) -> (Registry, Digest) {
        (self.flight.place.registry.clone(), self.digest)
    }

    /// The repository that it is fetched from.
    pub(super) fn place(&self) -> &RepositoryRef {
        &self.flight.place
    }

    /// The repositories known to hold it.
    pub(super) fn holders(&self) -> Vec<RepositoryRef> {
        self.flight.holders().clone()
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        let mut flights = self.in_flight.flights();
        let key = self.key();
        if flights.get(&key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            flights.remove(&key);
        }
    }
}
