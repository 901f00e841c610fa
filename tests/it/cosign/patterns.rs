//! What `*` stands for in the identity of a keyless signer, and whose it must be with public roots.

use serde_json::json;
use sigstore_verify::trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;

use super::bench::{Bench, digest, read};
use crate::sigstore::{Layer, Leaf, NOW, Sigstore, payload};

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

/// Whoever may push to a repository may create a branch `x@refs/heads/main`.
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
fn wrong(lines: &str, files: &[(&str, &str)], key: &str, told: &str) {
    let problems = read(lines, files).expect_err(lines);
    let found = problems.iter().any(|it| it.contains(&format!(".{key}`")) || it.contains(key));
    assert!(found && problems.iter().any(|it| it.contains(told)), "{lines}\n{problems:#?}");
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
