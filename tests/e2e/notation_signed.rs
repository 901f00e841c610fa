//! Images signed by the real notation are served, wherever it stored the signature. Unsigned images are denied.

use crate::content_site::{Api, ContentSite, arrives, is_refused, served};
use crate::notation::{Format, Notation};
use crate::registry::digest_of;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        notation_images_are_served_from_a_registry_with_the_referrers_api,
        notation_images_are_served_from_a_registry_without_the_referrers_api,
    ]
}

fn notation_images_are_served_from_a_registry_with_the_referrers_api() {
    signed_images_arrive_and_no_others(Api::Referrers);
}

fn notation_images_are_served_from_a_registry_without_the_referrers_api() {
    signed_images_arrive_and_no_others(Api::None);
}

fn signed_images_arrive_and_no_others(api: Api) {
    let site = ContentSite::new(api);
    let by_api = api == Api::Referrers;
    let (ours, theirs) = (Notation::new(by_api), Notation::new(by_api));
    let (name, jws) = site.push_to_sign("library/app:jws", "signed in JWS");
    ours.sign(&name, Format::Jws);
    let (name, cose) = site.push_to_sign("policy/app:cose", "signed in COSE");
    ours.sign(&name, Format::Cose);
    let (name, _) = site.push_to_sign("library/app:theirs", "signed by someone else");
    theirs.sign(&name, Format::Jws);
    site.push("library/app:unsigned", "not signed");
    let child = site.push("library/multi:child", "one of two platforms");
    let list = site.registry.put_list("library/multi", "1", &[(&child, "s390x")]);
    ours.sign(&site.image(&format!("library/multi@{}", digest_of(&list))), Format::Cose);
    let gate = site.gate(&tables(&ours));

    arrives(&gate, "library/app:jws", &jws, "signed in JWS");
    arrives(&gate, "policy/app:cose", &cose, "signed in COSE");
    assert_eq!(served(&gate, "library/multi:1"), digest_of(&list));
    assert_eq!(gate.manifest("library/multi", &child).status, 200);
    is_refused(&gate, "library/multi:child", "no_trust_data");
    is_refused(&gate, "library/app:unsigned", "no_trust_data");
    is_refused(&gate, "library/app:theirs", "signature_invalid");

    for image in ["library/app:jws", "policy/app:cose", "library/multi:1"] {
        let image = format!("{}/{image}", gate.name());
        let said = ours.verify(&image);
        assert!(said.ok(), "{image}: {}", said.all());
        let said = theirs.verify(&image);
        assert!(!said.ok(), "{image}: {}", said.all());
    }
    for image in ["library/app:theirs", "library/app:unsigned"] {
        let said = ours.verify(&format!("{}/{image}", gate.name()));
        assert!(!said.ok(), "{image}: {}", said.all());
    }

    site.push("library/app:jws", "put there by a stranger");
    gate.comes_to("library/app", "jws", Err("no_trust_data"));
}

/// One anchor with the gate's own keys, and one with notation's own files.
fn tables(ours: &Notation) -> String {
    let certificate = format!("ca:{}", ours.certificate().display());
    let settings = ours.settings();
    format!(
        "[[anchor]]\nname = \"platform\"\nscheme = \"notation\"\ntrust_store = [{certificate:?}]\n\
         identities = [\"x509.subject: C=US, ST=WA, O=Notary\"]\nrefresh = \"1s\"\n\n\
         [[anchor]]\nname = \"policy\"\nscheme = \"notation\"\ntrust_policy = {:?}\n\
         trust_store_dir = {:?}\n\n\
         [[rule]]\nimages = [\"REGISTRY/library/**\"]\nrequire = [\"platform\"]\n\n\
         [[rule]]\nimages = [\"REGISTRY/policy/**\"]\nrequire = [\"policy\"]\n",
        settings.join("trustpolicy.json"),
        settings.join("truststore"),
    )
}
