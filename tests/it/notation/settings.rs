//! The configuration of an anchor, or an existing trust policy instead.

use std::time::Duration;

use countersign::trust::notation::{Anchor, Config};

use super::site::{JWS, config, flawed, judged, subject, trusting, vouched};
use crate::notation_signer::{Certified, DAY, NOW, Signing};

fn refused(lines: &str, files: &[(&str, &[u8])], reported: &str) {
    let problems = config(lines, files).expect_err(lines).to_string();
    assert!(problems.contains(reported), "{lines}\n{problems}");
}

const PLAIN: &str = "trust_store = [\"ca:root.crt\"]\nidentities = [\"*\"]\n";

#[test]
fn a_plain_anchor_has_its_defaults() {
    let root = Certified::root("root").pem();
    let config = config(PLAIN, &[("root.crt", root.as_bytes())]).unwrap();
    assert_eq!(config.refresh, Duration::from_secs(300));
    assert_eq!(config.signature_repository, None);
    assert_eq!(&*config.name, "platform");
}

#[test]
fn der_files_and_a_signature_repository_are_read() {
    let root = Certified::root("root");
    let lines = format!(
        "{PLAIN}signature_repository = \"registry.example.com/signatures\"\nrefresh = \"1m\""
    );
    let anchor = Anchor::new(config(&lines, &[("root.crt", &root.der)]).unwrap());
    let repository = anchor.signature_repository().unwrap();
    assert_eq!(
        (repository.registry.as_str(), repository.name.as_str()),
        ("registry.example.com", "signatures")
    );
    assert_eq!(anchor.config().refresh, Duration::from_secs(60));
}

