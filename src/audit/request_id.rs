//! Request ids. Knows nothing of the requests.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

/// The id of one request, in its denial and its audit event. It has no meaning, and is unique within one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Why a text is not a request id.
#[derive(Clone, Copy, Debug, Error)]
#[error("a request id has 16 hexadecimal digits; see `detail.request_id` in the denial")]
pub struct InvalidRequestId;

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let holds = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let id = u64::from_str_radix(text, 16).ok().filter(|_| holds);
        id.map(Self).ok_or(InvalidRequestId)
    }
}

/// Creates request ids.
#[derive(Debug)]
pub(super) struct RequestIds {
    start: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        // Seeded by the standard library. No security depends on it, and it avoids starting the TLS library's random
        // number generator, which takes tens of milliseconds, before the listener opens.
        let start = RandomState::new().build_hasher().finish();
        Self { start, count: AtomicU64::new(0) }
    }

    /// Applies a permutation (splitmix64) to a counter with a random start: ids never repeat and do not look
    /// sequential.
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
    fn request_ids_are_unique() {
        let ids = RequestIds::new();
        let names: HashSet<_> = (0..10_000).map(|_| ids.next().to_string()).collect();
        assert_eq!(names.len(), 10_000);
        assert!(names.iter().all(|name| name.len() == 16));
    }

    #[test]
    fn a_request_id_parses_from_its_own_text_only() {
        let id = RequestIds::new().next();
        assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
        for text in ["", "1", "+123456789abcdef", "0123456789abcdefg", "0123456789abcde g"] {
            assert!(text.parse::<RequestId>().is_err(), "{text}");
        }
    }
}
