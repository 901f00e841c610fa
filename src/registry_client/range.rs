//! Byte ranges (RFC 9110, section 14): parses the requested range, and checks the range that upstream sends.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE};

use super::error::Violation;

/// One requested range of bytes. The gate does not support several ranges in one request; such a client may get the
/// whole content (RFC 9110, 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteRange {
    /// From byte `first` to the end.
    From { first: u64 },
    /// From `first` to `last`, both included.
    Between { first: u64, last: u64 },
    /// The last `length` bytes.
    Last { length: u64 },
}

impl ByteRange {
    /// Parses the value of a `Range` header; `None` if it is not exactly one range of bytes: the request then counts as
    /// one without a `Range`.
    pub fn parse(text: &str) -> Option<Self> {
        let (unit, range) = text.split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        match (first, last) {
            ("", length) => Some(Self::Last { length: number(length)? }),
            (first, "") => Some(Self::From { first: number(first)? }),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between { first, last })
            }
        }
    }

    /// The value of a `Range` header.
    pub fn to_header(self) -> String {
        match self {
            Self::From { first } => format!("bytes={first}-"),
            Self::Between { first, last } => format!("bytes={first}-{last}"),
            Self::Last { length } => format!("bytes=-{length}"),
        }
    }

    /// The part of content of `total` bytes that this range covers; `None` if it covers nothing.
    pub fn within(self, total: u64) -> Option<ContentRange> {
        let end = total.checked_sub(1)?;
        let (first, last) = match self {
            Self::From { first } => (first, end),
            Self::Between { first, last } => (first, last.min(end)),
            Self::Last { length: 0 } => return None,
            Self::Last { length } => (total.saturating_sub(length), end),
        };
        (first <= last).then_some(ContentRange { first, last, total })
    }
}

/// The range in an answer: bytes `first` to `last`, both included, of `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    pub first: u64,
    pub last: u64,
    pub total: u64,
}

impl ContentRange {
    /// Its length in bytes. `last` is never before `first`.
    pub fn length(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// The value of a `Content-Range` header.
    pub fn to_header(self) -> String {
        format!("bytes {}-{}/{}", self.first, self.last, self.total)
    }

    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last, total) = (number(first)?, number(last)?, number(total)?);
        (first <= last && last < total).then_some(Self { first, last, total })
    }
}

/// The range of a 206 with `headers`, which must be exactly the `asked` one.
pub(super) fn part(headers: &HeaderMap, asked: ByteRange) -> Result<ContentRange, Violation> {
    let text = headers.get(CONTENT_RANGE).ok_or(Violation::Missing("Content-Range"))?;
    let part = text.to_str().ok().and_then(ContentRange::parse);
    let part = part.ok_or(Violation::Header("Content-Range"))?;
    let length = content_length(headers)?;
    if asked.within(part.total) != Some(part) || length.is_some_and(|said| said != part.length()) {
        return Err(Violation::Range);
    }
    Ok(part)
}

/// The size in the `Content-Range: bytes */size` of a 416.
pub(super) fn unsatisfied_size(headers: &HeaderMap) -> Option<u64> {
    number(headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes */")?)
}

/// The `Content-Length`, if there is one.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Violation> {
    let Some(text) = headers.get(CONTENT_LENGTH) else { return Ok(None) };
    let length = text.to_str().ok().and_then(number);
    length.map(Some).ok_or(Violation::Header("Content-Length"))
}

/// Digits and nothing else, without a sign.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn exactly_one_range_is_parsed_as_a_range() {
        for (text, range) in [
            ("bytes=0-", ByteRange::From { first: 0 }),
            ("bytes=5-9", ByteRange::Between { first: 5, last: 9 }),
            ("Bytes= -7", ByteRange::Last { length: 7 }),
        ] {
            assert_eq!(ByteRange::parse(text), Some(range), "{text}");
            assert_eq!(ByteRange::parse(&range.to_header()), Some(range));
        }
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=9-5",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "items=0-1",
            "bytes=a-b",
            "bytes=0x1-",
            "bytes=99999999999999999999-",
            "bytes=1 - 2",
            "bytes=--1",
        ] {
            assert_eq!(ByteRange::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_range_is_cut_to_the_content() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        assert_eq!(ByteRange::From { first: 3 }.within(10), range(3, 9, 10));
        assert_eq!(ByteRange::Between { first: 3, last: 99 }.within(10), range(3, 9, 10));
        assert_eq!(ByteRange::Last { length: 3 }.within(10), range(7, 9, 10));
        assert_eq!(ByteRange::Last { length: 30 }.within(10), range(0, 9, 10));
        assert_eq!(ByteRange::From { first: 10 }.within(10), None);
        assert_eq!(ByteRange::Last { length: 0 }.within(10), None);
        assert_eq!(ByteRange::From { first: 0 }.within(0), None);
    }

    #[test]
    fn only_the_requested_range_is_accepted() {
        let asked = ByteRange::Between { first: 2, last: 4 };
        let part_of = |range: &'static str, length: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, HeaderValue::from_static(range));
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
            part(&headers, asked)
        };
        assert_eq!(part_of("bytes 2-4/10", "3").unwrap().to_header(), "bytes 2-4/10");
        for (range, length) in [
            ("bytes 2-4/10", "4"),
            ("bytes 2-4/10", "x"),
            ("bytes 2-5/10", "4"),
            ("bytes 1-4/10", "4"),
            ("bytes 2-3/10", "2"),
            ("bytes 2-4/*", "3"),
            ("bytes 2-4/4", "3"),
            ("bytes 4-2/10", "3"),
            ("bytes */10", "3"),
            ("2-4/10", "3"),
        ] {
            assert!(part_of(range, length).is_err(), "{range} {length}");
        }
        assert!(part(&HeaderMap::new(), asked).is_err());
    }
}
