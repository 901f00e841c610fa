//! The tasks that wait for a turn: the addresses come one after the other, and so do the connections of one
//! address. Knows nothing of who has a turn.

use std::collections::{HashMap, VecDeque};

use crate::requester::{Address, Requester};

/// The waiting tasks. `T` is what to tell a task.
pub(super) struct Queue<T> {
    /// The addresses with waiting tasks, the one that comes next first.
    order: VecDeque<Option<Address>>,
    lanes: HashMap<Option<Address>, Lane<T>>,
    length: usize,
}

/// The waiting tasks of one address.
struct Lane<T> {
    /// The connections with waiting tasks, the one that comes next first. None of their queues is empty.
    order: VecDeque<Requester>,
    queues: HashMap<Requester, VecDeque<(u64, T)>>,
    length: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), lanes: HashMap::new(), length: 0 }
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), queues: HashMap::new(), length: 0 }
    }
}

impl<T> Queue<T> {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// How many tasks wait for that address.
    pub(super) fn len_of(&self, address: Option<Address>) -> usize {
        self.lanes.get(&address).map_or(0, |lane| lane.length)
    }

    pub(super) fn push(&mut self, requester: Requester, id: u64, task: T) {
        let address = requester.address();
        let lane = self.lanes.entry(address).or_default();
        if lane.length == 0 {
            self.order.push_back(address);
        }
        let queue = lane.queues.entry(requester).or_default();
        if queue.is_empty() {
            lane.order.push_back(requester);
        }
        queue.push_back((id, task));
        lane.length += 1;
        self.length += 1;
    }

    /// The next task of which `may_run` says so. Its address and its connection go to the end of the line.
    pub(super) fn pop(
        &mut self,
        may_run: impl Fn(Requester) -> bool,
    ) -> Option<(Requester, u64, T)> {
        let lanes = self.order.iter().filter_map(|address| self.lanes.get(address));
        let mut all = lanes.flat_map(|lane| lane.order.iter().copied());
        let requester = all.find(|requester| may_run(*requester))?;
        let address = requester.address();
        let &(id, _) = self.lanes.get(&address)?.queues.get(&requester)?.front()?;
        let task = self.remove(requester, id)?;
        move_to_end(&mut self.order, &address);
        if let Some(lane) = self.lanes.get_mut(&address) {
            move_to_end(&mut lane.order, &requester);
        }
        Some((requester, id, task))
    }

    /// Removes a task that leaves; `None` if it does not wait any more.
    pub(super) fn remove(&mut self, requester: Requester, id: u64) -> Option<T> {
        let address = requester.address();
        let lane = self.lanes.get_mut(&address)?;
        let queue = lane.queues.get_mut(&requester)?;
        let at = queue.iter().position(|(other, _)| *other == id)?;
        let (_, task) = queue.remove(at)?;
        if queue.is_empty() {
            lane.queues.remove(&requester);
            lane.order.retain(|other| *other != requester);
        }
        lane.length -= 1;
        self.length -= 1;
        if lane.length == 0 {
            self.lanes.remove(&address);
            self.order.retain(|other| *other != address);
        }
        Some(task)
    }

    /// Removes the newest task of the connection that has the most of them at the address of `requester`, if
    /// `requester` has fewer: it makes room for one of `requester`.
    pub(super) fn displace_at_address(&mut self, requester: Requester) -> Option<T> {
        let lane = self.lanes.get(&requester.address())?;
        let own = lane.queues.get(&requester).map_or(0, VecDeque::len);
        let (longest, queue) = lane.queues.iter().max_by_key(|(_, queue)| queue.len())?;
        if queue.len() <= own + 1 {
            return None;
        }
        let (newest, _) = queue.back()?;
        self.remove(*longest, *newest)
    }

    /// The same for all addresses: makes room if another address has more waiting tasks than that of
    /// `requester`.
    pub(super) fn displace(&mut self, requester: Requester) -> Option<T> {
        let own = self.len_of(requester.address());
        let longest = self.lanes.values().max_by_key(|lane| lane.length)?;
        if longest.length <= own + 1 {
            return None;
        }
        let (of, queue) = longest.queues.iter().max_by_key(|(_, queue)| queue.len())?;
        let (newest, _) = queue.back()?;
        self.remove(*of, *newest)
    }
}

/// Moves `entry` to the end, if it is there.
fn move_to_end<E: PartialEq>(order: &mut VecDeque<E>, entry: &E) {
    if let Some(at) = order.iter().position(|other| other == entry)
        && let Some(entry) = order.remove(at)
    {
        order.push_back(entry);
    }
}
