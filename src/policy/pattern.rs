//! Patterns over `registry/repository[:tag]`, anchored at both ends: `*` is any text within one path
//! segment or within a tag, `**` is any number of segments (one at least where it ends the path).
//! No regular expressions, and matching takes no more than the product of both lengths.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use crate::oci::{Registry, Repository, Tag};

/// The longest pattern.
const MAX_PATTERN: usize = 1_024;

/// One pattern of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    segments: Vec<String>,
    tag: Option<String>,
}

/// Orders patterns, the most specific first: exact before glob, then the longer text before the first
/// wildcard, then with a tag part before without, and an exact tag before a glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Specificity(Reverse<(bool, usize, bool, bool, usize, usize)>);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, tag) = match text.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            Some(_) | None => (text, None),
        };
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let known = |text: &str, also: &str| {
            text.bytes().all(|b| {
                b.is_ascii_alphanumeric() || b"._-*".contains(&b) || also.as_bytes().contains(&b)
            })
        };
        let wildcards = |segment: &String| segment == "**" || !segment.contains("**");
        if text.len() > MAX_PATTERN {
            return Err(format!("it is longer than {MAX_PATTERN} characters"));
        }
        if segments.iter().any(String::is_empty) || tag == Some("") {
            return Err("a segment is empty; write `registry/repository[:tag]`".to_owned());
        }
        if segments.len() < 2 && path != "**" {
            return Err(
                "it names no repository; write `registry/repository[:tag]`, or `**` for all"
                    .to_owned(),
            );
        }
        if !known(path, "/:[]") || !tag.is_none_or(|tag| known(tag, "")) {
            return Err(
                "it holds a character that no name has; the wildcards are `*` and `**`".to_owned()
            );
        }
        if !segments.iter().all(wildcards) || tag.is_some_and(|tag| tag.contains("**")) {
            return Err("`**` stands for whole segments: `a/**`, not `a**`".to_owned());
        }
        Ok(Self { segments, tag: tag.map(str::to_owned) })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.segments.join("/"))?;
        match &self.tag {
            Some(tag) => write!(f, ":{tag}"),
            None => Ok(()),
        }
    }
}

impl Pattern {
    /// Whether it has a tag part.
    pub fn has_tag(&self) -> bool {
        self.tag.is_some()
    }

    /// Whether this covers the name, whatever the tag.
    pub fn covers(&self, registry: &Registry, repository: &Repository) -> bool {
        let name = std::iter::once(registry.as_str()).chain(repository.as_str().split('/'));
        path_matches(&self.segments, name)
    }

    /// Whether the tag part holds: a pattern without one covers every tag, and what has no tag.
    pub(super) fn covers_tag(&self, tag: Option<&Tag>) -> bool {
        match (&self.tag, tag) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(pattern), Some(tag)) => text_matches(pattern.as_bytes(), tag.as_str().as_bytes()),
        }
    }

    pub(super) fn specificity(&self) -> Specificity {
        let path = self.segments.join("/");
        let before_wildcard = |text: &str| text.find('*').unwrap_or(text.len());
        let tag = self.tag.as_deref();
        Specificity(Reverse((
            !path.contains('*'),
            before_wildcard(&path),
            tag.is_some(),
            tag.is_some_and(|tag| !tag.contains('*')),
            tag.map_or(0, before_wildcard),
            path.len() + tag.map_or(0, str::len),
        )))
    }
}

/// `**` is any number of segments; greedy with one point of return, as in [`text_matches`].
fn path_matches<'a>(pattern: &[String], mut name: impl Iterator<Item = &'a str> + Clone) -> bool {
    let mut rest = pattern;
    // What follows the last `**`, and the name from the first segment that it has not taken yet.
    let mut back = None;
    loop {
        let mut onward = name.clone();
        let fits = match rest {
            [] if onward.next().is_none() => return true,
            [] => false,
            [last] if last == "**" => return onward.next().is_some(),
            [segment, after @ ..] if segment == "**" => {
                back = Some((after, name.clone()));
                rest = after;
                continue;
            }
            [segment, after @ ..] => {
                // What is too short for the pattern is not mended by leaving less of it.
                let Some(part) = onward.next() else { return false };
                rest = after;
                text_matches(segment.as_bytes(), part.as_bytes())
            }
        };
        if fits {
            name = onward;
            continue;
        }
        let Some((after, from)) = &mut back else { return false };
        from.next();
        (rest, name) = (*after, from.clone());
    }
}

