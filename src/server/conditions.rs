//! Conditional and range requests (RFC 9110, sections 13 and 14) for content that is named by its digest and so
//! never changes. Knows nothing of the content itself.

use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};
use thiserror::Error;

use crate::registry_client::ByteRange;

/// An invalid range: not in the form of RFC 9110, or it ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a range of bytes is `bytes=<first>-[<last>]` or `bytes=-<length>`")]
pub(super) struct InvalidRange;

/// Whether the client already has the content with this `etag` (in quotes). Accepts an etag without quotes, because
/// some registry clients omit them.
pub(super) fn is_unchanged(headers: &HeaderMap, etag: &str) -> bool {
    let has = |tag: &str| {
        let tag = tag.trim();
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag == etag || tag == etag.trim_matches('"')
    };
    let mut values = headers.get_all(IF_NONE_MATCH).iter();
    values.any(|value| value.to_str().is_ok_and(|tags| tags.split(',').any(has)))
}

/// The byte range that the client requests; `None` means the whole content.
///
/// Other units, several ranges, and ranges of another version of the content also mean the whole content, as
/// RFC 9110 (14.2, 13.1.5) allows or requires.
pub(super) fn range(headers: &HeaderMap, etag: &str) -> Result<Option<ByteRange>, InvalidRange> {
    let mut all = headers.get_all(RANGE).iter();
    let (Some(range), None) = (all.next(), all.next()) else { return Ok(None) };
    // A date never matches: responses have no `Last-Modified`.
    let other = |since: &HeaderValue| since.as_bytes() != etag.as_bytes();
    if headers.get(IF_RANGE).is_some_and(other) {
        return Ok(None);
    }
    let text = range.to_str().map_err(|_| InvalidRange)?;
    let (unit, ranges) = text.split_once('=').ok_or(InvalidRange)?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ok(None);
    }
    let ranges: Vec<_> = ranges
        .split(',')
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .map(|range| ByteRange::parse(&format!("bytes={range}")).ok_or(InvalidRange))
        .collect::<Result<_, _>>()?;
    match ranges[..] {
        [] => Err(InvalidRange),
        [range] => Ok(Some(range)),
        [..] => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"sha256:abc\"";

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn content_is_unchanged_if_any_etag_matches() {
        for tags in
            ["*", ETAG, "sha256:abc", "\"x\", \"sha256:abc\"", "W/\"sha256:abc\"", "a ,sha256:abc "]
        {
            assert!(is_unchanged(&headers(&[(IF_NONE_MATCH, tags)]), ETAG), "{tags}");
        }
        for tags in ["", "\"sha256:ab\"", "sha256:abcd", "\"x\"", "é"] {
            assert!(!is_unchanged(&headers(&[(IF_NONE_MATCH, tags)]), ETAG), "{tags}");
        }
        assert!(!is_unchanged(&HeaderMap::new(), ETAG));
        let two = headers(&[(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, ETAG)]);
        assert!(is_unchanged(&two, ETAG));
    }

    #[test]
    fn a_single_range_is_used() {
        for one in ["bytes=0-", "bytes=5-9", "bytes=-3", "Bytes=1-1", "bytes=0-0,"] {
            let headers = headers(&[(RANGE, one)]);
            let expected = one.to_lowercase().trim_end_matches(',').to_owned();
            assert_eq!(range(&headers, ETAG).unwrap().map(ByteRange::to_header), Some(expected));
        }
    }

    #[test]
    fn unsupported_ranges_mean_the_whole_content() {
        for whole in ["items=0-5", "bytes=0-1,3-4", "bytes=0-,5-"] {
            assert_eq!(range(&headers(&[(RANGE, whole)]), ETAG), Ok(None), "{whole}");
        }
        assert_eq!(range(&headers(&[(RANGE, "bytes=0-"), (RANGE, "bytes=1-")]), ETAG), Ok(None));
        let since = |tag| {
            range(&headers(&[(RANGE, "bytes=1-"), (IF_RANGE, tag)]), ETAG)
                .is_ok_and(|r| r.is_some())
        };
        assert!(since(ETAG));
        assert!(!since("\"other\""));
        assert!(!since("W/\"sha256:abc\""));
        assert!(!since("Sun, 22 Nov 2026 20:00:00 GMT"));
    }

    #[test]
    fn an_invalid_range_is_an_error() {
        for bad in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=1",
            "bytes=--1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes=0-1,x",
            "bytes=0-1,2-3,4",
            "bytes=18446744073709551616-",
            "é=1",
        ] {
            assert_eq!(range(&headers(&[(RANGE, bad)]), ETAG), Err(InvalidRange), "{bad}");
        }
    }
}
