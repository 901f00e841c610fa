//! When the proofs of a bundle expire, sorted by time. Pure.

use serde::Serialize;

use crate::bundle::Contents;
use crate::clock::Timestamp;
use crate::text::shown;

/// The longest name in an entry, in characters.
const MAX_NAME: usize = 512;
const TIMESTAMP: &str = "timestamp";

/// One expiry date.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Expiry {
    /// Seconds since 1970.
    #[serde(skip)]
    at: i64,
    /// RFC 3339.
    ends: String,
    /// What expires.
    pub what: String,
}

impl Expiry {
    fn new(at: i64, what: String) -> Self {
        Self { at, ends: format!("{:#}", Timestamp::from_unix(at)), what }
    }

    /// When it expires.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_unix(self.at)
    }

    /// When it expires, in RFC 3339.
    pub fn ends(&self) -> &str {
        &self.ends
    }
}

/// All expiry dates of the proofs in a bundle, the first one first. Texts of the bundle are made safe to show.
pub fn of(contents: &Contents) -> Vec<Expiry> {
    let safe = |text: &str| shown(text, MAX_NAME);
    let mut all = Vec::new();
    for image in &contents.images {
        let name = image.names.first().map_or(&image.digest, |name| name);
        for anchor in image.decision.anchors.iter().filter(|anchor| anchor.scheme != "notaryv1") {
            let what = || format!("{}: signature by {}", safe(name), safe(&anchor.name));
            all.extend(anchor.ends.map(|at| Expiry::new(at, what())));
        }
    }
    for repository in &contents.notaryv1 {
        for (role, at) in &repository.ends {
            all.push(Expiry::new(
                *at,
                format!("{}: {} (notaryv1)", safe(&repository.gun), safe(role)),
            ));
        }
    }
    for response in &contents.revocation {
        all.extend(
            response
                .ends
                .map(|at| Expiry::new(at, format!("revocation data of {}", safe(&response.url)))),
        );
    }
    all.sort();
    all.dedup();
    all
}

/// The dates before `end`. With an exporter's statement, the expiry of Notary v1 timestamps does not count: the
/// statement replaces it where the receiver names the exporter.
pub fn before(contents: &Contents, end: Timestamp, has_exporter: bool) -> Vec<Expiry> {
    let mut contents = contents.clone();
    if has_exporter {
        for repository in &mut contents.notaryv1 {
            repository.ends.remove(TIMESTAMP);
        }
    }
    of(&contents).into_iter().filter(|one| one.at() < end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::contents::{Anchor, Decision, Image, NotaryRepository, Revocation};

    fn contents() -> Contents {
        let anchor = |scheme: &str, ends| Anchor {
            name: "a\u{1b}[2J".to_owned(),
            scheme: scheme.to_owned(),
            ends,
            ..Anchor::default()
        };
        let anchors =
            vec![anchor("cosign", Some(300)), anchor("cosign", None), anchor("notaryv1", Some(1))];
        let image = Image {
            names: vec!["r.example/app:1".to_owned()],
            decision: Decision { anchors, ..Decision::default() },
            ..Image::default()
        };
        let ends = [("timestamp".to_owned(), 100), ("root".to_owned(), 400)].into();
        let repository =
            NotaryRepository { gun: "r.example/app".to_owned(), ends, ..Default::default() };
        let crl = Revocation {
            url: "http://ca.example/crl".to_owned(),
            ends: Some(200),
            ..Default::default()
        };
        Contents {
            images: vec![image],
            notaryv1: vec![repository],
            revocation: vec![crl],
            ..Default::default()
        }
    }

    #[test]
    fn all_dates_are_sorted_and_safe_to_show() {
        let all = of(&contents());
        let dates: Vec<i64> = all.iter().map(|one| one.at).collect();
        assert_eq!(dates, [100, 200, 300, 400]);
        assert_eq!(all[2].what, "r.example/app:1: signature by a\u{fffd}[2J");
        assert_eq!(all[0].ends(), "1970-01-01T00:01:40Z");
    }

    #[test]
    fn an_exporters_statement_replaces_only_the_timestamp() {
        let end = Timestamp::from_unix(250);
        assert_eq!(before(&contents(), end, false).len(), 2);
        assert_eq!(before(&contents(), end, true)[0].at, 200);
    }
}
