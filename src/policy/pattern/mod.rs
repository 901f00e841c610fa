//! Patterns over `registry/repository[:tag]` or `registry/repository@digest`, anchored at both ends: `*` is
//! any text within one path segment or within a tag, `**` is any number of segments (one at least where it
//! ends the path). A name of Docker Hub is expanded as clients expand it: `docker.io/alpine` is
//! `docker.io/library/alpine`. A pattern that can match no image is an error.
//!
//! Patterns are not regular expressions. Matching takes at most the product of both lengths.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use crate::glob::matches_segment;
use crate::oci::docker_hub::{DOCKER_HUB, OFFICIAL};
use crate::oci::{Digest, ImageRef, Reference, Registry, Repository, RepositoryRef, Tag};

/// The longest pattern.
const MAX_PATTERN: usize = 1_024;
/// Matches any number of path segments.
const MANY: &str = "**";
/// The text in place of a wildcard in [`Pattern::example`].
const ANY: &str = "x0y1z2";

/// One pattern of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    segments: Vec<String>,
    which: Which,
}

/// Which manifests of a repository a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Which {
    All,
    /// Those with a tag that this pattern matches.
    Tagged(String),
    Digest(Digest),
}

/// Orders patterns, the most specific first: exact before glob, then the longer text before the first
/// wildcard, then with a tag part before without, and an exact tag before a glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Specificity(Reverse<(bool, usize, bool, bool, usize, usize)>);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATTERN {
            return Err(format!("it is longer than {MAX_PATTERN} characters"));
        }
        let (path, which) = match text.split_once('@') {
            Some((path, digest)) => {
                if path.rsplit_once(':').is_some_and(|(_, tag)| !tag.contains('/')) {
                    return Err("a digest names one manifest: leave out the tag".to_owned());
                }
                let digest = digest.parse().map_err(|error| format!("{digest:?}: {error}"))?;
                (path, Which::Digest(digest))
            }
            None => match text.rsplit_once(':') {
                Some((path, tag)) if !tag.contains('/') => (path, Which::Tagged(tag.to_owned())),
                Some(_) | None => (text, Which::All),
            },
        };
        let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        if segments.iter().any(String::is_empty) || which == Which::Tagged(String::new()) {
            return Err("a segment is empty; write `registry/repository[:tag]`".to_owned());
        }
        if segments.len() < 2 && path != MANY {
            return Err(
                "it names no repository; write `registry/repository[:tag]`, or `**` for all"
                    .to_owned(),
            );
        }
        if let Which::Tagged(tag) = &which {
            check_tag(tag)?;
        }
        check_path(&segments)?;
        if let [registry, repository] = &segments[..]
            && registry == DOCKER_HUB
            && repository != MANY
        {
            segments.insert(1, OFFICIAL.to_owned());
        }
        Ok(Self { segments, which })
    }
}

/// Checks the characters of `part`.
fn check_characters(part: &str, also: &str) -> Result<(), String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-*".contains(c) || also.contains(c);
    if part.chars().all(known) {
        return Ok(());
    }
    Err("it contains a character that no name can contain; the wildcards are `*` and `**`"
        .to_owned())
}

/// Checks that some tag matches `tag`.
fn check_tag(tag: &str) -> Result<(), String> {
    check_characters(tag, "")?;
    if tag.contains(MANY) {
        return Err("`**` matches whole segments: `a/**`, not `a**`".to_owned());
    }
    // Replaces `*` with a letter: if the result is not a tag, no tag can match.
    match tag.replace('*', "a").parse::<Tag>() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("no tag can match {tag:?}: {error}")),
    }
}

