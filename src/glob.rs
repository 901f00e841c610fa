//! One meaning of `*` for every configuration key that accepts it. Pure.
//!
//! - `*` matches any number of characters, including none, but no `/`, `@` or control character.
//! - `**` also matches `/`. Like `*`, it matches no `@` and no control character.
//! - Every other character matches itself. A pattern matches a whole name, never a part of it.
//!
//! Patterns are not regular expressions. Matching takes time proportional to the product of both lengths at
//! most, whatever the pattern and the name are.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 1_024;
/// The longest name that a pattern with a wildcard matches, in bytes.
pub const MAX_NAME: usize = 4_096;

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidGlob {
    #[error("a pattern must not be empty")]
    Empty,
    #[error("it is longer than {MAX_PATTERN} bytes")]
    TooLong,
    #[error("it contains a control character, which no pattern matches")]
    Control,
    #[error("it has three or more `*` in a row; the wildcards are `*` and `**`")]
    Stars,
}

/// A pattern over names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Token {
    Literal(char),
    /// `*`
    WithinSegment,
    /// `**`
    AcrossSegments,
}

impl Token {
    fn is_wildcard(self) -> bool {
        !matches!(self, Self::Literal(_))
    }

    /// Whether a wildcard matches `c`.
    fn absorbs(self, c: char) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::WithinSegment => is_within_segment(c),
            Self::AcrossSegments => c == '/' || is_within_segment(c),
        }
    }
}

/// Whether `*` matches `c`.
fn is_within_segment(c: char) -> bool {
    !matches!(c, '/' | '@') && !c.is_control()
}

impl FromStr for Glob {
    type Err = InvalidGlob;

