//! Turns: a limited number of tasks run at once, and the others wait. Free turns go to the client addresses one
//! after the other, and within one address to its connections, so that a long queue does not delay a short one.
//! A task that is dropped leaves its queue. While others wait, a turn is revoked if its client is too slow or
//! nobody waits for its result.

mod holder;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::holder::{Holder, NEVER};
use self::queue::Queue;
use crate::requester::{Address, Requester};

/// The rate, in bytes per second, that a client must reach on average while others wait.
const MIN_RATE: u64 = 64 << 10;
/// The longest time that a client may take nothing before it is too slow.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How often a waiting task checks for a turn that can be revoked.
const LOOK: Duration = Duration::from_millis(250);

/// The limits of running and waiting tasks.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Tasks that run at once.
    pub running: usize,
    /// Tasks that wait.
    pub waiting: usize,
    /// Tasks of one client address that wait.
    pub waiting_per_address: usize,
}

impl Limits {
    /// The most tasks of one client address that run at once. An eighth of the turns, at least one, is left for others.
    pub const fn running_per_address(self) -> usize {
        less_an_eighth(self.running)
    }

    /// The most tasks of one connection that run at once. An eighth of the turns of its address, at least one, is left
    /// for other connections.
    pub const fn running_per_connection(self) -> usize {
        less_an_eighth(self.running_per_address())
    }
}

/// `of` less an eighth of it (at least one); never less than one.
pub const fn less_an_eighth(of: usize) -> usize {
    let left = of - of.div_ceil(8);
    if left == 0 { 1 } else { left }
}

/// Why a task cannot wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Crowded {
    #[error("{0} requests of this client address are waiting already (the limit)")]
    Address(usize),
    #[error("{0} requests of all clients are waiting already (the limit)")]
    All(usize),
}

/// The turns of one resource. Clones share them.
#[derive(Clone)]
pub struct Turns {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    opened: Instant,
    state: Mutex<State>,
}

/// The answer for a waiting task.
type Answer = Result<Arc<Holder>, Crowded>;

#[derive(Default)]
struct State {
    next: u64,
    holders: BTreeMap<u64, Arc<Holder>>,
    of_address: HashMap<Address, usize>,
    of_connection: HashMap<Requester, usize>,
    queue: Queue<oneshot::Sender<Answer>>,
}

/// The right to run, until it is dropped or revoked.
pub struct Turn {
    shared: Arc<Shared>,
    holder: Arc<Holder>,
    /// The time for which the client may still take nothing.
    allowance: Duration,
}

/// A place in the queue; dropped, it leaves the queue.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    requester: Requester,
    id: u64,
    answer: oneshot::Receiver<Answer>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turns {
    pub fn new(limits: Limits) -> Self {
        let (opened, state) = (Instant::now(), Mutex::default());
        Self { shared: Arc::new(Shared { limits, opened, state }) }
    }

    /// Waits for a turn. Dropping the future leaves the queue.
    pub async fn turn(&self, requester: Requester) -> Result<Turn, Crowded> {
        let mut waiting = self.enqueue(requester)?;
        loop {
            tokio::select! {
                biased;
                answer = &mut waiting.answer => {
                    // The sender is dropped only after it sent an answer.
                    let holder = answer.unwrap_or(Err(self.shared.all_wait()))?;
                    return Ok(Turn { shared: self.shared.clone(), holder, allowance: MAX_PAUSE });
                }
                () = tokio::time::sleep(LOOK) => self.shared.revoke_for(requester),
            }
        }
    }

    fn enqueue(&self, requester: Requester) -> Result<Waiting<'_>, Crowded> {
        let limits = self.shared.limits;
        let (sender, answer) = oneshot::channel();
        let mut state = self.shared.state();
        let blocked = state.blocked(requester, limits).is_some();
        if blocked {
            state.make_room(requester, limits)?;
        }
        state.next += 1;
        let id = state.next;
        state.queue.push(requester, id, sender);
        state.grant(limits);
        drop(state);
        let waiting = Waiting { shared: &self.shared, requester, id, answer };
        if blocked {
            self.shared.revoke_for(requester);
        }
        Ok(waiting)
    }

    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        let state = self.shared.state();
        (state.holders.len(), state.queue.len())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    fn all_wait(&self) -> Crowded {
        Crowded::All(self.limits.waiting)
    }

    fn now(&self) -> u64 {
        milliseconds(self.opened.elapsed())
    }

    fn end(&self, holder: &Holder) {
        let mut state = self.state();
        state.end(holder);
        state.grant(self.limits);
    }

    /// Revokes one turn in favor of a waiting task of `requester`: an abandoned one, otherwise the one whose client has
    /// been too slow for the longest time.
    fn revoke_for(&self, requester: Requester) {
        let now = self.now();
        let mut state = self.state();
        let Some(blocked) = state.blocked(requester, self.limits) else { return };
        let frees = |holder: &&Arc<Holder>| match blocked {
            Blocked::Connection => holder.requester == requester,
            Blocked::Address => holder.requester.address() == requester.address(),
            Blocked::All => true,
        };
        let candidates = state.holders.values().filter(frees);
        let late = candidates.filter_map(|holder| Some((holder.lateness(now)?, holder)));
        let latest = late.max_by_key(|(lateness, _)| *lateness).map(|(_, holder)| holder.clone());
        let Some(holder) = latest else { return };
        state.end(&holder);
        state.grant(self.limits);
        drop(state);
        holder.revoke();
    }
}

