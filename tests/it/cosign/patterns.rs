//! The meaning of `*` in the identity of a keyless signer, and the limits on it with public roots.

use serde_json::json;
use sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;

use super::bench::{Bench, digest, read};
use crate::sigstore::{Authority, Layer, Leaf, NOW, Sigstore, Term, payload};

/// A bench that accepts `identity`, and a layer whose certificate has `name`.
fn of(identity: &str, name: &str) -> (Bench, Layer) {
    let lines = format!("identity = {identity:?}\nissuer = {:?}", Leaf::ISSUER);
    let sigstore = Sigstore::shared();
    let mut leaf = Leaf::new();
    leaf.names = vec![rcgen::SanType::URI(name.try_into().unwrap())];
    let certified = sigstore.certify(&leaf);
    let layer = Layer::signed(&payload(&digest(), json!(null)), &certified.key).by(&certified);
    let signature = layer.signature();
    let entry = sigstore.rekor.hashedrekord(&layer.payload, &signature, &certified.pem(), NOW);
    (Bench::keyless(&lines, &sigstore.trusted_root()), layer.logged(&entry))
}

const WORKFLOWS: &str = "https://github.com/acme/app/.github/workflows/";

/// Anyone who can push to a repository can create a branch `x@refs/heads/main`.
#[test]
fn a_branch_with_an_at_sign_is_not_the_branch_that_its_name_ends_with() {
    let identity = format!("{WORKFLOWS}*@refs/heads/main");
    let (bench, layer) = of(&identity, &format!("{WORKFLOWS}build.yml@refs/heads/main"));
    bench.takes(&layer);
    for name in [
        "build.yml@refs/heads/x@refs/heads/main",
        "sub/build.yml@refs/heads/main",
        "build.yml@refs/heads/x\n@refs/heads/main",
    ] {
        let (bench, layer) = of(&identity, &format!("{WORKFLOWS}{name}"));
        bench.refuses("identity", &layer);
    }
    let two = format!("{WORKFLOWS}**@refs/heads/main");
    let (bench, layer) = of(&two, &format!("{WORKFLOWS}sub/build.yml@refs/heads/main"));
    bench.takes(&layer);
    let (bench, layer) = of(&two, &format!("{WORKFLOWS}b.yml@refs/heads/x@refs/heads/main"));
    bench.refuses("identity", &layer);
}

#[track_caller]
fn wrong(lines: &str, files: &[(&str, &str)], key: &str, reported: &str) {
    let problems = read(lines, files).expect_err(lines);
    let found = problems.iter().any(|it| it.contains(&format!(".{key}`")) || it.contains(key));
    assert!(found && problems.iter().any(|it| it.contains(reported)), "{lines}\n{problems:#?}");
}

#[test]
fn with_public_roots_an_identity_has_a_fixed_owner() {
    let lines = |identity: &str| format!("identity = {identity:?}\nissuer = \"https://a.test\"");
    let owners =
        ["https://github.com/*", "*@*", "**", "*", "https://github.com/*/app/**@refs/heads/main"];
    let copy = [("r", SIGSTORE_PRODUCTION_TRUSTED_ROOT)];
    for identity in owners {
        wrong(&lines(identity), &[], "identity", "fixed owner");
        // A copy of the public root in a file is the public root.
        let copied = format!("{}\ntrusted_root = \"r\"", lines(identity));
        wrong(&copied, &copy, "identity", "fixed owner");
        let own = Sigstore::shared().trusted_root().to_string();
        read(&copied, &[("r", &own)]).unwrap();
    }
    wrong(&lines("*@gmail.com"), &[], "identity", "everyone can register");
    for identity in ["https://github.com/acme/**", "*@acme.com", "me@gmail.com"] {
        read(&lines(identity), &[]).unwrap();
    }
}