/// Checks that some registry and repository match the path.
fn check_path(segments: &[String]) -> Result<(), String> {
    let mut within_registry = true;
    for (at, segment) in segments.iter().enumerate() {
        if segment == MANY {
            continue;
        }
        check_characters(segment, ":[]")?;
        if segment.contains(MANY) {
            return Err("`**` matches whole segments: `a/**`, not `a**`".to_owned());
        }
        if segment.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(format!(
                "no image can match {segment:?}: registries and repositories are lower case; write {:?}",
                segment.to_ascii_lowercase()
            ));
        }
        // Replaces `*` with a digit, which is valid everywhere in a name except in an IPv6 address.
        let example = segment.replace('*', "1");
        let is_repository = || example.parse::<Repository>().map(drop);
        let is_registry = || {
            // `*` in an IPv6 address. Brackets are not a character class.
            let address = |c: char| matches!(c, '0'..='9' | 'a'..='f' | ':' | '.' | '*' | ']');
            if segment.strip_prefix('[').is_some_and(|rest| rest.chars().all(address))
                && segment.contains("]")
                && segment.contains('*')
                && (segment.contains(':') || segment == "[*]")
            {
                return Ok(());
            }
            example.parse::<Registry>().map(drop)
        };
        let fits = if at == 0 {
            is_registry()
        } else if within_registry {
            is_repository().or_else(|_| is_registry())
        } else {
            is_repository()
        };
        fits.map_err(|error| format!("no image can match {segment:?}: {error}"))?;
        within_registry = false;
    }
    Ok(())
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.segments.join("/"))?;
        match &self.which {
            Which::All => Ok(()),
            Which::Tagged(tag) => write!(f, ":{tag}"),
            Which::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl Pattern {
    /// Whether it has a tag part.
    pub fn has_tag(&self) -> bool {
        matches!(self.which, Which::Tagged(_))
    }

    /// The digest that it names.
    pub fn digest(&self) -> Option<&Digest> {
        match &self.which {
            Which::Digest(digest) => Some(digest),
            Which::All | Which::Tagged(_) => None,
        }
    }

    /// The registry that it names, if it names exactly one.
    #[cfg(feature = "test-support")]
    pub fn registry(&self) -> Option<&str> {
        self.segments.first().map(String::as_str).filter(|registry| !registry.contains('*'))
    }

    /// Whether this covers the name, whatever the tag or the digest.
    pub fn covers(&self, repository: &RepositoryRef) -> bool {
        // `*/alpine` covers docker.io as well, whose `alpine` is `library/alpine`.
        if let [any, short] = &self.segments[..]
            && any != MANY
            && short != MANY
            && repository.registry.as_str() == DOCKER_HUB
        {
            let official =
                repository.name.as_str().split_once('/').filter(|(user, _)| *user == OFFICIAL);
            return matches_segment(any, repository.registry.as_str())
                && official.is_some_and(|(_, rest)| matches_segment(short, rest));
        }
        let name = std::iter::once(repository.registry.as_str())
            .chain(repository.name.as_str().split('/'));
        path_matches(&self.segments, name)
    }

    /// Whether the tag part matches. A pattern without a tag part covers every tag, and manifests without a tag. A
    /// pattern with a digest covers no tag.
    pub(super) fn covers_tag(&self, tag: Option<&Tag>) -> bool {
        match (&self.which, tag) {
            (Which::All, _) => true,
            (Which::Tagged(_), None) | (Which::Digest(_), _) => false,
            (Which::Tagged(pattern), Some(tag)) => matches_segment(pattern, tag.as_str()),
        }
    }

    pub(super) fn specificity(&self) -> Specificity {
        let path = self.segments.join("/");
        let before_wildcard = |text: &str| text.find('*').unwrap_or(text.len());
        let (part, exact, text, whole) = match &self.which {
            Which::All => (false, false, 0, 0),
            Which::Tagged(tag) => (true, !tag.contains('*'), before_wildcard(tag), tag.len()),
            Which::Digest(_) => (true, true, usize::MAX, 0),
        };
        Specificity(Reverse((
            !path.contains('*'),
            before_wildcard(&path),
            part,
            exact,
            text,
            path.len() + whole,
        )))
    }

    /// The repository that it names, if it names exactly one.
    pub(super) fn repository(&self) -> Option<RepositoryRef> {
        let is_glob = self.segments.iter().any(|segment| segment.contains('*'));
        self.example().filter(|_| !is_glob)
    }

    /// An example of the names that it covers. No other pattern contains the text in place of the wildcards.
    pub(super) fn example(&self) -> Option<RepositoryRef> {
        let segment = |segment: &String| segment.replace(MANY, ANY).replace('*', ANY);
        let mut path: Vec<String> = self.segments.iter().map(segment).collect();
        if path.len() < 2 {
            path.push(ANY.to_owned());
        }
        let image: ImageRef = path.join("/").parse().ok()?;
        let ImageRef { repository, reference: Reference::Tag(_) } = image else {
            return None;
        };
        self.covers(&repository).then_some(repository)
    }
}

/// Matches a path. `**` is any number of segments; greedy with one backtracking point, as in [`matches_segment`].
fn path_matches<'a>(pattern: &[String], mut name: impl Iterator<Item = &'a str> + Clone) -> bool {
    let mut rest = pattern;
    // The pattern after the last `**`, and the part of the name that this `**` has not consumed yet.
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
                // A name that is too short for the pattern does not match with fewer segments either.
                let Some(part) = onward.next() else { return false };
                rest = after;
                matches_segment(segment, part)
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

#[cfg(test)]
mod tests;
