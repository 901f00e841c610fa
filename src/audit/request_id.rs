//! The names of requests. Knows nothing of what was asked.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

/// The name of one request, in its denial and in the audit event; of no meaning, and not repeated
/// within one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Why a text names no request.
#[derive(Clone, Copy, Debug, Error)]
#[error("a request has a name of 16 digits and letters a to f: `detail.request_id` of its denial")]
pub struct InvalidRequestId;

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let holds = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let id = u64::from_str_radix(text, 16).ok().filter(|_| holds);
        id.map(Self).ok_or(InvalidRequestId)
    }
}

/// Names requests.
#[derive(Debug)]
pub(super) struct RequestIds {
    start: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        // Seeded by the system. Nothing rests on it, and TLS's own random numbers, which take tens of
        // milliseconds to begin, need not begin before the listener.
        let start = RandomState::new().build_hasher().finish();
        Self { start, count: AtomicU64::new(0) }
    }

    /// A permutation (splitmix64) of a count that starts anywhere, so that no two are the same and
    /// none looks like the one before it.
    pub(super) fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut id = self.start.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        RequestId(id ^ (id >> 31))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_requests_have_the_same_name() {
        let ids = RequestIds::new();
        let names: HashSet<_> = (0..10_000).map(|_| ids.next().to_string()).collect();
        assert_eq!(names.len(), 10_000);
        assert!(names.iter().all(|name| name.len() == 16));
    }

    #[test]
    fn a_name_is_read_as_it_was_written_and_nothing_else_is_one() {
        let id = RequestIds::new().next();
        assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
        for text in ["", "1", "+123456789abcdef", "0123456789abcdefg", "0123456789abcde g"] {
            assert!(text.parse::<RequestId>().is_err(), "{text}");
        }
    }
}
