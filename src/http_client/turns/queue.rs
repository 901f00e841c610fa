//! The queue of tasks that wait for a turn: round-robin by address, and within an address by connection. It does not
//! know which tasks have turns.

use std::collections::{HashMap, VecDeque};

use crate::requester::{Address, Requester};

/// The waiting tasks. `T` is the channel to a task.
pub(super) struct Queue<T> {
    /// The addresses with waiting tasks, the next one first.
    order: VecDeque<Option<Address>>,
    lanes: HashMap<Option<Address>, Lane<T>>,
    length: usize,
}

/// The waiting tasks of one address.
struct Lane<T> {
    /// The connections with waiting tasks, the next one first. No queue in it is empty.
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

    /// The number of waiting tasks of an address.
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

    /// Removes and returns the next task for which `may_run` returns true. Its address and its connection move to the
    /// end.
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

    /// Removes a task that leaves; `None` if it is no longer waiting.
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

    /// Makes room for a task of `requester`: removes the newest task of the connection with the most tasks at its
    /// address, if `requester` has fewer.
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

    /// The same for all addresses: makes room if another address has more waiting tasks than the address of
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
