//! `Via` (RFC 9110, 7.6.3): every request that this process sends to a registry or trust server names the process, so
//! that the gate recognizes a request that comes back to it (a loop). The name is random for each process, so that
//! chained gates do not mistake each other for themselves.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use http::header::VIA;
use http::{HeaderMap, HeaderValue};

/// The name of this process in `Via`.
static PSEUDONYM: LazyLock<String> =
    LazyLock::new(|| format!("countersign-{:016x}", RandomState::new().hash_one("via")));

/// The value of `Via` for requests of this process.
pub(super) fn value() -> Option<HeaderValue> {
    HeaderValue::try_from(format!("1.1 {}", *PSEUDONYM)).ok()
}

/// Whether this process sent a request with these headers.
pub fn was_here(headers: &HeaderMap) -> bool {
    headers.get_all(VIA).iter().any(|value| {
        let members = value.as_bytes().split(|byte| *byte == b',');
        let mut by = members.filter_map(|member| {
            member.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(1)
        });
        by.any(|by| by == PSEUDONYM.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn was_via(values: &[&str]) -> bool {
        let values = values.iter().map(|value| value.replace("US", &PSEUDONYM));
        let headers = values.map(|value| (VIA, HeaderValue::try_from(value).unwrap()));
        was_here(&headers.collect())
    }

    #[test]
    fn only_this_process_is_recognized() {
        for here in
            [&["1.1 US"][..], &["1.0 fred, HTTP/1.1  US (gate), 2 cdn"], &["2 cdn", "1.1 US"]]
        {
            assert!(was_via(here), "{here:?}");
        }
        for elsewhere in [
            &[][..],
            &["1.1 countersign-0123456789abcdef"],
            &["1.1 USA"],
            &["1.1 cdn (US)"],
            &["US"],
        ] {
            assert!(!was_via(elsewhere), "{elsewhere:?}");
        }
        assert!(was_here(&HeaderMap::from_iter([(VIA, value().unwrap())])));
    }
}