#[test]
fn every_mistake_is_reported() {
    let root = Certified::root("root").pem();
    let leaf = Certified::root("root").signer().pem();
    let files: &[(&str, &[u8])] = &[
        ("root.crt", root.as_bytes()),
        ("leaf.crt", leaf.as_bytes()),
        ("empty.crt", b""),
        ("key.crt", b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"),
    ];
    for (lines, reported) in [
        ("identities = [\"*\"]", "name the trusted roots"),
        ("trust_store = []\nidentities = [\"*\"]", "the list is empty"),
        ("trust_store = [\"ca:root.crt\"]", "name the signers"),
        ("trust_store = [\"root.crt\"]\nidentities = [\"*\"]", "has no type"),
        ("trust_store = [\"tsa:root.crt\"]\nidentities = [\"*\"]", "tsa = ["),
        ("trust_store = [\"ca:none.crt\"]\nidentities = [\"*\"]", "cannot be read"),
        ("trust_store = [\"ca:leaf.crt\"]\nidentities = [\"*\"]", "neither an authority"),
        ("trust_store = [\"ca:empty.crt\"]\nidentities = [\"*\"]", "no X.509"),
        ("trust_store = [\"ca:key.crt\"]\nidentities = [\"*\"]", "no certificate"),
        ("trust_store = [\"ca:root.crt\"]\nidentities = []", "the list is empty"),
        (
            "trust_store = [\"ca:root.crt\"]\nidentities = [\"x509.subject: C=US, ST=WA, O=Ac*\"]",
            "only `\"*\"` alone is accepted",
        ),
        ("trust_store = [\"ca:root.crt\"]\nidentities = [\"CN=x\"]", "x509.subject"),
        (&format!("{PLAIN}level = \"skip\""), "mode = \"allow\""),
        (&format!("{PLAIN}level = \"lax\""), "is not a level"),
        (&format!("{PLAIN}revocation = \"never\""), "neither \"check\" nor \"skip\""),
        (&format!("{PLAIN}tsa = [\"leaf.crt\"]"), "not self-signed"),
        (&format!("{PLAIN}signature_repository = \"signatures\""), "signature_repository"),
        (&format!("{PLAIN}trust_policy = \"policy.json\""), "set both"),
        (&format!("{PLAIN}trust_policy = \"policy.json\"\ntrust_store_dir = \"x\""), "replace it"),
        (&format!("{PLAIN}levels = \"strict\""), "unknown key"),
        (
            "trust_store = [\"signingAuthority:root.crt\"]\nidentities = [\"*\"]\ntsa = [\"root.crt\"]",
            "states the time itself",
        ),
    ] {
        refused(lines, files, reported);
    }
}

const POLICY: &str = "trust_policy = \"policy.json\"\ntrust_store_dir = \"truststore\"\n";

fn policy(statements: &str) -> String {
    format!("{{\"version\":\"1.0\",\"trustPolicies\":[{statements}]}}")
}

fn statement(name: &str, scopes: &str, level: &str, store: &str) -> String {
    format!(
        "{{\"name\":{name:?},\"registryScopes\":[{scopes}],\"signatureVerification\":{{{level}}},\
         \"trustStores\":[{store:?}],\"trustedIdentities\":[\"*\"]}}"
    )
}

const SKIP: &str = "\"level\":\"strict\",\"override\":{\"revocation\":\"skip\"}";

#[test]
fn the_statement_that_names_the_repository_comes_before_the_one_for_all() {
    let (own, all) = (Certified::root("own"), Certified::root("all"));
    let pem = own.pem();
    let text = policy(&format!(
        "{},{}",
        statement("all", "\"*\"", SKIP, "ca:all"),
        statement("own", "\"registry.example.com/library/app\"", SKIP, "ca:own")
    ));
    let files: &[(&str, &[u8])] = &[
        ("policy.json", text.as_bytes()),
        ("truststore/x509/ca/own/own.pem", pem.as_bytes()),
        ("truststore/x509/ca/own/notes.txt", b"no certificate"),
        ("truststore/x509/ca/own/sub/none.pem", b"is not read"),
        ("truststore/x509/ca/all/all.crt", &all.der),
    ];
    let anchor = Anchor::new(config(POLICY, files).unwrap());
    let sign =
        |root: &Certified| judged(&anchor, JWS, Signing::new(&root.signer(), &subject()).jws());
    vouched(sign(&own));
    assert_eq!(flawed(sign(&all)).check, "trust_store");
}

#[test]
fn an_override_changes_one_validation_of_its_level() {
    let root = Certified::root("root");
    let change = "\"level\":\"strict\",\"override\":{\"expiry\":\"log\",\"revocation\":\"skip\"}";
    let text = policy(&statement("one", "\"*\"", change, "ca:one"));
    let pem = root.pem();
    let files: &[(&str, &[u8])] =
        &[("policy.json", text.as_bytes()), ("truststore/x509/ca/one/one.pem", pem.as_bytes())];
    let anchor = Anchor::new(config(POLICY, files).unwrap());
    let mut signing = Signing::new(&root.signer(), &subject()).expiring(NOW);
    signing.signed = NOW - DAY;
    let (_, tolerated) = vouched(judged(&anchor, JWS, signing.jws()));
    assert_eq!(tolerated[0].check, "expiry");
    let stranger = Signing::new(&Certified::root("stranger").signer(), &subject());
    assert_eq!(flawed(judged(&anchor, JWS, stranger.jws())).check, "trust_store");
}

#[test]
fn a_link_in_a_trust_store_is_refused() {
    let root = Certified::root("root").pem();
    let folder = crate::folder::Folder::new("links");
    let real = folder.write("real.pem", root);
    folder.write("policy.json", policy(&statement("one", "\"*\"", SKIP, "ca:one")));
    let store = folder.join("truststore/x509/ca/one");
    std::fs::create_dir_all(&store).unwrap();
    std::os::unix::fs::symlink(real, store.join("one.pem")).unwrap();
    let file = folder.join("countersign.toml");
    let document = countersign::toml_reader::Document::from_text(&file, POLICY.to_owned());
    let read = document.read(|section| Config::read(section, "platform".into()));
    assert!(read.unwrap_err().to_string().contains("is a symbolic link"));
}

#[test]
fn an_image_that_no_statement_is_for_is_refused() {
    let root = Certified::root("root");
    let text = policy(&statement("one", "\"registry.example.com/library\"", SKIP, "ca:one"));
    let pem = root.pem();
    let files: &[(&str, &[u8])] =
        &[("policy.json", text.as_bytes()), ("truststore/x509/ca/one/one.pem", pem.as_bytes())];
    let anchor = Anchor::new(config(POLICY, files).unwrap());
    let bytes = Signing::new(&root.signer(), &subject()).jws();
    assert_eq!(flawed(judged(&anchor, JWS, bytes)).check, "trust_policy");
}

#[test]
fn a_policy_that_breaks_the_specification_is_refused() {
    let root = Certified::root("root").pem();
    let one = |level: &str| statement("one", "\"*\"", level, "ca:one");
    let strict = "\"level\":\"strict\"";
    let scoped = |scopes: &str| statement("one", scopes, strict, "ca:one");
    let overridden = |change: &str| one(&format!("{strict},\"override\":{{{change}}}"));
    for (text, reported) in [
        (policy(""), "1 to"),
        ("{\"trustPolicies\":[]}".to_owned(), "version"),
        (policy(&one(strict)).replace("1.0", "2.0"), "version"),
        (policy(&one(strict)).replace("\"name\"", "\"extra\":1,\"name\""), "unknown member"),
        (policy(&one(strict)).replace("\"name\"", "\"name\":\"x\",\"name\""), "occurs twice"),
        (policy(&one(strict)).replace("trustStores", "truststores"), "unknown member"),
        (policy(&one("\"level\":\"skip\"")), "mode = \"allow\""),
        (policy(&one("\"level\":\"Strict\"")), "is not a level"),
        (policy(&one("")), "is not a level"),
        (policy(&overridden("\"integrity\":\"log\"")), "always enforced"),
        (policy(&overridden("\"authenticity\":\"skip\"")), "is not an action"),
        (policy(&overridden("\"expiry\":\"ignore\"")), "is not an action"),
        (policy(&overridden("\"time\":\"log\"")), "is not a validation"),
        (policy(&one(&format!("{strict},\"verifyTimestamp\":\"never\""))), "verifyTimestamp"),
        (policy(&scoped("")), "registryScopes"),
        (policy(&scoped("\"*\",\"registry.example.com/a\"")), "alone means all"),
        (policy(&scoped("\"registry.example.com/*\"")), "not a `registry/repository`"),
        (policy(&scoped("\"alpine\"")), "not a `registry/repository`"),
        (policy(&scoped("\"r.example.com/a\",\"r.example.com/a\"")), "occurs twice"),
        (policy(&scoped("\"docker.io/a\",\"docker.io/library/a\"")), "occurs twice"),
        (policy(&format!("{},{}", one(strict), one(strict))), "keep it in one statement"),
        (
            policy(&format!("{},{}", one(strict), scoped("\"r.example.com/a\""))),
            "two statements have the name",
        ),
        (policy(&statement("one", "\"*\"", strict, "one")), "is not a trust store"),
        (policy(&statement("one", "\"*\"", strict, "other:one")), "is not a trust store"),
        (policy(&statement("one", "\"*\"", strict, "ca:../ca/one")), "is not a trust store"),
        (policy(&statement("one", "\"*\"", strict, "ca:..")), "is not a trust store"),
        (policy(&statement("one", "\"*\"", strict, "ca:two")), "cannot be read"),
        (policy(&statement("one", "\"*\"", strict, "ca:empty")), "holds no"),
        (policy(&statement("one", "\"*\"", strict, "tsa:one")), "no store of type ca"),
        (policy(&one(strict)).replace("[\"*\"]}", "[]}"), "the list is empty"),
        (
            policy(&one(strict)).replace("[\"*\"]}", "[\"*\",\"x509.subject: C=US\"]}"),
            "must be the only entry",
        ),
    ] {
        let files: &[(&str, &[u8])] = &[
            ("policy.json", text.as_bytes()),
            ("truststore/x509/ca/one/one.pem", root.as_bytes()),
            ("truststore/x509/tsa/one/one.pem", root.as_bytes()),
            ("truststore/x509/ca/empty/README", b""),
        ];
        refused(POLICY, files, reported);
    }
}

#[test]
fn the_fingerprint_changes_with_everything_that_decides() {
    let (root, other) = (Certified::root("root"), Certified::root("other"));
    let tsa = "tsa = [\"root.crt\"]";
    let mut seen = std::collections::BTreeSet::new();
    for lines in [
        "",
        "level = \"audit\"",
        "level = \"permissive\"",
        "revocation = \"check\"",
        "identities = [\"x509.subject: C=US, ST=WA, O=Acme\"]",
        tsa,
    ] {
        assert!(seen.insert(trusting(&root, lines).fingerprint().to_string()), "{lines}");
    }
    assert!(seen.insert(trusting(&other, "").fingerprint().to_string()));
    let again = trusting(&root, "refresh = \"1m\"").fingerprint().to_string();
    assert!(seen.contains(&again));
}
