//! `countersign attest` on real parts: cosign verifies what it uploads, and so does another gate.

use std::process::Command;

use crate::content_site::{Api, ContentSite, is_refused, served};
use crate::cosign::{Cosign, Version};
use crate::folder::Folder;
use crate::process::run;
use crate::signing_key::signing_key;

const VSA: &str = "https://slsa.dev/verification_summary/v1";

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        cosign_and_another_gate_accept_an_attestation_among_referrers,
        cosign_and_another_gate_accept_an_attestation_under_the_referrers_tag,
    ]
}

fn cosign_and_another_gate_accept_an_attestation_among_referrers() {
    cosign_and_another_gate_accept_an_attestation(Api::Referrers);
}

fn cosign_and_another_gate_accept_an_attestation_under_the_referrers_tag() {
    cosign_and_another_gate_accept_an_attestation(Api::None);
}

fn cosign_and_another_gate_accept_an_attestation(api: Api) {
    let site = ContentSite::new(api);
    let ours = Cosign::new(Version::V3);
    let (name, digest) = site.push_to_sign("library/app:1", "signed");
    ours.sign(&name);
    site.push("library/app:unsigned", "not signed");
    let gate = site.gate(&tables(&ours.key().display().to_string(), ""));

    let keys = Folder::new("attest");
    let (key, public) = signing_key(&keys);
    let attest = |tag: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("attest").arg(site.image(&format!("library/app:{tag}")));
        command.arg("--key").arg(&key).args(["--push", &site.image("library/app")]);
        run(command.arg("--config").arg(gate.config()))
    };
    let said = attest("unsigned");
    assert_eq!(said.status.code(), Some(3), "{}", said.all());
    let said = attest("1");
    assert!(said.ok(), "{}", said.all());

    let said = ours.attested_by(&public, &site.image("library/app:1"), VSA);
    assert!(said.ok(), "{}", said.all());
    assert!(!ours.verify_attestation(&site.image("library/app:1"), VSA).ok());
    // The signature beside it is still found.
    assert!(ours.verify(&site.image("library/app:1")).ok());

    let key = public.display().to_string();
    let other = site.gate(&tables(&key, &format!("predicate_type = {VSA:?}")));
    assert_eq!(served(&other, "library/app:1"), digest);
    is_refused(&other, "library/app:unsigned", "no_trust_data");
}

fn tables(key: &str, more: &str) -> String {
    format!(
        "[[anchor]]\nname = \"team\"\nscheme = \"cosign\"\nkeys = [{key:?}]\n{more}\n\n\
         [[rule]]\nimages = [\"REGISTRY/**\"]\nrequire = [\"team\"]\n"
    )
}
