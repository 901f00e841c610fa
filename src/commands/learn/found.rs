//! Searches for signatures of images that no recorded pull showed as signed: of any scheme, by any signer. Does not verify
//! them.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::registry::Registry as Metrics;
use tokio::time::{Instant, timeout_at};

use super::current::Current;
use super::repositories::Repositories;
use crate::audit::reader::Image;
use crate::bundle::Bundles;
use crate::gate::Gate;
use crate::oci::{Digest, Registry, Repository, RepositoryRef, Tag};
use crate::registry_client::{self, Page, Upstream, UpstreamError};
use crate::trust::{Anchor, Refusal, Unendorsed};

/// The most images that are searched, the most pulled ones first.
const MAX_IMAGES: usize = 50;
/// The time limit of the search; later images are not reported.
const MAX_TIME: Duration = Duration::from_secs(60);
/// The most types of referrers that are reported of one image, and the longest name of one.
const MAX_KINDS: usize = 8;
const MAX_KIND: usize = 100;
/// The tag suffixes of cosign's signatures and attestations.
const TAGS: [(&str, &str); 2] =
    [(".sig", "a signature of cosign (.sig)"), (".att", "an attestation of cosign (.att)")];

/// What was found for each image; `gate` queries the Notary servers of its anchors.
pub async fn look(
    seen: &Repositories,
    current: &Current,
    gate: &Gate,
) -> BTreeMap<Image, Vec<String>> {
    let asked = registry_client::Metrics::registered(&mut Metrics::default());
    let bundles = Bundles::default();
    let upstreams: BTreeMap<Registry, Upstream> = current
        .config
        .upstreams
        .iter()
        .filter_map(|config| {
            Some((config.registry.clone(), bundles.upstream(config, &asked).ok()?))
        })
        .collect();
    let mut images: Vec<&(Image, u64)> =
        seen.all.values().flat_map(|repository| &repository.unsigned).collect();
    images.sort_by_key(|(_, pulls)| std::cmp::Reverse(*pulls));
    let mut found = BTreeMap::new();
    let end = Instant::now() + MAX_TIME;
    for (image, _) in images.into_iter().take(MAX_IMAGES) {
        let (Some(upstream), Some(digest)) =
            (upstreams.get(&image.repository.registry), image.digest)
        else {
            continue;
        };
        let looking = async {
            let mut report = in_registry(upstream, &image.repository.name, &digest).await;
            report.extend(by_notaries(gate, &image.repository, &digest).await);
            report
        };
        let Ok(report) = timeout_at(end, looking).await else { break };
        found.insert(image.clone(), report);
    }
    found
}

/// The signatures beside the image in its registry.
async fn in_registry(upstream: &Upstream, repository: &Repository, digest: &Digest) -> Vec<String> {
    let mut report = Vec::new();
    for (suffix, what) in TAGS {
        let Ok(tag) = format!("sha256-{}{suffix}", digest.hex()).parse::<Tag>() else { continue };
        match upstream.resolve(repository, &tag).await {
            Ok(_) => report.push(what.to_owned()),
            Err(UpstreamError::Absent { .. }) => {}
            Err(error) => {
                report.push(format!("cannot search for {suffix}: {}", plain(&error.to_string())))
            }
        }
    }
    match upstream.referrers(repository, digest, None, &Page::default()).await {
        Ok(Some(listed)) => report.extend(kinds(listed.bytes())),
        Ok(None) => {}
        Err(error) => report.push(format!("cannot list referrers: {}", plain(&error.to_string()))),
    }
    report
}

/// The artifact types in an index of referrers.
fn kinds(index: &[u8]) -> Vec<String> {
    let Ok(index) = serde_json::from_slice::<serde_json::Value>(index) else { return Vec::new() };
    let listed = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut kinds: Vec<String> = Vec::new();
    for kind in listed.iter().filter_map(|one| one["artifactType"].as_str()) {
        let kind = format!("a referrer of type {}", plain(kind));
        if kinds.len() < MAX_KINDS && !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// What the Notary servers of the anchors have about the repository.
async fn by_notaries(gate: &Gate, repository: &RepositoryRef, digest: &Digest) -> Vec<String> {
    let mut report = Vec::new();
    for anchor in gate.trust().anchors().filter(|anchor| matches!(anchor, Anchor::NotaryV1(_))) {
        let name = anchor.name();
        let signed = match gate.trust().signed(name, repository).await {
            Ok(signed) => signed,
            Err(Unendorsed::Refused(refusal)) if !refusal.reason.is_absence() => {
                report.push(refused(name, &refusal));
                continue;
            }
            Err(Unendorsed::Refused(_) | Unendorsed::Undecided(_) | Unendorsed::Throttled(_)) => {
                continue;
            }
        };
        let tags = signed.tags_of(digest);
        report.push(match tags.first() {
            Some(tag) => format!("signed by {name} [notaryv1] as {tag}"),
            None => format!("{name} [notaryv1] signs other images of this repository"),
        });
    }
    report
}

/// Trust data that exists and is refused, as opposed to no signature.
fn refused(name: &str, refusal: &Refusal) -> String {
    match refusal.unpinned.as_ref().and_then(|root| root.same_key.as_ref()) {
        Some(key) => format!(
            "signed with the same root key in a different certificate: write \"{key}\" into `root_keys` of {name}"
        ),
        None => format!(
            "signed, but {name} [notaryv1] refuses the trust data ({}): {}",
            refusal.reason,
            plain(&refusal.because)
        ),
    }
}

/// Text from elsewhere, made safe for a comment.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(MAX_KIND).collect()
}