/// The certificates of the public root, as operators paste them.
fn public_chain() -> String {
    let root: serde_json::Value = serde_json::from_str(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
    let authorities = root["certificateAuthorities"].as_array().unwrap();
    let chain = authorities.last().unwrap()["certChain"]["certificates"].as_array().unwrap();
    let pem = |one: &serde_json::Value| {
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            one["rawBytes"].as_str().unwrap()
        )
    };
    chain.iter().map(pem).collect()
}

#[test]
fn the_public_authority_in_certificate_chain_does_not_count_as_a_private_pki() {
    let (chain, own) = (public_chain(), Authority::new("acme", Term::years()).chain_pem());
    let lines = |identity: &str| format!("certificate_chain = \"c\"\nidentity = {identity:?}");
    for identity in ["*", "**", "*@*", "https://github.com/*"] {
        let issued = format!("{}\nissuer = \"https://a.test\"", lines(identity));
        wrong(&issued, &[("c", &chain)], "identity", "fixed owner");
        wrong(&lines(identity), &[("c", &chain)], "identity", "fixed owner");
        read(&issued, &[("c", &own)]).unwrap();
    }
    wrong(&lines("me@acme.com"), &[("c", &chain)], "certificate_chain", "add `issuer`");
    read(&lines("*"), &[("c", &own)]).unwrap();
}

#[test]
fn a_wrongly_written_identity_gets_an_error_with_the_correct_form() {
    let lines = |identity: &str| format!("identity = {identity:?}\nissuer = \"https://a.test\"");
    for (identity, says) in [
        ("**@acme.com", "`**` also matches `/`, so it would match URLs; write \"*@acme.com\""),
        ("*@*.acme.com", "the mail domain \"*.acme.com\" contains `*`; write one domain"),
        ("*@acme", "\"acme\" is not a mail domain"),
        ("https://*.acme.com/a/b", "the host contains `*`"),
        ("https://github.com/*/app", "the first path segment, the owner, contains `*`"),
        ("https://github.com", "no first path segment, the owner"),
        ("http*://github.com/acme/*", "the scheme contains `*`"),
        ("*acme*", "neither a URL nor a mail address"),
    ] {
        if identity.contains('*') {
            wrong(&lines(identity), &[], "identity", says);
        } else {
            read(&lines(identity), &[]).unwrap();
        }
    }
}

#[test]
fn patterns_that_some_identity_matches_together_are_shared() {
    let config = |identity: &str| {
        let lines = format!("identity = {identity:?}\nissuer = \"https://a.test\"");
        countersign::trust::Config::Cosign(read(&lines, &[]).unwrap())
    };
    for (one, other, shared) in [
        ("*@acme.com", "*@acme.com", true),
        ("*@acme.com", "release@acme.com", true),
        ("a*@acme.com", "*z@acme.com", true),
        ("a*@acme.com", "b*@acme.com", false),
        ("https://h/acme/*/x", "https://h/acme/app/*", true),
        ("https://h/acme/*", "https://h/acme/a/b", false),
        ("https://h/acme/**", "https://h/acme/a/b", true),
        ("release@acme.com", "qa@acme.com", false),
    ] {
        let found = config(one).shares(&config(other));
        assert_eq!(found.is_some(), shared, "{one} {other}");
        assert_eq!(config(other).shares(&config(one)), found, "{one} {other}");
    }
}

#[test]
fn a_star_in_a_key_that_does_not_accept_one_is_an_error() {
    let keyless = "identity = \"https://github.com/acme/app\"";
    wrong(&format!("{keyless}\nissuer = \"https://*\""), &[], "issuer", "does not accept `*`");
    let issuer = "issuer = \"https://a.test\"";
    for (key, value) in
        [("predicate_type", "\"https://slsa.dev/*\""), ("annotations", "{ env = \"*\" }")]
    {
        let lines = format!("{keyless}\n{issuer}\n{key} = {value}");
        wrong(&lines, &[], key, "does not accept `*`");
    }
    let stars = "identity = \"https://github.com/acme/***\"\nissuer = \"https://a.test\"";
    wrong(stars, &[], "identity", "three or more");
}
