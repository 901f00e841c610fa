//! Who a certificate is issued to, as a pattern (see [`crate::glob`]) or as `*` alone, which is anyone.
//! Says as well whether a pattern fixes the owner of what it matches. Knows no certificate.

use std::fmt;
use std::str::FromStr;

use crate::glob::Glob;

use super::limits::MAX_IDENTITY;

/// Mail providers at which everyone can register an address. The list helps operators to find a mistake;
/// it does not decide about any image.
const PUBLIC_MAIL: [&str; 28] = [
    "126.com",
    "163.com",
    "aol.com",
    "fastmail.com",
    "gmail.com",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hey.com",
    "hotmail.com",
    "icloud.com",
    "live.com",
    "mac.com",
    "mail.com",
    "mail.ru",
    "me.com",
    "msn.com",
    "outlook.com",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "users.noreply.github.com",
    "web.de",
    "yahoo.com",
    "yandex.com",
    "yandex.ru",
    "zoho.com",
];

/// A pattern over the names in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// `*` alone: everyone to whom the issuer gives a certificate.
    Anyone,
    Named(Glob),
}

impl FromStr for Identity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the identity is empty".to_owned());
        }
        if text.len() > MAX_IDENTITY {
            return Err(format!("it is longer than {MAX_IDENTITY} bytes"));
        }
        if text == "*" {
            return Ok(Self::Anyone);
        }
        text.parse().map(Self::Named).map_err(|error: crate::glob::InvalidGlob| error.to_string())
    }
}

impl Identity {
    /// Whether the pattern matches `name`.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Anyone => true,
            Self::Named(pattern) => pattern.matches(name),
        }
    }

    /// Whether some name matches both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anyone, _) | (_, Self::Anyone) => true,
            (Self::Named(one), Self::Named(other)) => one.overlaps(other),
        }
    }

    /// Checks that the pattern matches names of one owner only: without a wildcard it is one name; a URL has
    /// a scheme, a host and a first path segment without a wildcard; a mail address has a domain
    /// without a wildcard, and `*` stands for a person only in a domain that is not open to everyone.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub fn has_fixed_owner(&self) -> Result<(), String> {
        let text = match self {
            Self::Anyone => return Err(format!("it matches everyone: {FIXED_OWNER}")),
            Self::Named(pattern) if !pattern.has_wildcard() => return Ok(()),
            Self::Named(pattern) => pattern.as_str(),
        };
        let checked = match (text.split_once("://"), text.rsplit_once('@')) {
            (Some((scheme, rest)), _) => url(scheme, rest),
            (None, Some((person, domain))) => mail(person, domain)?,
            (None, None) => Err("it is neither a URL nor a mail address".to_owned()),
        };
        checked.map_err(|wrong| format!("{wrong}: {FIXED_OWNER}"))
    }
}

/// What every identity needs with the public roots, and how to write it.
const FIXED_OWNER: &str = "anyone in the world can get a certificate from the public Sigstore authority, so an \
    identity must have a fixed owner: scheme, host and first path segment without `*`, as in \
    \"https://github.com/acme/*/.github/workflows/release.yml@refs/tags/*\", or a mail domain without `*`, as \
    in \"*@acme.com\"";

/// What is wrong with the owner in the URL `scheme://rest`.
fn url(scheme: &str, rest: &str) -> Result<(), String> {
    let mut parts = rest.split('/');
    let parts = [
        ("the scheme", Some(scheme)),
        ("the host", parts.next()),
        ("the first path segment, the owner,", parts.next()),
    ];
    for (name, part) in parts {
        match part {
            None | Some("") => return Err(format!("it lacks {}", name.trim_end_matches(','))),
            Some(part) if part.contains('*') => return Err(format!("{name} contains `*`")),
            Some(_) => {}
        }
    }
    Ok(())
}

/// What is wrong with the owner in the mail address `person@domain`; an error of its own where everyone can get
/// an address.
fn mail(person: &str, domain: &str) -> Result<Result<(), String>, String> {
    if domain.contains('*') {
        let wrong = format!("the mail domain {domain:?} contains `*`; write one domain");
        return Ok(Err(wrong));
    }
    if !is_domain(domain) {
        return Ok(Err(format!("{domain:?} is not a mail domain")));
    }
    if person.contains("**") {
        let person = person.replace("**", "*");
        return Ok(Err(format!(
            "`**` also matches `/`, so it would match URLs; write \"{person}@{domain}\""
        )));
    }
    if !is_person(person) {
        return Ok(Err(format!("{person:?} is not the local part of a mail address")));
    }
    if PUBLIC_MAIL.contains(&domain.to_ascii_lowercase().as_str()) {
        return Err(format!(
            "everyone can register an address at {domain}; write the whole address, or use a domain of \
             your own"
        ));
    }
    Ok(Ok(()))
}

fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    domain.contains('.') && domain.split('.').all(label)
}

/// Whether it is the part of a mail address before the `@`, which a URL can never match.
fn is_person(person: &str) -> bool {
    !person.is_empty() && !person.contains("**") && !person.contains(['/', '@', ':'])
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("*"),
            Self::Named(pattern) => pattern.fmt(f),
        }
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
    fn a_wildcard_is_text_within_one_segment_between_fixed_ends() {
        let release = "https://github.com/acme/*/release.yml@refs/tags/*";
        assert!(matches(release, "https://github.com/acme/app/release.yml@refs/tags/v1"));
        assert!(matches(release, "https://github.com/acme//release.yml@refs/tags/"));
        for other in [
            "https://github.com/acme-evil/app/release.yml@refs/tags/v1",
            "https://github.com/acme/app/release.yml@refs/heads/main",
            "https://evil/?https://github.com/acme/a/release.yml@refs/tags/v1",
            "https://github.com/acme/release.yml@refs/tags/v1",
            "https://github.com/acme/app/.github/release.yml@refs/tags/v1",
        ] {
            assert!(!matches(release, other), "{other}");
        }
        assert!(matches("*@acme.com", "me@acme.com"));
        assert!(!matches("*@acme.com", "me@acme.com.evil.org"));
        assert!(!matches("*@acme.com", "me@evil.org@acme.com"));
    }

    /// Anyone who may push to the repository may create a branch of this name.
    #[test]
    fn a_branch_whose_name_ends_like_another_is_not_that_one() {
        let main = "https://github.com/acme/app/.github/workflows/*@refs/heads/main";
        let of = |rest: &str| format!("https://github.com/acme/app/.github/workflows/{rest}");
        assert!(matches(main, &of("build.yml@refs/heads/main")));
        assert!(!matches(main, &of("build.yml@refs/heads/x@refs/heads/main")));
        assert!(!matches(&main.replace("/*@", "/**@"), &of("b.yml@refs/heads/x@refs/heads/main")));
    }

    #[test]
    fn a_star_alone_is_anyone() {
        assert!(matches("*", "https://github.com/acme/app@refs/heads/main"));
        assert_eq!("*".parse(), Ok(Identity::Anyone));
        assert!(!matches("**", "me@acme.com"));
        assert!("".parse::<Identity>().is_err());
    }

    #[test]
    fn a_pattern_has_a_fixed_owner_or_not() {
        let fixed = |text: &str| text.parse::<Identity>().unwrap().has_fixed_owner();
        for text in [
            "https://github.com/acme/*/.github/workflows/release.yml@refs/tags/*",
            "https://github.com/acme/**@refs/heads/main",
            "https://gitlab.com/acme/**",
            "https://github.com/acme/*",
            "*@acme.com",
            "release-*@ci.acme.com",
            "me@gmail.com",
            "anything at all without a wildcard",
        ] {
            assert_eq!(fixed(text), Ok(()), "{text}");
        }
        for text in [
            "*",
            "**",
            "*@*",
            "**@**",
            "https://github.com/*",
            "https://github.com/**",
            "https://github.com/*/repo/.github/workflows/a.yml@refs/heads/main",
            "https://github.com/acme*/app/.github/workflows/a.yml@refs/heads/main",
            "https://github.com/acme**",
            "https://github.com//**",
            "https://github.com*/acme/app",
            "https://**/acme/app",
            "https://*.acme.com/a/b",
            "https://github.com**",
            "http*://github.com/acme/app",
            "**://github.com/acme/app",
            "**github.com/acme/app",
            "**@refs/heads/main",
            "*@refs/heads/main",
            "**@acme.com",
            "*@*.acme.com",
            "*@acme.*",
            "*@com",
            "*@gmail.com",
            "*@Gmail.com",
            "https://gitlab.com/**",
            "acme*@outlook.com",
            "acme-*",
        ] {
            let error = fixed(text).expect_err(text);
            assert!(error.contains("fixed owner") || error.contains("everyone can"), "{error}");
        }
    }
}
