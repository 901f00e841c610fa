//! `GET /denials`: the denials that the gate remembers, for `countersign denials`.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use url::form_urlencoded;

use crate::audit::recent::KEPT;
use crate::audit::{Audit, Record};
use crate::toml_reader::duration;

use super::why::json;
use super::{TEXT, answer};

/// The denials since this time are listed, unless the query says otherwise.
const SINCE: Duration = Duration::from_secs(60 * 60);
/// The most denials in one answer.
const MAX_LISTED: usize = 1_000;
const USAGE: &str = "write /denials, or /denials?since=TIME with a time such as 30m or 24h";

/// Lists the recent denials.
#[derive(Debug)]
pub struct Denials {
    audit: Audit,
}

/// The answer. A denial has the members of its audit record.
#[derive(Serialize)]
struct Listed<'a> {
    /// The newest first.
    denials: Vec<&'a Record>,
    /// How many denials since that time are left out because of the limit of one answer.
    omitted: usize,
    /// How many denials the gate remembers at most.
    kept: usize,
}

impl Denials {
    pub fn new(audit: Audit) -> Self {
        Self { audit }
    }

    pub(super) fn answer(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let since = match since(query.unwrap_or_default()) {
            Ok(since) => since,
            Err(wrong) => return answer(StatusCode::BAD_REQUEST, TEXT, wrong + "\n"),
        };
        let denials = self.audit.recent().denials(self.audit.now(), since);
        let omitted = denials.len().saturating_sub(MAX_LISTED);
        let denials = denials.iter().take(MAX_LISTED).map(|record| &**record).collect();
        json(&Listed { denials, omitted, kept: KEPT })
    }
}

fn since(query: &str) -> Result<Duration, String> {
    let mut asked = form_urlencoded::parse(query.as_bytes());
    match (asked.next(), asked.next()) {
        (None, None) => Ok(SINCE),
        (Some((key, value)), None) if key == "since" => {
            duration(&value).map_err(|error| format!("{error}; {USAGE}"))
        }
        _ => Err(USAGE.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_time_or_nothing() {
        assert_eq!(since(""), Ok(SINCE));
        assert_eq!(since("since=30m"), Ok(Duration::from_secs(1800)));
        for query in ["since=", "since=yesterday", "since=1h&since=2h", "until=1h"] {
            assert!(since(query).unwrap_err().contains(USAGE), "{query}");
        }
    }
}