/// `*` is any text; greedy with one point of return, so linear but for the last wildcard.
fn text_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            back = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = back {
            back = Some((star, from + 1));
            p = star + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, image: &str) -> bool {
        let pattern: Pattern = pattern.parse().unwrap();
        let image: crate::oci::ImageRef = image.parse().unwrap();
        let crate::oci::Reference::Tag(tag) = &image.reference else { panic!() };
        pattern.covers(&image.registry, &image.repository) && pattern.covers_tag(Some(tag))
    }

    #[test]
    fn wildcards_are_anchored_and_keep_to_their_segments() {
        for (pattern, image, expected) in [
            ("r.io/a/b", "r.io/a/b:1", true),
            ("r.io/a/b", "r.io/a/bc:1", false),
            ("r.io/a/b", "r.io/x/a/b:1", false),
            ("r.io/a/b", "xr.io/a/b:1", false),
            ("r.io/*", "r.io/a:1", true),
            ("r.io/*", "r.io/a/b:1", false),
            ("r.io/**", "r.io/a/b/c:1", true),
            ("r.io/a/**", "r.io/a/b:1", true),
            ("r.io/a/**", "r.io/a:1", false),
            ("r.io/a/**", "r.io/ab/c:1", false),
            ("r.io/**/b", "r.io/b:1", true),
            ("r.io/**/b", "r.io/a/x/b:1", true),
            ("r.io/**/b", "r.io/a/b/c:1", false),
            ("r.io/**/b/**", "r.io/a/b/c:1", true),
            ("r.io/a*c/d", "r.io/abc/d:1", true),
            ("r.io/a*c/d", "r.io/ab/c/d:1", false),
            ("*/a", "r.io/a:1", true),
            ("**", "r.io/a/b:1", true),
            ("r.io/a:v*", "r.io/a:v1", true),
            ("r.io/a:v*", "r.io/a:1", false),
            ("r.io/a:v1", "r.io/a:v11", false),
            ("r.io/a:*-rc*", "r.io/a:1-rc-2", true),
            ("localhost:5000/**", "localhost:5000/a:1", true),
            ("localhost:5000/**", "localhost:5001/a:1", false),
            ("**:v1", "r.io/a/b:v1", true),
        ] {
            assert_eq!(matches(pattern, image), expected, "{pattern} {image}");
        }
    }

    #[test]
    fn paths_match_as_the_definition_has_it() {
        fn defined(pattern: &[String], name: &[&str]) -> bool {
            match pattern {
                [] => name.is_empty(),
                [last] if last == "**" => !name.is_empty(),
                [first, rest @ ..] if first == "**" => {
                    (0..=name.len()).any(|taken| defined(rest, &name[taken..]))
                }
                [first, rest @ ..] => name.split_first().is_some_and(|(part, others)| {
                    text_matches(first.as_bytes(), part.as_bytes()) && defined(rest, others)
                }),
            }
        }
        fn all<'a>(words: &[&'a str], longest: usize) -> Vec<Vec<&'a str>> {
            let mut texts = vec![vec![]];
            for length in 0..longest {
                let longer = texts.iter().filter(|text| text.len() == length).flat_map(|text| {
                    words.iter().map(|word| text.iter().copied().chain([*word]).collect())
                });
                let longer: Vec<_> = longer.collect();
                texts.extend(longer);
            }
            texts
        }
        let names = all(&["a", "b"], 5);
        for pattern in all(&["a", "b", "*", "**"], 4) {
            let pattern: Vec<String> = pattern.into_iter().map(str::to_owned).collect();
            for name in &names {
                let got = path_matches(&pattern, name.iter().copied());
                assert_eq!(got, defined(&pattern, name), "{pattern:?} {name:?}");
            }
        }
    }

    #[test]
    fn a_pattern_with_a_tag_covers_no_digest() {
        assert!(!"r.io/a:*".parse::<Pattern>().unwrap().covers_tag(None));
        assert!("r.io/a".parse::<Pattern>().unwrap().covers_tag(None));
    }

    #[test]
    fn the_most_specific_is_first() {
        let mut patterns: Vec<Pattern> = [
            "**",
            "r.io/**",
            "r.io/a/*",
            "r.io/a/b",
            "r.io/a/b:v*",
            "r.io/a/b:v1",
            "r.io/a/**",
            "r.io/a/b*",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        patterns.sort_by_key(Pattern::specificity);
        let sorted: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        assert_eq!(
            sorted,
            [
                "r.io/a/b:v1",
                "r.io/a/b:v*",
                "r.io/a/b",
                "r.io/a/b*",
                "r.io/a/**",
                "r.io/a/*",
                "r.io/**",
                "**"
            ]
        );
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "a",
            "r.io/",
            "/a",
            "r.io//a",
            "r.io/a**",
            "r.io/***",
            "r.io/a:",
            "r.io/a?",
            "r.io/a b",
            "r.io/[ab]/x{1}",
        ] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
