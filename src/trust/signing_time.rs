//! The limit for signing times in the future, for every scheme. A signature beyond it does not count, because every later
//! image would look older.

use std::time::Duration;

use crate::clock::Timestamp;

/// How far the clock of a signer, a log or a timestamping authority may be ahead of the gate's.
pub const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);

/// Whether `time` is too far in the future to be a signing time.
pub fn is_ahead(time: Timestamp, now: Timestamp) -> bool {
    time > now.plus(MAX_AHEAD)
}
