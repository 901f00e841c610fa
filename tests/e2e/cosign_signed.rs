//! Images signed by the real cosign are served, wherever it stored the signature. Unsigned images are denied.

use crate::content_site::{Api, ContentSite, arrives, is_refused, served};
use crate::cosign::{Cosign, Version};
use crate::gate::Gate;
use crate::registry::digest_of;

const BUILT: &str = "https://example.com/built-by/v1";
const SCANNED: &str = "https://example.com/scanned-by/v1";

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        cosign_3_images_are_served_from_a_registry_with_the_referrers_api,
        cosign_3_images_are_served_from_a_registry_without_the_referrers_api,
        cosign_2_images_are_served_from_a_registry_with_the_referrers_api,
        cosign_2_images_are_served_from_a_registry_without_the_referrers_api,
        a_tag_moved_to_an_unsigned_image_is_denied_or_held,
    ]
}

fn cosign_3_images_are_served_from_a_registry_with_the_referrers_api() {
    signed_images_arrive_and_no_others(Version::V3, Api::Referrers);
}

fn cosign_3_images_are_served_from_a_registry_without_the_referrers_api() {
    signed_images_arrive_and_no_others(Version::V3, Api::None);
}

fn cosign_2_images_are_served_from_a_registry_with_the_referrers_api() {
    signed_images_arrive_and_no_others(Version::V2, Api::Referrers);
}

fn cosign_2_images_are_served_from_a_registry_without_the_referrers_api() {
    signed_images_arrive_and_no_others(Version::V2, Api::None);
}

fn signed_images_arrive_and_no_others(version: Version, api: Api) {
    let site = ContentSite::new(api);
    let (ours, theirs) = (Cosign::new(version), Cosign::new(version));
    let (name, signed) = site.push_to_sign("library/app:signed", "signed");
    ours.sign(&name);
    let (name, _) = site.push_to_sign("library/app:theirs", "signed by someone else");
    theirs.sign(&name);
    site.push("library/app:unsigned", "not signed");
    let (name, _) = site.push_to_sign("library/app:attested", "attested");
    ours.attest(&name, BUILT);
    let (name, built) = site.push_to_sign("built/app:1", "built");
    ours.attest(&name, BUILT);
    let (name, _) = site.push_to_sign("built/app:signed", "signed, and not attested");
    ours.sign(&name);
    let (name, _) = site.push_to_sign("built/app:scanned", "attested something else");
    ours.attest(&name, SCANNED);
    let (name, apart) = site.push_to_sign("apart/app:1", "signed elsewhere");
    ours.sign_into(&site.image("signatures"), &name);
    let gate = site.gate(&tables(&ours, ""));

    arrives(&gate, "library/app:signed", &signed, "signed");
    arrives(&gate, "built/app:1", &built, "built");
    is_refused(&gate, "library/app:unsigned", "no_trust_data");
    is_refused(&gate, "library/app:theirs", "signature_invalid");
    // Signatures, attestations, and attestations of another type are not interchangeable.
    for (repository, tag) in
        [("library/app", "attested"), ("built/app", "signed"), ("built/app", "scanned")]
    {
        let answer = gate.manifest(repository, tag);
        assert_eq!(answer.status, 404, "{repository}:{tag}: {}", answer.text());
    }
    assert_eq!(served(&gate, "apart/app:1"), apart);
    if (version, api) == (Version::V2, Api::Referrers) {
        let (name, referrer) = site.push_to_sign("library/app:referrer", "signed among referrers");
        ours.sign_as_referrer(&name);
        assert_eq!(served(&gate, "library/app:referrer"), referrer);
    }
    an_index_is_signed_as_a_whole(&site, &ours, &gate);
    clients_verify_for_themselves(&ours, &theirs, &gate);
}

