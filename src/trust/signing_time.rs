//! How far ahead of the gate's clock a signing time may be, for every scheme. A signature from further
//! ahead does not count: its time would make every later image look older than it.

use std::time::Duration;

use crate::clock::Timestamp;

/// How much faster than ours the clock of a signer, a log or a timestamping authority may be.
pub const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);

/// Whether `time` is too far ahead of `now` to be the time of a signature.
pub fn is_ahead(time: Timestamp, now: Timestamp) -> bool {
    time > now.plus(MAX_AHEAD)
}
