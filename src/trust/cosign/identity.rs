//! Identity patterns: `*` is any text, and everything else stands for itself, anchored at both ends.
//! No regular expressions: Go's are not anchored, and `https://github.com/acme` would be
//! `https://github.com/acme-evil` too. Knows no certificate.

use std::fmt;
use std::str::FromStr;

use super::limits::MAX_IDENTITY;

/// A pattern over the names that a certificate bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    text: String,
    /// What stands before, between and after the wildcards; never empty.
    pieces: Vec<String>,
}

impl FromStr for Identity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty text is nobody's identity".to_owned());
        }
        if text.len() > MAX_IDENTITY {
            return Err(format!("it is longer than {MAX_IDENTITY} bytes"));
        }
        let pieces = text.split('*').map(str::to_owned).collect();
        Ok(Self { text: text.to_owned(), pieces })
    }
}

impl Identity {
    /// Whether the pattern is nothing but wildcards.
    pub fn is_anyone(&self) -> bool {
        self.pieces.iter().all(String::is_empty)
    }

    /// Whether `name` is one of those that the pattern stands for.
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.pieces.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return name == first };
        let Some(mut left) = name.strip_prefix(first.as_str()) else { return false };
        for piece in middle {
            let Some(at) = left.find(piece.as_str()) else { return false };
            left = left.get(at + piece.len()..).unwrap_or_default();
        }
        left.ends_with(last.as_str())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<Identity>().unwrap().matches(name)
    }

    #[test]
    fn without_a_wildcard_only_the_text_itself_matches() {
        let acme = "https://github.com/acme";
        assert!(matches(acme, acme));
        for other in [
            "https://github.com/acme-evil",
            "xhttps://github.com/acme",
            "",
            "HTTPS://GITHUB.COM/ACME",
        ] {
            assert!(!matches(acme, other), "{other}");
        }
        assert!(!matches("https://githubXcom/acme", acme));
    }

    #[test]
    fn a_wildcard_is_any_text_between_fixed_ends() {
        let release = "https://github.com/acme/*/release.yml@refs/tags/*";
        assert!(matches(release, "https://github.com/acme/app/.github/release.yml@refs/tags/v1"));
        assert!(matches(release, "https://github.com/acme//release.yml@refs/tags/"));
        for other in [
            "https://github.com/acme-evil/app/release.yml@refs/tags/v1",
            "https://github.com/acme/app/release.yml@refs/heads/main",
            "https://evil/?https://github.com/acme/a/release.yml@refs/tags/v1",
            "https://github.com/acme/release.yml@refs/tags/v1",
        ] {
            assert!(!matches(release, other), "{other}");
        }
        assert!(matches("*@acme.com", "me@acme.com"));
        assert!(!matches("*@acme.com", "me@acme.com.evil.org"));
        assert!(matches("a*a", "aa") && !matches("a*a", "a"));
        assert!(matches("a*b*b", "abb") && !matches("a*b*b", "ab"));
    }

    #[test]
    fn nothing_but_wildcards_is_anyone() {
        assert!("**".parse::<Identity>().unwrap().is_anyone());
        assert!(!"a*".parse::<Identity>().unwrap().is_anyone());
        assert!("".parse::<Identity>().is_err());
    }
}
