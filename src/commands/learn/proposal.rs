//! The proposal, as a configuration with comments. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::current::Current;
use super::groups::groups;
use super::repositories::{Repositories, Repository, Requirement};
use crate::audit::reader::Image;
use crate::oci::{Registry, RepositoryRef};
use crate::trust::Scheme;
use crate::trust::notaryv1::GUIDE;

/// A placeholder that the reader must replace.
const BLANK: &str = "FILL-IN";
/// The most images that are named of one repository.
const MAX_NAMED: usize = 10;

/// Proposes a configuration: the current one with new rules, or a template. `found` lists signatures of images that no
/// pull showed as signed.
pub fn propose(
    seen: &Repositories,
    current: Option<&Current>,
    found: &BTreeMap<Image, Vec<String>>,
) -> String {
    let mut text = String::new();
    head(&mut text, seen, current);
    match current {
        Some(current) => {
            text.push_str(current.text());
            text.push('\n');
        }
        None => text.push_str(
            "[server]\nlisten = \"127.0.0.1:5050\"\n\n[store]\npath = \"countersign-store\"\n\n",
        ),
    }
    upstreams(&mut text, seen, current);
    anchors(&mut text, seen, current);
    rules(&mut text, seen, found);
    unsigned(&mut text, seen, found);
    denied(&mut text, seen);
    text
}

fn head(text: &mut String, seen: &Repositories, current: Option<&Current>) {
    let signed: u64 = seen.all.values().map(|repository| repository.signed).sum();
    let open = seen.all.values().flat_map(|repository| &repository.unsigned);
    let (images, pulls) = open.fold((0, 0), |(images, pulls), (_, of)| (images + 1, pulls + of));
    // Writing to a text cannot fail.
    let _ = writeln!(
        text,
        "# Proposed by `countersign learn`. Read it before you use it: it shows which images were signed, not\n\
         # which should be. Pulls: {} repositories, {signed} pulls of signed images, {pulls} pulls of {images}\n\
         # unsigned images.",
        seen.all.len(),
    );
    notaryv1_alone(text, seen, current);
    if current.is_none() {
        let _ = writeln!(text, "# Replace each {BLANK}.");
    }
    text.push_str(
        "# Then: countersign check --config FILE\n\
         #       countersign replay --config FILE AUDIT.log\n\n",
    );
}

/// The repositories whose images were admitted by Notary v1 alone, the most pulled ones first.
fn notaryv1_alone(text: &mut String, seen: &Repositories, current: Option<&Current>) {
    let scheme = |name: &str| {
        let configured = current.and_then(|current| current.scheme(name)).map(Scheme::as_str);
        configured.or_else(|| seen.anchors.get(name)?.as_deref())
    };
    let mut found = Vec::new();
    for (repository, seen) in &seen.all {
        for (anchors, pulls, is_known) in seen.by_notaryv1_alone(scheme) {
            let anchors = anchors.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let unsure = if is_known { "" } else { ", if that is Notary v1" };
            found.push((pulls, format!("{repository}: {pulls} pulls by {anchors}{unsure}")));
        }
    }
    if found.is_empty() {
        return;
    }
    found.sort_by_key(|(pulls, _)| std::cmp::Reverse(*pulls));
    let _ = writeln!(text, "# Admitted by Notary v1 alone (see {GUIDE}):");
    for (_, line) in found.iter().take(MAX_NAMED) {
        let _ = writeln!(text, "#   {line}");
    }
    if found.len() > MAX_NAMED {
        let _ = writeln!(text, "#   and {} more", found.len() - MAX_NAMED);
    }
}

fn upstreams(text: &mut String, seen: &Repositories, current: Option<&Current>) {
    let mut registries: Vec<&Registry> =
        seen.all.keys().map(|repository| &repository.registry).collect();
    registries.dedup();
    for registry in registries {
        if current.is_some_and(|current| current.has_upstream(registry)) {
            continue;
        }
        let _ = writeln!(
            text,
            "[[upstream]]\nregistry = \"{registry}\"\n# url = \"https://{registry}\"   # if the URL is different\n"
        );
    }
}

