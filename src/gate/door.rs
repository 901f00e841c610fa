//! Where requests for unknown names wait. An image that was admitted recently, and the content that it lists, is known
//! and passes at once. Every other request needs one of a few turns per registry, which clients take round-robin. So
//! invented names, however many, delay neither known images nor the refresh of their trust data, and a client that
//! leaves takes its queued requests with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::Gate;
use super::admitted::Admitted;
use super::denial::Denial;
use super::deny;
use super::known::{Key, KnownNames, Look};
use super::resource::Resource;
use crate::http_client::{Crowded, Limits, Turn, Turns};
use crate::oci::{ImageRef, Reference, Registry};
use crate::pull_through::PullThrough;
use crate::requester::Requester;

/// The most requests for unknown names of one registry that are worked on at once.
const MAX_RUNNING: usize = 32;
/// The fraction of the upstream's `max_requests` that they may be, at most. It is half of what blobs leave, so
/// the other half is for known images.
const SHARE: usize = 16;
/// The most requests for unknown names of one registry that wait, and those of one client address.
const MAX_WAITING: usize = 1_024;
const MAX_WAITING_PER_ADDRESS: usize = 256;
/// How long a request waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The doors of all registries.
pub(super) struct Door {
    known: Arc<KnownNames>,
    turns: HashMap<Registry, Turns>,
    names: Arc<Names>,
}

/// The unknown names that clients ask for now: all requests for one name share one turn.
type Names = Mutex<HashMap<Key, Weak<Name>>>;

/// One unknown name, which holds its turn until the last request for it ends.
pub(super) struct Name {
    key: Key,
    names: Arc<Names>,
    turn: OnceLock<Turn>,
    /// Notifies all that wait once there is a turn.
    granted: Notify,
    /// The clients that wait for the turn. One request of each connection is in the queue, however many wait.
    lanes: Mutex<HashMap<Requester, Lane>>,
}

type Lane = Arc<tokio::sync::Mutex<()>>;

/// The right to work on one request, until it is dropped.
pub(super) enum Pass {
    /// The request is for a known image, or the gate itself makes it.
    Free,
    /// The request shares the turn of an unknown name.
    Shared { _name: Arc<Name> },
    /// The request has a turn of its own.
    Own { _turn: Turn },
}

impl Door {
    pub(super) fn new(registries: &[Registry], pull_through: &PullThrough) -> Self {
        Self::with(Arc::new(KnownNames::new()), registries, pull_through)
    }

    /// The doors of another configuration. Known images stay known.
    pub(super) fn renewed(&self, registries: &[Registry], pull_through: &PullThrough) -> Self {
        Self::with(self.known.clone(), registries, pull_through)
    }

    fn with(known: Arc<KnownNames>, registries: &[Registry], pull_through: &PullThrough) -> Self {
        let turns = registries.iter().map(|registry| {
            let share = pull_through.upstream(registry).map_or(1, |up| up.max_requests() / SHARE);
            let limits = Limits {
                running: share.clamp(1, MAX_RUNNING),
                waiting: MAX_WAITING,
                waiting_per_address: MAX_WAITING_PER_ADDRESS,
            };
            (registry.clone(), Turns::new(limits))
        });
        Self { known, turns: turns.collect(), names: Arc::default() }
    }

    async fn shared(
        &self,
        requester: Requester,
        image: &ImageRef,
        key: Key,
    ) -> Result<Pass, Denial> {
        let Some(turns) = self.turns.get(&image.repository.registry) else { return Ok(Pass::Free) };
        let name = self.name(key);
        in_time(image, name.turn(turns, requester)).await?;
        Ok(Pass::Shared { _name: name })
    }

    fn name(&self, key: Key) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(&key).and_then(Weak::upgrade) {
            return name;
        }
        let name = Arc::new(Name::new(key, self.names.clone()));
        names.insert(key, Arc::downgrade(&name));
        name
    }

    async fn own(&self, requester: Requester, resource: &Resource) -> Result<Pass, Denial> {
        let Some(turns) = self.turns.get(&resource.repository.registry) else {
            return Ok(Pass::Free);
        };
        Ok(Pass::Own { _turn: in_time(resource, turns.turn(requester)).await? })
    }
}

impl Name {
    fn new(key: Key, names: Arc<Names>) -> Self {
        let (turn, granted, lanes) = (OnceLock::new(), Notify::new(), Mutex::default());
        Self { key, names, turn, granted, lanes }
    }

    /// Waits until the name has a turn. Each client waits in its own queue, so that none waits behind the load of
    /// another; the first turn is for all of them.
    async fn turn(self: &Arc<Self>, turns: &Turns, requester: Requester) -> Result<(), Crowded> {
        let mut granted = std::pin::pin!(self.granted.notified());
        granted.as_mut().enable();
        if self.turn.get().is_some() {
            return Ok(());
        }
        let lane = self.lane(requester);
        let own = async {
            let _lane = lane.lock().await;
            turns.turn(requester).await
        };
        let crowded = tokio::select! {
            biased;
            () = &mut granted => return Ok(()),
            turn = own => match turn {
                Ok(turn) => {
                    // If another request was faster, this turn is free again.
                    if self.turn.set(turn).is_ok() {
                        self.granted.notify_waiters();
                    }
                    return Ok(());
                }
                Err(crowded) => crowded,
            },
        };
        if Arc::strong_count(self) == 1 {
            return Err(crowded);
        }
        // Others still wait for the same name.
        granted.await;
        Ok(())
    }