    fn from_str(text: &str) -> Result<Self, InvalidGlob> {
        if text.is_empty() {
            return Err(InvalidGlob::Empty);
        }
        if text.len() > MAX_PATTERN {
            return Err(InvalidGlob::TooLong);
        }
        if text.contains(char::is_control) {
            return Err(InvalidGlob::Control);
        }
        if text.contains("***") {
            return Err(InvalidGlob::Stars);
        }
        let mut tokens = Vec::with_capacity(text.len());
        let mut left = text.chars().peekable();
        while let Some(c) = left.next() {
            tokens.push(match c {
                '*' if left.next_if_eq(&'*').is_some() => Token::AcrossSegments,
                '*' => Token::WithinSegment,
                c => Token::Literal(c),
            });
        }
        Ok(Self { text: text.to_owned(), tokens })
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Glob {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn has_wildcard(&self) -> bool {
        self.text.contains('*')
    }

    /// Whether the pattern matches all of `name`. A pattern with a wildcard matches no name longer than
    /// [`MAX_NAME`].
    pub fn matches(&self, name: &str) -> bool {
        if !self.has_wildcard() {
            return self.text == name;
        }
        if name.len() > MAX_NAME {
            return false;
        }
        // `reached[i]`: the first `i` tokens match the part of the name read so far.
        let mut reached = vec![false; self.tokens.len() + 1];
        reached[0] = true;
        self.skip_wildcards(&mut reached);
        let mut next = vec![false; reached.len()];
        for c in name.chars() {
            next.fill(false);
            for (at, token) in self.tokens.iter().enumerate().filter(|(at, _)| reached[*at]) {
                next[at] |= token.absorbs(c);
                next[at + 1] |= *token == Token::Literal(c);
            }
            self.skip_wildcards(&mut next);
            std::mem::swap(&mut reached, &mut next);
        }
        reached.last() == Some(&true)
    }

    /// Whether some name matches both patterns. Takes at most the product of both lengths.
    pub fn overlaps(&self, other: &Self) -> bool {
        let width = other.tokens.len() + 1;
        let mut reached = vec![false; (self.tokens.len() + 1) * width];
        let mut left = vec![(0, 0)];
        while let Some((one, two)) = left.pop() {
            if std::mem::replace(&mut reached[one * width + two], true) {
                continue;
            }
            let (mine, others) = (self.tokens.get(one), other.tokens.get(two));
            if mine.is_none() && others.is_none() {
                return true;
            }
            // A wildcard may match nothing more, and goes on matching while the other pattern moves on.
            if mine.is_some_and(|token| token.is_wildcard()) {
                left.push((one + 1, two));
            }
            if others.is_some_and(|token| token.is_wildcard()) {
                left.push((one, two + 1));
            }
            match (mine, others) {
                (Some(Token::Literal(a)), Some(Token::Literal(b))) if a == b => {
                    left.push((one + 1, two + 1));
                }
                (Some(Token::Literal(c)), Some(wildcard)) if wildcard.absorbs(*c) => {
                    left.push((one + 1, two));
                }
                (Some(wildcard), Some(Token::Literal(c))) if wildcard.absorbs(*c) => {
                    left.push((one, two + 1));
                }
                (Some(_) | None, Some(_) | None) => {}
            }
        }
        false
    }

    /// A wildcard may match nothing.
    fn skip_wildcards(&self, reached: &mut [bool]) {
        for (at, token) in self.tokens.iter().enumerate() {
            reached[at + 1] |= reached[at] && token.is_wildcard();
        }
    }
}

/// Whether `pattern`, in which `*` is the only wildcard, matches all of `text`: the same meaning as
/// [`Glob::matches`], without an allocation.
pub fn matches_segment(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // The last `*`, and the end of the text that it matches so far. No earlier `*` ever needs to match more.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            back = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = back
            && is_within_segment(char::from(text[from]))
        {
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

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<Glob>().unwrap().matches(name)
    }

    /// The definition of a match, tried naively.
    fn defined(pattern: &[Token], name: &[char]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [Token::Literal(c), rest @ ..] => name.first() == Some(c) && defined(rest, &name[1..]),
            [wildcard, rest @ ..] => {
                let run = name.iter().take_while(|c| wildcard.absorbs(**c)).count();
                (0..=run).any(|taken| defined(rest, &name[taken..]))
            }
        }
    }

    /// Every concatenation of at most `longest` of these words.
    fn texts(words: &[&str], longest: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..longest {
            let longer = |text: &String| words.iter().map(|w| format!("{text}{w}")).collect();
            last = last.iter().flat_map(|text| -> Vec<String> { longer(text) }).collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn star_stays_within_one_segment_and_matches_no_at_and_no_control_character() {
        let main = "https://github.com/acme/app/.github/workflows/*@refs/heads/main";
        let of = |rest: &str| format!("https://github.com/acme/app/.github/workflows/{rest}");
        assert!(matches(main, &of("build.yml@refs/heads/main")));
        for evil in [
            "build.yml@refs/heads/x@refs/heads/main",
            "a/build.yml@refs/heads/main",
            "a\nb@refs/heads/main",
            "a\u{85}b@refs/heads/main",
            "a\0@refs/heads/main",
        ] {
            assert!(!matches(main, &of(evil)), "{evil:?}");
        }
        assert!(matches("a*a", "aa") && !matches("a*a", "a"));
        assert!(matches("a*b*b", "abb") && !matches("a*b*b", "ab"));
    }

    #[test]
    fn two_stars_also_match_slashes_but_nothing_else_that_one_star_excludes() {
        assert!(matches("https://h/acme/**", "https://h/acme/a/b/c"));
        assert!(matches("https://h/**/c", "https://h/a/b/c"));
        for evil in ["https://h/acme/a@b", "https://h/acme/a\nb", "https://h/acmes/a"] {
            assert!(!matches("https://h/acme/**", evil), "{evil:?}");
        }
    }

    #[test]
    fn without_a_wildcard_only_the_text_itself_matches() {
        assert!(matches("a@b/c", "a@b/c"));
        for other in ["a@b/cd", "xa@b/c", "A@B/C", ""] {
            assert!(!matches("a@b/c", other), "{other}");
        }
    }

    #[test]
    fn every_short_pattern_matches_as_defined() {
        let names = texts(&["a", "b", "/", "@", "\n"], 4);
        for pattern in texts(&["a", "/", "@", "*"], 5) {
            let Ok(glob) = pattern.parse::<Glob>() else { continue };
            for name in &names {
                let chars: Vec<char> = name.chars().collect();
                let expected = defined(&glob.tokens, &chars);
                assert_eq!(glob.matches(name), expected, "{pattern:?} {name:?}");
                if !pattern.contains("**") {
                    assert_eq!(matches_segment(&pattern, name), expected, "{pattern:?} {name:?}");
                }
            }
        }
    }

    #[test]
    fn two_patterns_overlap_if_a_name_matches_both() {
        let patterns: Vec<Glob> = texts(&["a", "/", "@", "*"], 3)
            .iter()
            .filter_map(|pattern| pattern.parse().ok())
            .collect();
        let names = texts(&["a", "b", "/", "@"], 4);
        let matched = |pattern: &Glob| -> Vec<bool> {
            names.iter().map(|name| pattern.matches(name)).collect()
        };
        let matched: Vec<Vec<bool>> = patterns.iter().map(matched).collect();
        for (one, ones) in patterns.iter().zip(&matched) {
            for (other, others) in patterns.iter().zip(&matched) {
                let both = ones.iter().zip(others).any(|(one, other)| *one && *other);
                assert_eq!(one.overlaps(other), both, "{one} {other}");
            }
        }
    }

    /// Naive backtracking would take exponential time.
    #[test]
    fn matching_is_fast_for_the_worst_pattern_and_name() {
        let pattern: Glob = "**a*a".repeat(MAX_PATTERN / 5).parse().unwrap();
        let name = "aaaaaaa/".repeat(MAX_NAME / 8);
        assert!(!pattern.matches(&name));
        assert!(!matches_segment(&"a*".repeat(500), &"a".repeat(300)));
        assert!(!matches("*", &"a".repeat(MAX_NAME + 1)));
    }

    #[test]
    fn invalid_patterns_are_errors() {
        let long = "a".repeat(MAX_PATTERN + 1);
        for (text, error) in [
            ("", InvalidGlob::Empty),
            ("a***", InvalidGlob::Stars),
            ("a\nb", InvalidGlob::Control),
            (&long, InvalidGlob::TooLong),
        ] {
            assert_eq!(text.parse::<Glob>(), Err(error), "{text:?}");
        }
    }
}
