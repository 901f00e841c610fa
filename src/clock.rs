//! Time as a value. Only [`Clock::System`] reads the machine's clock; all other code receives `now` as a
//! parameter.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An instant of civil time, UTC, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

impl Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn from_unix(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// Seconds since 1970-01-01T00:00:00Z, rounded down.
    pub const fn unix(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds since [`Self::unix`].
    pub const fn subsec_nanos(self) -> u32 {
        self.nanos
    }

    /// The last instant of a day in UTC, such as `2027-01-31`.
    pub fn end_of_day(day: &str) -> Option<Self> {
        Self::parse_rfc3339(&format!("{day}T23:59:59.999999999Z"))
    }

    /// The day in UTC, such as `2027-01-31`.
    pub fn day(self) -> String {
        self.to_string().chars().take_while(|c| *c != 'T').collect()
    }

    /// Parses RFC 3339 as Go's `time.Time` does: a zone is mandatory, `T` and `Z` are upper case,
    /// the fraction has one to nine digits, and there is neither a leap second nor an hour 24.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let shape = bytes.len() >= 20
            && bytes.len() <= 35
            && bytes[10] == b'T'
            && bytes
                .iter()
                .all(|b| matches!(b, b'0'..=b'9' | b'-' | b':' | b'.' | b'T' | b'Z' | b'+'));
        if !shape || &bytes[17..19] == b"60" {
            return None;
        }
        if bytes[19] == b'.' {
            let digits = bytes[20..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 || digits > 9 {
                return None;
            }
        }
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(Self { seconds: at.unix_timestamp(), nanos: at.nanosecond() })
    }

    /// The instant `duration` after this one. Saturates.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let nanos = self.nanos + duration.subsec_nanos();
        let carry = i64::from(nanos >= 1_000_000_000);
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self {
            seconds: self.seconds.saturating_add(seconds).saturating_add(carry),
            nanos: nanos % 1_000_000_000,
        }
    }

    /// The time from `earlier` to this instant; zero if this instant is not later.
    pub fn since(self, earlier: Self) -> Duration {
        if self <= earlier {
            return Duration::ZERO;
        }
        let nanos = (i128::from(self.seconds) - i128::from(earlier.seconds)) * 1_000_000_000
            + i128::from(self.nanos)
            - i128::from(earlier.nanos);
        let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
        Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).unwrap_or(0))
    }
}

/// RFC 3339. `{:#}` omits the fraction of a second.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match OffsetDateTime::from_unix_timestamp(self.seconds)
            .ok()
            .and_then(|at| at.replace_nanosecond(if f.alternate() { 0 } else { self.nanos }).ok())
            .and_then(|at| at.format(&Rfc3339).ok())
        {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} seconds after 1970", self.seconds),
        }
    }
}

/// The source of `now`.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that only [`Clock::advance`] moves, in nanoseconds since 1970.
    #[cfg(feature = "test-support")]
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that shows `now` until [`Clock::advance`] moves it.
    #[cfg(feature = "test-support")]
    pub fn manual(now: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(nanos_since_1970(now))))
    }

    /// Moves a manual clock forward. Does nothing for the machine's clock.
    #[cfg(feature = "test-support")]
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(nanos) = self {
            nanos.fetch_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                #[expect(clippy::disallowed_methods, reason = "the one place that reads the time")]
                let now = std::time::SystemTime::now();
                // A clock before 1970 is wrong: use 1970.
                let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
                Timestamp { seconds, nanos: since.subsec_nanos() }
            }
            #[cfg(feature = "test-support")]
            Self::Manual(nanos) => {
                let nanos = nanos.load(Ordering::SeqCst);
                Timestamp {
                    seconds: nanos.div_euclid(1_000_000_000),
                    nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
                }
            }
        }
    }
}

#[cfg(feature = "test-support")]
fn nanos_since_1970(at: Timestamp) -> i64 {
    at.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(at.nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_go_accepts_are_accepted() {
        for (text, unix) in [
            ("2026-12-06T11:31:31.813654606Z", 1_796_556_691),
            ("2016-02-05T00:00:00-05:00", 1_454_648_400),
            ("1970-01-01T00:00:00Z", 0),
            ("0000-01-01T00:00:00Z", -62_167_219_200),
            ("9999-12-31T23:59:59.9+00:00", 253_402_300_799),
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text).map(Timestamp::unix), Some(unix), "{text}");
        }
    }

    #[test]
    fn times_that_go_rejects_are_rejected() {
        for text in [
            "",
            "2026-12-06",
            "2026-12-06T11:31:31",
            "2026-12-06t11:31:31Z",
            "2026-12-06T11:31:31z",
            "2026-12-06 11:31:31Z",
            "10000-12-06T11:31:31Z",
            "2026-12-31T23:59:60Z",
            "2026-12-06T24:00:00Z",
            "2026-12-06T11:31:31.Z",
            "2026-12-06T11:31:31.0123456789Z",
            "2026-12-06T11:31:31Z ",
            "2026-13-06T11:31:31Z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_manual_clock_moves_only_when_it_is_advanced() {
        let clock = Clock::manual(Timestamp::from_unix(100));
        assert_eq!(clock.now(), Timestamp::from_unix(100));
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now().since(Timestamp::from_unix(100)), Duration::from_millis(1500));
        assert_eq!(Timestamp::from_unix(5).since(Timestamp::from_unix(9)), Duration::ZERO);
    }
}
