//! `countersign check`: settings of a valid configuration that can never work or are unsafe. Pure, except that it opens
//! the bundles of upstreams.

use std::net::SocketAddr;

use url::Url;

use crate::bundle::Bundles;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::glob::matches_segment;
use crate::trust::notaryv1::{FROZEN_ENDS_SOON, FrozenArchive, Pin, Pins};
use crate::trust::{self, cosign, notaryv1};

/// The issuer of GitHub Actions.
const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";
const GITHUB: &str = "https://github.com/";
/// Characters of regular expressions that no identity of a certificate contains.
const REGULAR_EXPRESSION: [char; 8] = ['[', ']', '(', ')', '^', '$', '|', '\\'];

/// One sentence for each setting of `config` that cannot work or is unsafe at `now`.
pub fn warnings(config: &Config, now: Timestamp) -> Vec<String> {
    let mut warnings = config.policy.warnings(now);
    warnings.extend(config.anchors.iter().flat_map(trust::Config::warnings));
    warnings.extend(counted_once(config));
    for anchor in &config.anchors {
        let of_it = match anchor {
            trust::Config::NotaryV1(config) => {
                let mut warnings = placeholder(config);
                warnings.extend(config.frozen.iter().flat_map(|archive| frozen(archive, now)));
                warnings.extend(config.notice(now));
                warnings
            }
            trust::Config::Cosign(config) => identity(config),
            trust::Config::Notation(_) => Vec::new(),
        };
        warnings.extend(of_it.into_iter().map(|warning| format!("{}: {warning}", anchor.name())));
    }
    warnings.extend(unused(config, now));
    warnings.extend(config.clients.unknown_users().into_iter().map(|user| {
        format!("clients.rule: `users` contains {user:?}, but `htpasswd` has no such user")
    }));
    warnings.extend(exposed(config));
    warnings.extend(bundle_flaws(config));
    warnings
}

/// Bundles that cannot be used, and patterns that match no file.
fn bundle_flaws(config: &Config) -> Vec<String> {
    let bundles = Bundles::default();
    let mut warnings = Vec::new();
    for upstream in &config.upstreams {
        let flaws = upstream.bundles.as_ref().map(|files| bundles.set(files).flaws());
        let flaws = flaws.into_iter().flatten();
        warnings.extend(flaws.map(|flaw| format!("{}: `bundles`: {flaw}", upstream.registry)));
    }
    warnings
}

/// Anchors that a threshold counts, and that one signer can satisfy together.
fn counted_once(config: &Config) -> Vec<String> {
    let anchor = |name: &str| config.anchors.iter().find(|anchor| anchor.name() == name);
    let counted = config.policy.requirements().flat_map(|(images, requirement)| {
        let pairs = requirement.counted_apart().map(move |pair| (images, pair));
        pairs.collect::<Vec<_>>()
    });
    let shared = counted.filter_map(|(images, (one, other))| {
        let shared = anchor(one)?.shares(anchor(other)?)?;
        Some(format!(
            "{images}: {one} and {other} have {shared}; one signer counts once towards the threshold"
        ))
    });
    shared.collect()
}

fn placeholder(config: &notaryv1::Config) -> Vec<String> {
    let Pins::Keys(pins) = &config.pins else { return Vec::new() };
    let is_placeholder =
        |pin: &Pin| matches!(pin, Pin::Id(id) if id.to_string().chars().all(|c| c == '0'));
    if !pins.iter().any(is_placeholder) {
        return Vec::new();
    }
    vec![
        "`root_keys` contains the placeholder of zeros, which matches no key: write the id of the root key".to_owned(),
    ]
}

/// The end of a frozen archive that is near or past, and its trust data that was refused.
fn frozen(archive: &FrozenArchive, now: Timestamp) -> Vec<String> {
    let until = archive.until();
    let left = until.since(now).as_secs() / (24 * 60 * 60);
    let mut warnings = Vec::new();
    if until < now {
        warnings.push(format!(
            "the frozen archive ended on {}: every image that needs this anchor is denied; require another anchor, or \
             freeze again",
            until.day()
        ));
    } else if until <= now.plus(FROZEN_ENDS_SOON) {
        warnings.push(format!(
            "the frozen archive ends on {}, in {left} days: then every image that needs this anchor is denied",
            until.day()
        ));
    }
    warnings.extend(archive.unusable().map(|(gun, why)| {
        format!("the frozen archive contains trust data for {gun} that is refused: {why}")
    }));
    warnings
}

fn identity(config: &cosign::Config) -> Vec<String> {
    let (identity, issuer) = match &config.signers {
        cosign::Signers::Keys(_) => return Vec::new(),
        cosign::Signers::Keyless { identity, issuer } => (identity.to_string(), Some(issuer)),
        cosign::Signers::Pki { identity, issuer, .. } => (identity.to_string(), issuer.as_ref()),
    };
    let mut warnings = Vec::new();
    if let Some(issuer) = issuer.filter(|issuer| !issuer.starts_with("https://")) {
        warnings.push(format!(
            "`issuer` {issuer:?} does not begin with https://, as issuers of certificates do: no signature matches"
        ));
    }
    if identity.contains(REGULAR_EXPRESSION) {
        warnings.push(format!(
            "`identity` {identity:?} is not a regular expression: only `*` and `**` are wildcards, and no \
             identity contains its other characters"
        ));
    } else if issuer.is_some_and(|issuer| issuer.trim_end_matches('/') == GITHUB_ISSUER)
        && !can_be_github(&identity)
    {
        warnings.push(format!(
            "`identity` {identity:?} matches no workflow of GitHub: write \
             {GITHUB}OWNER/REPOSITORY/.github/workflows/FILE.yml@refs/heads/BRANCH (or @refs/tags/TAG); `*` does \
             not match `/`, `**` does"
        ));
    }
    warnings
}

