//! Pagination (distribution-spec, "Listing tags" and "Listing referrers"): which page is meant, by the
//! client's query or by upstream's `Link`. Of a `Link`, only the query is used: never its host or path.

use http::HeaderMap;
use http::header::LINK;
use url::form_urlencoded;

use super::error::Violation;

/// What pages are called: `n` and `last` of the specification, and what quay (`next_page`), Harbor
/// (`page`, `page_size`) and ACR (`nextToken`) have instead.
const KEYS: [&str; 6] = ["n", "last", "next_page", "page", "page_size", "nextToken"];
/// The longest value of one of them, in bytes.
const MAX_VALUE: usize = 1024;

/// One page of a list; the first if it names nothing. Keys that are none of pagination, values that are
/// too long, and an `n` that is no number are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pairs: Vec<(&'static str, String)>,
}

impl Page {
    /// Reads a query, without its `?`.
    pub fn parse(query: &str) -> Self {
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(&key) = KEYS.iter().find(|key| **key == name) else { continue };
            let number = !matches!(key, "n" | "page" | "page_size") || value.parse::<u32>().is_ok();
            let again = pairs.iter().any(|(earlier, _)| *earlier == key);
            if number && !again && value.len() <= MAX_VALUE {
                pairs.push((key, value.into_owned()));
            }
        }
        Self { pairs }
    }

    /// The query that names this page, without `?`; empty for the first page.
    pub fn to_query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.pairs).finish()
    }

    pub(super) fn pairs(&self) -> &[(&'static str, String)] {
        &self.pairs
    }
}

/// The page that the `Link` with `rel="next"` in `headers` names; `None` if this was the last.
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
            // A next page that has no name would be the first page again, for ever.
            return if page.pairs.is_empty() { Err(invalid()) } else { Ok(Some(page)) };
        }
    }
    Ok(None)
}

/// The `<target>; parameters` of one line; `None` where it is not made of them.
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
            assert_eq!(next_of(link).unwrap().as_deref(), Some("n=2&last=v1%2B"), "{link}");
        }
        assert_eq!(next_of(r#"</a?n=1>; rel="prev""#).unwrap(), None);
        assert_eq!(next(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn a_link_that_names_no_page_is_refused() {
        for link in [r#"</a>; rel="next""#, r#"</a?x=1>; rel="next""#, "garbage", "<unclosed"] {
            assert!(next_of(link).is_err(), "{link}");
        }
    }

    #[test]
    fn of_a_clients_query_only_the_page_is_kept() {
        let long = format!("last={}", "x".repeat(MAX_VALUE + 1));
        for (query, page) in [
            ("n=5&last=a%26b&ns=docker.io", "n=5&last=a%26b"),
            ("n=-1&n=2&last=a&last=b", "n=2&last=a"),
            ("next_page=abc==", "next_page=abc%3D%3D"),
            ("", ""),
            (&long, ""),
        ] {
            assert_eq!(Page::parse(query).to_query(), page, "{query}");
        }
    }
}
