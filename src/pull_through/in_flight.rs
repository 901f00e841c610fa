//! One download a digest, however many ask: which are under way, for whom, and who starts one. A
//! repository's clients share another's download only once upstream has confirmed that it is theirs,
//! too; a registry's never share another registry's, which may be slow, or lie. Knows nothing of how a
//! download goes on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::progress::Progress;
use crate::oci::{Digest, Registry, Repository};

/// A repository of a registry.
pub(super) type Place = (Registry, Repository);

/// The downloads under way. The clones are one.
#[derive(Clone, Default)]
pub(super) struct InFlight {
    flights: Arc<Mutex<Flights>>,
}

type Flights = HashMap<(Registry, Digest), Arc<Flight>>;

/// One download, as those who wait for it know it.
pub(super) struct Flight {
    progress: watch::Sender<Progress>,
    /// The repository of which it is fetched.
    place: Place,
    /// The repositories that hold this blob, that one first.
    holders: Mutex<Vec<Place>>,
}

/// What there is of a download for one client.
pub(super) enum Boarding {
    /// One is under way and may be shared; `own` if it is fetched of the same repository.
    Joined { progress: watch::Receiver<Progress>, own: bool },
    /// One is under way for other repositories: to be confirmed by upstream, then
    /// [`InFlight::confirm`].
    Unconfirmed,
    /// None was under way: this client's is to be started now.
    Started(Start, watch::Receiver<Progress>),
    /// None is under way any more: the content was published meanwhile.
    Published,
    /// None is under way, and none is wanted.
    Nothing,
}

/// A download that is to be started. Until this is dropped, all who ask for the digest share it.
pub(super) struct Start {
    in_flight: InFlight,
    digest: Digest,
    flight: Arc<Flight>,
}

impl InFlight {
    /// Joins the download of `digest`, or begins one if there is none and it `wanted`. `is_kept` is
    /// asked while no download can end.
    pub(super) fn board(
        &self,
        digest: &Digest,
        place: &Place,
        wanted: bool,
        is_kept: impl FnOnce() -> bool,
    ) -> Boarding {
        let mut flights = self.flights();
        let key = (place.0.clone(), *digest);
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

    /// Upstream said that `place` holds `digest`, too.
    pub(super) fn confirm(&self, digest: &Digest, place: &Place) {
        if let Some(flight) = self.flights().get(&(place.0.clone(), *digest)) {
            let mut holders = flight.holders();
            if !holders.contains(place) {
                holders.push(place.clone());
            }
        }
    }

    /// How many bytes `digest` has, if it is under way for `place` and that is known.
    pub(super) fn length(&self, digest: &Digest, place: &Place) -> Option<u64> {
        let flights = self.flights();
        let flight = flights.get(&(place.0.clone(), *digest))?;
        if !flight.holders().contains(place) {
            return None;
        }
        flight.progress.borrow().length()
    }

    /// How many clients wait for the download of `digest`.
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
    fn holders(&self) -> MutexGuard<'_, Vec<Place>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Start {
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Tells everyone who waits.
    pub(super) fn tell(&self, change: impl FnOnce(&mut Progress)) {
        self.flight.progress.send_modify(change);
    }

    /// Whether no client waits for it now.
    pub(super) fn is_alone(&self) -> bool {
        self.flight.progress.receiver_count() == 0
    }

    /// Waits until nobody waits for it.
    pub(super) async fn left_alone(&self) {
        self.flight.progress.closed().await;
    }

    /// Ends being shared if nobody waits for it; else nothing is changed.
    pub(super) fn give_up(&self) -> bool {
        let mut flights = self.in_flight.flights();
        let alone = self.is_alone();
        if alone {
            flights.remove(&self.key());
        }
        alone
    }

    fn key(&self) -> (Registry, Digest) {
        (self.flight.place.0.clone(), self.digest)
    }

    /// The repository of which it is fetched.
    pub(super) fn place(&self) -> &Place {
        &self.flight.place
    }

    /// The repositories that hold it so far.
    pub(super) fn holders(&self) -> Vec<Place> {
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