/// Whether the pattern may match the identity of a GitHub workflow,
/// `https://github.com/OWNER/REPOSITORY/.github/workflows/FILE@REF`. A pattern whose host has a wildcard may.
fn can_be_github(pattern: &str) -> bool {
    let Some(rest) = pattern.strip_prefix(GITHUB) else {
        return pattern.split('/').take(3).any(|part| part.contains('*'));
    };
    let Some((path, reference)) = rest.split_once('@') else { return false };
    fits(path, &["", "", ".github", "workflows", ""], false)
        && fits(reference, &["refs", "", ""], true)
}

/// Whether a pattern may match a path of these segments, of which an empty one matches any text; `longer`: or of
/// more segments. A pattern with `**` may.
fn fits(pattern: &str, segments: &[&str], longer: bool) -> bool {
    if pattern.contains("**") {
        return true;
    }
    let parts: Vec<&str> = pattern.split('/').collect();
    let long_enough = parts.len() == segments.len() || (longer && parts.len() > segments.len());
    let same = |(part, segment): (&&str, &&str)| {
        if segment.is_empty() { !part.is_empty() } else { matches_segment(part, segment) }
    };
    long_enough && parts.iter().zip(segments).all(same)
}

/// Anchors and upstreams that no rule in force uses.
fn unused(config: &Config, now: Timestamp) -> Vec<String> {
    if config.policy.is_empty() {
        return vec!["there is no [[rule]]: the gate denies every image".to_owned()];
    }
    let mut warnings = Vec::new();
    for anchor in &config.anchors {
        let mut requirements = config.policy.requirements();
        if !requirements.any(|(_, of)| of.anchors().any(|name| **name == *anchor.name())) {
            warnings.push(format!("{}: no rule uses this anchor", anchor.name()));
        }
    }
    for upstream in &config.upstreams {
        let registry = upstream.registry.as_str();
        let covers = |(images, _): (&str, String)| {
            let first = images.split('/').next().unwrap_or(images);
            first == "**" || matches_segment(first, registry)
        };
        if !config.policy.summary(now).any(covers) {
            warnings.push(format!("{registry}: no rule matches images of this upstream"));
        }
    }
    warnings
}

/// Passwords and the admin listener, where others on the network can reach or read them.
fn exposed(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let is_near = |listen: SocketAddr| listen.ip().to_canonical().is_loopback();
    let server = Some(("server", config.server.listen, config.server.tls.is_some()));
    let mirror =
        config.mirror.as_ref().map(|mirror| ("mirror", mirror.listen, mirror.tls.is_some()));
    for (name, listen, secure) in server.into_iter().chain(mirror) {
        if config.clients.has_passwords() && !secure && !is_near(listen) {
            warnings.push(format!(
                "{name}: clients send passwords to {listen} unencrypted: set `tls_cert` and `tls_key`"
            ));
        }
    }
    if let Some(admin) = config.admin.filter(|admin| !is_near(*admin)) {
        warnings.push(format!(
            "admin: {admin} is open to other machines and has no access control: listen on a loopback address"
        ));
    }
    for upstream in config.upstreams.iter().filter(|upstream| upstream.password_file.is_some()) {
        warnings.extend(unencrypted(upstream.registry.as_str(), &upstream.url));
    }
    for anchor in &config.anchors {
        if let trust::Config::NotaryV1(config) = anchor
            && config.password_file.is_some()
        {
            warnings.extend(config.url.iter().filter_map(|url| unencrypted(&config.name, url)));
        }
    }
    warnings
}

fn unencrypted(name: &str, url: &Url) -> Option<String> {
    let host = url.host_str().unwrap_or_default();
    let is_near = host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    (url.scheme() == "http" && !is_near)
        .then(|| format!("{name}: the gate sends its password to {url} unencrypted: use https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_of_github_names_a_workflow_and_a_reference() {
        let workflow = "https://github.com/acme/app/.github/workflows/release.yml";
        for (identity, fits) in [
            (format!("{workflow}@refs/heads/main"), true),
            (format!("{workflow}@refs/heads/release/1"), true),
            (format!("{workflow}@refs/tags/*"), true),
            (format!("{workflow}@**"), true),
            ("https://github.com/acme/*/.github/workflows/*@refs/*/*".to_owned(), true),
            ("https://github.com/acme/**@refs/heads/main".to_owned(), true),
            ("https://*/acme/app/.github/workflows/a.yml@refs/tags/v1".to_owned(), true),
            (workflow.to_owned(), false),
            (format!("{workflow}@main"), false),
            (format!("{workflow}@*"), false),
            (format!("{workflow}@refs/*"), false),
            ("https://github.com/acme/*@refs/heads/main".to_owned(), false),
            ("https://github.com/acme/app".to_owned(), false),
            ("acme/app".to_owned(), false),
            ("release@acme.example".to_owned(), false),
        ] {
            assert_eq!(can_be_github(&identity), fits, "{identity}");
        }
    }
}