fn anchors(text: &mut String, seen: &Repositories, current: Option<&Current>) {
    for (name, scheme) in &seen.anchors {
        if current.is_some_and(|current| current.has_anchor(name)) {
            continue;
        }
        let known = scheme.as_deref().filter(|it| ["notaryv1", "cosign", "notation"].contains(it));
        let _ = writeln!(text, "[[anchor]]\nname = \"{name}\"");
        if known.is_none() {
            let _ = writeln!(text, "# {BLANK}: the log does not contain its scheme");
        }
        let scheme = known.unwrap_or("notaryv1");
        let _ = writeln!(text, "scheme = \"{scheme}\"");
        text.push_str(match scheme {
            "cosign" => {
                "keys = [\"FILL-IN: the file of the public key; or identity and issuer instead\"]\n\n"
            }
            "notation" => {
                "trust_store = [\"ca:FILL-IN: the file of the root certificate\"]\n\
                 identities = [\"FILL-IN: x509.subject: C=…, ST=…, O=…\"]\n\n"
            }
            _ => {
                "url = \"FILL-IN: the Notary server\"\n\
                 root_keys = [\"FILL-IN: the id of the root key, 64 hex digits\"]\n\n"
            }
        });
    }
}

/// The path of a repository, registry first.
fn path(repository: &RepositoryRef) -> Vec<String> {
    let segments = repository.name.as_str().split('/').map(str::to_owned);
    std::iter::once(repository.registry.to_string()).chain(segments).collect()
}

fn needs(seen: &Repositories) -> BTreeMap<Vec<String>, Requirement> {
    let need = |(at, repository): (&_, &Repository)| Some((path(at), repository.requirement()?));
    seen.all.iter().filter_map(need).collect()
}

fn rules(text: &mut String, seen: &Repositories, found: &BTreeMap<Image, Vec<String>>) {
    for (requirement, patterns) in groups(&needs(seen)) {
        let asks = match &requirement {
            Requirement::All(anchors) => format!("require = {}", list(anchors)),
            Requirement::OneOf(anchors) => format!("any_of = {}\nthreshold = 1", list(anchors)),
            Requirement::Nobody => continue,
        };
        let of: Vec<_> = seen
            .all
            .iter()
            .filter(|(_, repository)| repository.requirement().as_ref() == Some(&requirement))
            .collect();
        let pulls: u64 = of.iter().map(|(_, repository)| repository.signed).sum();
        let _ = writeln!(
            text,
            "# {} repositories, {pulls} pulls of signed images.\n[[rule]]\nimages = {}\n{asks}",
            of.len(),
            list(&patterns),
        );
        for (repository, seen) in of {
            if seen.unsigned.is_empty() {
                continue;
            }
            let _ = writeln!(text, "# NOT SIGNED in {repository}, and denied by this rule:");
            named(text, &seen.unsigned, found);
        }
        text.push('\n');
    }
}

/// Unsigned images appear only in comments.
fn unsigned(text: &mut String, seen: &Repositories, found: &BTreeMap<Image, Vec<String>>) {
    let needs = needs(seen);
    for (requirement, patterns) in groups(&needs) {
        if requirement != Requirement::Nobody {
            continue;
        }
        text.push_str(
            "# The following images are not signed, and no rule above admits them. Sign them. Until then, use one of these:\n",
        );
        for pattern in &patterns {
            let _ = writeln!(
                text,
                "# [[rule]]\n# images = [\"{pattern}\"]\n\
                 # mode = \"audit\"                   # serves images, and records what it would deny\n\
                 # require = [\"{BLANK}: an anchor\"]\n\
                 # # or: mode = \"allow\", with a reason, and no require\n\
                 # until = {BLANK}: a day            # the rule then expires"
            );
        }
    }
    for (repository, seen) in &seen.all {
        if seen.unsigned.is_empty() || seen.requirement() != Some(Requirement::Nobody) {
            continue;
        }
        let _ = writeln!(text, "# {repository}:");
        named(text, &seen.unsigned, found);
    }
}

fn denied(text: &mut String, seen: &Repositories) {
    let never = seen.all.iter().filter(|(_, repository)| repository.requirement().is_none());
    let mut any = false;
    for (repository, seen) in never {
        if !any {
            text.push_str("\n# Requested and never served; no rule is proposed for these:\n");
            any = true;
        }
        let pulls: u64 = seen.denied.iter().map(|(_, pulls)| pulls).sum();
        let _ = writeln!(text, "#   {repository}: {pulls} pulls");
    }
}

/// Lists images in comments, the most pulled ones first.
fn named(text: &mut String, images: &[(Image, u64)], found: &BTreeMap<Image, Vec<String>>) {
    let mut images: Vec<_> = images.iter().collect();
    images.sort_by_key(|(_, pulls)| std::cmp::Reverse(*pulls));
    for (image, pulls) in images.iter().take(MAX_NAMED) {
        let _ = writeln!(text, "#   {}: {pulls} pulls", image.reference());
        for what in found.get(image).into_iter().flatten() {
            let _ = writeln!(text, "#     found: {what}");
        }
    }
    if images.len() > MAX_NAMED {
        let _ = writeln!(text, "#   and {} more", images.len() - MAX_NAMED);
    }
}

fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
    format!("[{}]", quoted.join(", "))
}
