//! Attacks with the tag `sha256-<hex>`, under which clients store the list of an image's referrers.

use bytes::Bytes;
use serde_json::json;

use super::artifacts::artifact;
use super::attack::{Attack, Target, index, inline};
use super::runnable::{OCI_INDEX, OCI_MANIFEST, OCTETS, described};

pub(crate) fn attacks(target: &Target) -> Vec<Attack> {
    let tag = &target.tag("");
    let mut all = Vec::new();

    let (attack, image) = Attack::new("list_with_an_inline_manifest", target);
    all.push(attack.list(tag, &index(&[inline(OCI_MANIFEST, &image.manifest)])));

    let (attack, image) = Attack::new("octets_first_and_then_a_list", target);
    let octets = artifact(target, &[described(OCTETS, &image.manifest)]);
    all.push(attack.blob("{}").by_digest(&octets).list(tag, &index(&[image.descriptor()])));

    let (attack, image) = Attack::new("list_of_a_stored_blob", target);
    all.push(attack.list(tag, &index(&[image.descriptor()])));

    let (attack, image) = Attack::new("list_with_an_inline_list", target);
    let nested = index(&[inline(OCI_MANIFEST, &image.manifest)]).to_string();
    let list = index(&[inline(OCI_INDEX, nested.as_bytes())]);
    all.push(attack.blob(nested).list(tag, &list));

    let (attack, image) = Attack::new("list_with_an_inline_manifest_and_trailing_bytes", target);
    let trailed = Bytes::from([&image.manifest[..], b"\n{}"].concat());
    all.push(attack.blob(trailed.clone()).list(tag, &index(&[inline(OCI_MANIFEST, &trailed)])));

    let (attack, image) = Attack::new("list_with_a_platform_of_its_own", target);
    let mut entry = inline(OCI_MANIFEST, &image.manifest);
    entry["artifactType"] = json!("application/spdx+json");
    entry["platform"] = json!({"architecture": super::runnable::architecture(), "os": "linux"});
    all.push(attack.list(tag, &index(&[entry])));

    // A registry may refuse these two. Clients use the last member, or one with another case.
    let (attack, image) = Attack::new("list_that_names_its_manifests_twice", target);
    let twice = index(&[inline(OCI_MANIFEST, &image.manifest)]).to_string();
    let twice = twice.replacen('{', "{\"manifests\":[],", 1);
    all.push(attack.pushed(Some(tag), OCI_INDEX, twice.into()));

    let (attack, image) = Attack::new("list_with_a_member_in_another_case", target);
    let mut miscased = index(&[]);
    miscased["Manifests"] = json!([inline(OCI_MANIFEST, &image.manifest)]);
    all.push(attack.list(tag, &miscased));

    all
}
