//! Pagination (distribution-spec, "Listing tags" and "Listing referrers"): the page that a client's query or the
//! upstream's `Link` names. The gate uses only the query of a `Link`, never its host or path.

use http::HeaderMap;
use http::header::LINK;
use url::form_urlencoded;

use super::error::Violation;

/// The parameters that the gate uses itself. It reads them, and adds them again where needed.
const OWN: [&str; 2] = ["ns", "artifactType"];
/// The longest query that names a page, in bytes.
const MAX_QUERY: usize = 8 << 10;

/// One page of a list; the first page if it is empty. Registries name pages in different ways (`last`, `next_page`,
/// `cursor`, …), so the query passes through unchanged, without the parameters of the gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    query: String,
}

impl Page {
    /// Reads a query, without its `?`. A query that is too long names the first page.
    pub fn parse(query: &str) -> Self {
        let is_own = |pair: &&str| {
            let name = form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name);
            name.is_some_and(|name| OWN.contains(&&*name))
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty() && !is_own(pair));
        let query = pairs.collect::<Vec<_>>().join("&");
        if query.len() > MAX_QUERY { Self::default() } else { Self { query } }
    }

    /// The query that names this page, without `?`; empty for the first page.
    pub fn to_query(&self) -> String {
        self.query.clone()
    }

    /// The same, with one more parameter if there is one.
    pub(super) fn with(&self, name: &str, value: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(self.to_query());
        query.extend_pairs(value.map(|value| (name, value))).finish()
    }
}

/// The page that the `Link` with `rel="next"` in `headers` names; `None` after the last page.
pub(super) fn next(headers: &HeaderMap) -> Result<Option<Page>, Violation> {
    let invalid = || Violation::Header("Link");
    for line in headers.get_all(LINK) {
        let line = line.to_str().map_err(|_| invalid())?;
        for link in links(line) {
            let (target, parameters) = link.ok_or_else(invalid)?;
            if !is_next(parameters) {
                continue;
            }
            let query = target.split_once('?').map_or("", |(_, query)| query);
            let page = Page::parse(query.split('#').next().unwrap_or_default());
            // A next page without a query would be the first page again, without end.
            return if page.query.is_empty() { Err(invalid()) } else { Ok(Some(page)) };
        }
    }
    Ok(None)
}

/// Each `<target>; parameters` of one line; `None` for malformed text.
fn links(line: &str) -> impl Iterator<Item = Option<(&str, &str)>> {
    let mut rest = line.trim_matches([' ', '\t', ',']);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((target, after)) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'))
        else {
            rest = "";
            return Some(None);
        };
        // A comma in a quoted parameter is no end, but `<` begins the next link in any case.
        let end = after.find(",<").or_else(|| after.find(", <")).unwrap_or(after.len());
        let (parameters, next) = after.split_at_checked(end).unwrap_or((after, ""));
        rest = next.trim_start_matches([' ', '\t', ',']);
        Some(Some((target, parameters)))
    })
}

fn is_next(parameters: &str) -> bool {
    parameters.split(';').any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else { return false };
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("rel")
            && value.split(' ').any(|relation| relation.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn next_of(link: &str) -> Result<Option<String>, Violation> {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, HeaderValue::from_str(link).unwrap());
        Ok(next(&headers)?.map(|page| page.to_query()))
    }

    #[test]
    fn only_the_query_of_a_link_is_used() {
        for link in [
            r#"</v2/a/tags/list?n=2&last=v1%2B>; rel="next""#,
            r#"<https://evil.example/other?n=2&x=y&last=v1%2B#f>; rel=next"#,
            r#"</first?n=9>; rel="first", </v2/a/tags/list?n=2&last=v1%2B>; title="x"; rel="a next""#,
        ] {
            let next = next_of(link).unwrap().unwrap().replace("x=y&", "");
            assert_eq!(next, "n=2&last=v1%2B", "{link}");
        }
        assert_eq!(next_of(r#"</a?n=1>; rel="prev""#).unwrap(), None);
        assert_eq!(next(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn a_link_without_a_query_is_an_error() {
        for link in [r#"</a>; rel="next""#, r#"</a?ns=x>; rel="next""#, "garbage", "<unclosed"] {
            assert!(next_of(link).is_err(), "{link}");
        }
    }

    #[test]
    fn a_query_passes_through_unchanged_without_the_parameters_of_the_gate() {
        let opaque = format!("cursor=a%2Bb+c==&last={}&token=%c3%a9'~", "x".repeat(4_000));
        let long = format!("last={}", "x".repeat(MAX_QUERY));
        for (query, page) in [
            ("n=5&last=a%26b&ns=docker.io", "n=5&last=a%26b"),
            ("artifactType=a/b&next_page=abc==", "next_page=abc=="),
            ("&last=a&last=b&flag", "last=a&last=b&flag"),
            (opaque.as_str(), opaque.as_str()),
            ("", ""),
            (long.as_str(), ""),
        ] {
            assert_eq!(Page::parse(query).to_query(), page, "{query}");
        }
    }
}