    fn lane(&self, requester: Requester) -> Lane {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.entry(requester).or_default().clone()
    }
}

async fn in_time<T>(
    resource: impl Into<Resource>,
    turn: impl Future<Output = Result<T, Crowded>>,
) -> Result<T, Denial> {
    match tokio::time::timeout(MAX_WAIT, turn).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(crowded)) => Err(deny::busy(resource, format!("the gate is busy: {crowded}"))),
        Err(_) => {
            let seconds = MAX_WAIT.as_secs();
            let because = format!("the gate is busy: the request waited for {seconds} seconds");
            Err(deny::busy(resource, because))
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        // Another request may have inserted a new entry for the same name.
        if names.get(&self.key).is_some_and(|name| name.strong_count() == 0) {
            names.remove(&self.key);
        }
    }
}

impl Gate {
    /// The pass of a request for `image`, and whether to remember the image once it is admitted.
    pub(super) async fn pass(&self, image: &ImageRef) -> Result<(Pass, bool), Denial> {
        if self.requester == Requester::Gate {
            return Ok((Pass::Free, false));
        }
        let door = &self.shared.door;
        let key = door.known.key(image);
        match door.known.look(key) {
            Look::Known => Ok((Pass::Free, false)),
            Look::Fading => Ok((Pass::Free, true)),
            Look::Unknown => {
                // On the heap, so that requests for known images need no memory for this.
                Ok((Box::pin(door.shared(self.requester, image, key)).await?, true))
            }
        }
    }

    /// The pass of a request for a blob. A blob is also known if it is stored.
    pub(super) async fn pass_for_blob(&self, image: &ImageRef) -> Result<Pass, Denial> {
        if self.requester == Requester::Gate {
            return Ok(Pass::Free);
        }
        let door = &self.shared.door;
        let key = door.known.key(image);
        if door.known.look(key) != Look::Unknown {
            return Ok(Pass::Free);
        }
        // On the heap, so that requests for known blobs need no memory for this.
        Box::pin(async {
            match self.is_kept(image).await {
                true => Ok(Pass::Free),
                false => door.shared(self.requester, image, key).await,
            }
        })
        .await
    }

    async fn is_kept(&self, ImageRef { repository, reference }: &ImageRef) -> bool {
        match reference {
            Reference::Digest(digest) => self.shared.pull_through.is_kept(repository, digest).await,
            Reference::Tag(_) => false,
        }
    }

    /// The pass of a request that always asks upstream, such as one for a list.
    pub(super) async fn pass_for_list(&self, resource: &Resource) -> Result<Pass, Denial> {
        match self.requester {
            Requester::Gate => Ok(Pass::Free),
            requester @ Requester::Client { .. } => self.shared.door.own(requester, resource).await,
        }
    }

    /// Remembers an admitted image as known.
    pub(super) fn learn(&self, image: &ImageRef, admitted: &Admitted) {
        self.shared.door.known.learn(image, admitted);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures_util::FutureExt as _;

    use super::*;

    const LIMITS: Limits = Limits { running: 8, waiting: 8, waiting_per_address: 4 };

    fn client(address: u8) -> Requester {
        SocketAddr::from(([192, 0, 2, address], 1)).into()
    }

    /// The turns, of which client 1 has as many as it may have.
    async fn taken() -> (Turns, Vec<Turn>) {
        let (turns, mut held) = (Turns::new(LIMITS), Vec::new());
        for _ in 0..LIMITS.running_per_connection() {
            held.push(turns.turn(client(1)).await.unwrap());
        }
        (turns, held)
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_for_a_name_waits_in_the_queue_of_another_client() {
        let (turns, _held) = taken().await;
        let name = Arc::new(Name::new(1, Arc::default()));
        let mut attacker = Box::pin(name.turn(&turns, client(1)));
        assert!(attacker.as_mut().now_or_never().is_none());
        assert_eq!(name.turn(&turns, client(2)).now_or_never(), Some(Ok(())));
        assert_eq!(attacker.now_or_never(), Some(Ok(())), "it shares the turn");
    }

    #[tokio::test(start_paused = true)]
    async fn many_requests_of_one_connection_for_one_name_take_one_place_in_the_queue() {
        let (turns, mut held) = taken().await;
        let name = Arc::new(Name::new(1, Arc::default()));
        let mut waiting: Vec<_> = (0..20).map(|_| Box::pin(name.turn(&turns, client(1)))).collect();
        for waiting in &mut waiting {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        held.pop();
        for waiting in waiting {
            assert_eq!(waiting.await, Ok(()));
        }
    }
}