/// The limit that keeps a task from running.
#[derive(Clone, Copy)]
enum Blocked {
    /// Its connection has the most turns that one connection may have.
    Connection,
    /// Its address has the most turns that one address may have.
    Address,
    /// All turns are taken.
    All,
}

impl State {
    fn blocked(&self, requester: Requester, limits: Limits) -> Option<Blocked> {
        if self.holders.len() >= limits.running {
            return Some(Blocked::All);
        }
        blocked_by_own(&self.of_address, &self.of_connection, requester, limits)
    }

    /// Makes room in the queue for a task of `requester`, if necessary by removing a task of a requester with more
    /// tasks.
    fn make_room(&mut self, requester: Requester, limits: Limits) -> Result<(), Crowded> {
        if self.queue.len_of(requester.address()) >= limits.waiting_per_address {
            let crowded = Crowded::Address(limits.waiting_per_address);
            let displaced = self.queue.displace_at_address(requester).ok_or(crowded)?;
            // The task may have left just now.
            drop(displaced.send(Err(crowded)));
        }
        if self.queue.len() >= limits.waiting {
            let crowded = Crowded::All(limits.waiting);
            let displaced = self.queue.displace(requester).ok_or(crowded)?;
            drop(displaced.send(Err(crowded)));
        }
        Ok(())
    }

    /// Gives the free turns to waiting tasks.
    fn grant(&mut self, limits: Limits) {
        while self.holders.len() < limits.running {
            let (of_address, of_connection) = (&self.of_address, &self.of_connection);
            let may_run =
                |requester| blocked_by_own(of_address, of_connection, requester, limits).is_none();
            let Some((requester, id, task)) = self.queue.pop(may_run) else { return };
            let holder = Arc::new(Holder::new(id, requester));
            self.holders.insert(id, holder.clone());
            // The gate itself may use all turns.
            if let Requester::Client { address, .. } = requester {
                *self.of_address.entry(address).or_default() += 1;
                *self.of_connection.entry(requester).or_default() += 1;
            }
            if let Err(Ok(holder)) = task.send(Ok(holder)) {
                self.end(&holder);
            }
        }
    }

    fn end(&mut self, holder: &Holder) {
        if self.holders.remove(&holder.id).is_some()
            && let Requester::Client { address, .. } = holder.requester
        {
            subtract(&mut self.of_address, &address);
            subtract(&mut self.of_connection, &holder.requester);
        }
    }
}

/// Whether the turns of its own address or connection keep a task from running.
fn blocked_by_own(
    of_address: &HashMap<Address, usize>,
    of_connection: &HashMap<Requester, usize>,
    requester: Requester,
    limits: Limits,
) -> Option<Blocked> {
    let Requester::Client { address, .. } = requester else { return None };
    let count_of_address = of_address.get(&address).copied().unwrap_or_default();
    let count_of_connection = of_connection.get(&requester).copied().unwrap_or_default();
    if count_of_address >= limits.running_per_address() {
        Some(Blocked::Address)
    } else if count_of_connection >= limits.running_per_connection() {
        Some(Blocked::Connection)
    } else {
        None
    }
}

fn subtract<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER - 1)
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.queue.remove(self.requester, self.id).is_none()
            && let Ok(Ok(holder)) = self.answer.try_recv()
        {
            // The turn was granted, but the task left before it took it.
            state.end(&holder);
            state.grant(self.shared.limits);
        }
    }
}

impl Turn {
    /// Calls `release` when the turn is revoked, or now if it already is. Without that, a revoked turn only stops
    /// counting.
    pub fn on_revoke(&self, release: impl FnOnce() + Send + 'static) {
        *locked(&self.holder.on_revoke) = Some(Box::new(release));
        if self.holder.revoked.load(Ordering::Acquire) {
            self.holder.revoke();
        }
    }

    /// Records that the client was sent `bytes`. It is too slow unless it takes them at `MIN_RATE`.
    pub fn gave(&mut self, bytes: u64) {
        let earned = Duration::from_millis(bytes.saturating_mul(1000) / MIN_RATE);
        self.allowance = self.allowance.saturating_add(earned).min(MAX_PAUSE);
        let late_at = self.shared.now().saturating_add(milliseconds(self.allowance));
        self.holder.late_at.store(late_at, Ordering::Relaxed);
    }

    /// Records that the client took all data and waits for more.
    pub fn taken(&mut self) {
        let late_at = self.holder.late_at.swap(NEVER, Ordering::Relaxed);
        if late_at != NEVER {
            self.allowance = Duration::from_millis(late_at.saturating_sub(self.shared.now()));
        }
    }

    /// Records whether any client still waits for the result of this task.
    pub fn set_abandoned(&self, abandoned: bool) {
        self.holder.abandoned.store(abandoned, Ordering::Relaxed);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.end(&self.holder);
        // The closure may hold the value that holds this turn.
        let on_revoke = locked(&self.holder.on_revoke).take();
        drop(on_revoke);
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turns").field(&self.shared.limits).finish()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.holder.requester).finish()
    }
}
