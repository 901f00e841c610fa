//! The open connections of one listener, and which of them to close when it is full. Knows addresses and what each
//! connection waits for, not HTTP.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::idle_timeout::{Activity, Wait};
use super::limits::Limits;

/// If there are too many idle connections, this fraction of all connections (one in so many) is closed at once:
/// examining all of them to close only one is too expensive.
const BATCH: usize = 64;
/// If no connection could be closed for an address, it is refused for this long without another search.
const NO_LOOK: Duration = Duration::from_millis(100);

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    reader_grace: Duration,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    entries: HashMap<u64, Entry>,
    /// When, and for which address, no connection could be closed.
    refused: Option<(Instant, IpAddr)>,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    activity: Arc<Activity>,
    leave: CancellationToken,
}

/// How suitable a connection is for closing; the greatest is closed first.
type Rank = (bool, bool, Duration);

impl Connections {
    pub(super) fn new(limits: &Limits) -> Self {
        let (most, reader_grace) = (limits.max_connections, limits.reader_grace);
        Self { most, reader_grace, open: Mutex::default() }
    }

    /// A seat for a connection from `address`, and how many others must close to make room.
    ///
    /// If there are too many connections, the connections that are idle longest are closed: first those of addresses
    /// above their share, which is the same for every connected address; then any. Next come those whose clients have
    /// not read for a while. If all are busy, one connection of the address with the most is closed. If the new
    /// connection is from that address, it is refused instead.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        activity: &Arc<Activity>,
    ) -> (Option<Seat>, usize) {
        let address = network(address);
        let mut open = self.lock();
        let mut left = 0;
        if open.entries.len() >= self.most {
            let now = Instant::now();
            let again = open.refused.is_some_and(|(at, refused)| {
                refused == address && now.duration_since(at) < NO_LOOK
            });
            if again {
                return (None, 0);
            }
            let leaving = self.leaving(&open, address, now);
            left = leaving.len();
            if leaving.is_empty() {
                open.refused = Some((now, address));
                return (None, 0);
            }
            for number in leaving {
                if let Some(entry) = open.entries.remove(&number) {
                    entry.leave.cancel();
                }
            }
        }
        open.last += 1;
        let (number, leave) = (open.last, CancellationToken::new());
        let entry = Entry { address, activity: Arc::clone(activity), leave: leave.clone() };
        open.entries.insert(number, entry);
        (Some(Seat { connections: Arc::clone(self), number, leave }), left)
    }

    /// The numbers of the connections to close for one from `newcomer`.
    fn leaving(&self, open: &Open, newcomer: IpAddr, now: Instant) -> Vec<u64> {
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        for entry in open.entries.values() {
            *held.entry(entry.address).or_default() += 1;
        }
        let held_by = |address: &IpAddr| held.get(address).copied().unwrap_or_default();
        let share = self.most / held.len().max(1);
        let mut ranked: Vec<(Rank, u64)> = Vec::new();
        let mut busiest: Option<(Rank, usize, u64)> = None;
        for (number, entry) in &open.entries {
            let above = held_by(&entry.address) > share;
            match entry.activity.wait(now) {
                Wait::Request(idle) => ranked.push(((above, true, idle), *number)),
                Wait::Reader(silent) if silent >= self.reader_grace => {
                    ranked.push(((above, false, silent), *number));
                }
                Wait::Reader(since) | Wait::Us(since) => {
                    let rank = ((above, false, since), held_by(&entry.address), *number);
                    let more = |other: &(Rank, usize, u64)| (other.1, other.0) < (rank.1, rank.0);
                    if busiest.as_ref().is_none_or(more) {
                        busiest = Some(rank);
                    }
                }
            }
        }
        if ranked.is_empty() {
            let other = busiest.filter(|(_, held, _)| held_by(&newcomer) + 1 < *held);
            return other.into_iter().map(|(.., number)| number).collect();
        }
        let batch = (self.most / BATCH).clamp(1, ranked.len());
        ranked.select_nth_unstable_by_key(batch - 1, |(rank, _)| Reverse(*rank));
        ranked.truncate(batch);
        ranked.into_iter().map(|(_, number)| number).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's seat, freed when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    connections: Arc<Connections>,
    number: u64,
    leave: CancellationToken,
}

impl Seat {
    /// Waits until the connection must close to make room.
    pub(super) async fn leave(&self) {
        self.leave.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.lock().entries.remove(&self.number);
    }
}

/// The network that counts as one client: for IPv6 the /64, which one client usually has whole.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::exchange::Exchange;
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn connections(max_connections: usize) -> Arc<Connections> {
        let limits = Limits { max_connections, ..Limits::default() };
        Arc::new(Connections::new(&limits))
    }

    /// A connection and its activity, one second after the previous one.
    async fn enter(connections: &Arc<Connections>, from: IpAddr) -> Option<(Seat, Arc<Activity>)> {
        tokio::time::advance(Duration::from_secs(1)).await;
        let activity = Arc::new(Activity::new());
        connections.enter(from, &activity).0.map(|seat| (seat, activity))
    }

    fn must_leave(connection: &(Seat, Arc<Activity>)) -> bool {
        connection.0.leave.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_is_closed_when_the_listener_is_full() {
        let connections = connections(3);
        let (one, two) =
            (enter(&connections, A).await.unwrap(), enter(&connections, A).await.unwrap());
        let three = enter(&connections, A).await.unwrap();
        // The oldest connection was served last.
        drop(Exchange::begin(&one.1, false, None));
        let four = enter(&connections, A).await.unwrap();
        assert_eq!([&one, &two, &three, &four].map(must_leave), [false, true, false, false]);
        drop(two);
        assert_eq!(connections.lock().entries.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_above_its_share_loses_its_own_connections() {
        let connections = connections(4);
        let honest = enter(&connections, B).await.unwrap();
        let mut many = Vec::new();
        for _ in 0..3 {
            many.push(enter(&connections, A).await.unwrap());
        }
        let fourth = enter(&connections, A).await.unwrap();
        assert!(!must_leave(&honest) && must_leave(&many[0]) && !must_leave(&fourth));
    }

    #[tokio::test(start_paused = true)]
    async fn busy_connections_are_closed_only_for_another_address() {
        let connections = connections(3);
        let mut many = Vec::new();
        for _ in 0..3 {
            let entered = enter(&connections, A).await.unwrap();
            let request = Exchange::begin(&entered.1, false, None);
            many.push((entered, request));
        }
        assert!(enter(&connections, A).await.is_none());
        assert!(enter(&connections, B).await.is_some());
        let left = many.iter().filter(|(entered, _)| must_leave(entered)).count();
        assert_eq!(left, 1);
    }

    #[test]
    fn an_ipv6_client_is_identified_by_its_64() {
        let address = |text: &str| network(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::2:3"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:10.0.0.1"), A);
    }
}