fn an_index_is_signed_as_a_whole(site: &ContentSite, ours: &Cosign, gate: &Gate) {
    let here = site.push("library/multi:here", "on this platform");
    let there = site.push("library/multi:there", "on that platform");
    let children = [(here.as_str(), architecture()), (there.as_str(), "s390x")];
    let list = site.registry.put_list("library/multi", "1", &children);
    let digest = digest_of(&list);
    ours.sign(&site.image(&format!("library/multi@{digest}")));
    assert_eq!(served(gate, "library/multi:1"), digest);
    for child in [&here, &there] {
        assert_eq!(gate.manifest("library/multi", child).status, 200, "{child}");
    }
    // By its tag, a child is like any other image.
    is_refused(gate, "library/multi:there", "no_trust_data");
    arrives(gate, "library/multi:1", &digest, "on this platform");
}

fn clients_verify_for_themselves(ours: &Cosign, theirs: &Cosign, gate: &Gate) {
    let at = |name: &str| format!("{}/{name}", gate.name());
    for image in ["library/app:signed", "library/multi:1"] {
        let said = ours.verify(&at(image));
        assert!(said.ok(), "{image}: {}", said.all());
        let said = theirs.verify(&at(image));
        assert!(!said.ok(), "{image}: {}", said.all());
    }
    let said = ours.verify_attestation(&at("built/app:1"), BUILT);
    assert!(said.ok(), "{}", said.all());
    let said = ours.verify_attestation(&at("built/app:1"), SCANNED);
    assert!(!said.ok(), "{}", said.all());
    let said = ours.verify(&at("library/app:unsigned"));
    assert!(!said.ok(), "{}", said.all());
}

fn a_tag_moved_to_an_unsigned_image_is_denied_or_held() {
    let site = ContentSite::new(Api::Referrers);
    let ours = Cosign::new(Version::V3);
    let gate = site.gate(&tables(&ours, "refresh = \"1s\""));
    let mut signed = Vec::new();
    for image in ["library/app:1", "held/app:1"] {
        let (name, digest) = site.push_to_sign(image, "signed");
        ours.sign(&name);
        assert_eq!(served(&gate, image), digest);
        site.push(image, "put there by a stranger");
        signed.push(digest);
    }
    gate.comes_to("library/app", "1", Err("no_trust_data"));
    is_refused(&gate, "library/app:1", "no_trust_data");
    let held = |line: &str| line.contains("held") && line.contains("held/app");
    crate::process::wait_for(
        "a log event about the held tag",
        std::time::Duration::from_secs(6),
        || {
            assert_eq!(served(&gate, "held/app:1"), signed[1]);
            gate.log().lines().any(held).then_some(())
        },
    );
    arrives(&gate, "held/app:1", &signed[1], "signed");
    let said = gate.why(&site.image("held/app:1"), &[]);
    assert!(said.ok() && said.stdout.contains("held"), "{}", said.all());
    // The signed image can still be pulled by digest.
    assert_eq!(gate.manifest("library/app", &signed[0]).status, 200);
}

fn tables(ours: &Cosign, more: &str) -> String {
    let key = ours.key();
    let anchor = |name: &str, more: &str| {
        format!("[[anchor]]\nname = \"{name}\"\nscheme = \"cosign\"\nkeys = [{key:?}]\n{more}\n\n")
    };
    let rule = |images: &str, anchor: &str, more: &str| {
        format!(
            "[[rule]]\nimages = [\"REGISTRY/{images}/**\"]\nrequire = [\"{anchor}\"]\n{more}\n\n"
        )
    };
    [
        anchor("team", more),
        anchor("builder", &format!("predicate_type = \"{BUILT}\"")),
        anchor("apart", "signature_repository = \"REGISTRY/signatures\""),
        rule("library", "team", ""),
        rule("held", "team", "on_unsigned = \"hold\""),
        rule("built", "builder", ""),
        rule("apart", "apart", ""),
    ]
    .concat()
}

/// This machine's architecture, as Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
