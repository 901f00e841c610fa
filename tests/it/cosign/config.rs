//! The configuration of a cosign anchor, and the errors for invalid values.

use countersign::trust::cosign::{Anchor, Roots, Signers, Tlog};

use crate::sigstore::{Authority, Key, Kind, Leaf, Sigstore, Term};

use super::bench::read;

const KEYLESS: &str = "identity = \"*@acme.test\"\nissuer = \"https://login.acme.test\"";

#[track_caller]
fn wrong(lines: &str, files: &[(&str, &str)], reported: &str) {
    let problems = read(lines, files).expect_err("it was taken");
    assert!(
        problems.iter().any(|problem| problem.contains(reported)),
        "{reported:?}: {problems:#?}"
    );
}

fn key() -> String {
    Key::new(Kind::P256).pem()
}

#[test]
fn the_three_ways_to_say_who_signs_have_their_defaults() {
    let pem = key();
    let config = read("keys = [\"k\"]", &[("k", &pem)]).unwrap();
    assert!(matches!(&config.signers, Signers::Keys(keys) if keys.len() == 1));
    assert_eq!((config.tlog, config.refresh.as_secs()), (Tlog::Ignore, 300));
    assert_eq!(config.roots.fingerprint(), Roots::public_good().unwrap().fingerprint());
    let config = read(KEYLESS, &[]).unwrap();
    assert!(matches!(config.signers, Signers::Keyless { .. }));
    assert_eq!(config.tlog, Tlog::Require);
    let chain = Authority::new("acme", Term::years()).chain_pem();
    let lines = "certificate_chain = \"c\"\nidentity = \"*\"";
    let config = read(lines, &[("c", &chain)]).unwrap();
    assert!(matches!(&config.signers, Signers::Pki { chain, .. } if chain.len() == 2));
    assert_eq!(config.tlog, Tlog::Ignore);
}

#[test]
fn every_key_of_the_contract_is_read() {
    let root = Sigstore::shared().trusted_root().to_string();
    let lines = format!(
        "{KEYLESS}\ntrusted_root = \"r\"\ntlog = \"ignore\"\nrefresh = \"30s\"\n\
         predicate_type = \"https://slsa.dev/provenance/v1\"\n\
         annotations = {{ env = \"prod\" }}\n\
         signature_repository = \"registry.example.com/signatures\"\n"
    );
    let config = read(&lines, &[("r", &root)]).unwrap();
    assert_eq!(config.predicate_type.as_deref(), Some("https://slsa.dev/provenance/v1"));
    assert_eq!(config.annotations.get("env").map(String::as_str), Some("prod"));
    assert_eq!((config.tlog, config.refresh.as_secs()), (Tlog::Ignore, 30));
    assert_ne!(config.roots.fingerprint(), Roots::public_good().unwrap().fingerprint());
    let repository = config.signature_repository.clone().unwrap();
    assert_eq!(
        (repository.registry.as_str(), repository.name.as_str()),
        ("registry.example.com", "signatures")
    );
    assert!(Anchor::new(config).wants_attestation());
    let of_hub = "keys = [\"k\"]\nsignature_repository = \"docker.io/signatures\"";
    let config = read(of_hub, &[("k", &key())]).unwrap();
    assert_eq!(config.signature_repository.unwrap().name.as_str(), "library/signatures");
}

#[test]
fn who_signs_must_be_said_in_one_way() {
    let pem = key();
    let files = [("k", pem.as_str())];
    wrong("", &[], "name the signers");
    wrong("keys = []", &[], "the list is empty");
    wrong("identity = \"a\"", &[], "add `issuer`");
    wrong("issuer = \"a\"", &[], "add `identity`");
    wrong("certificate_chain = \"k\"", &files, "name the signers");
    for other in ["identity = \"a\"", "issuer = \"a\"", "certificate_chain = \"k\""] {
        wrong(&format!("keys = [\"k\"]\n{other}"), &files, "`keys` replaces this key");
    }
    wrong("identity = \"*\"\nissuer = \"a\"", &[], "anyone in the world");
    wrong("identity = \"\"\nissuer = \"a\"", &[], "the identity is empty");
    wrong("identity = \"a\"\nissuer = \"\"", &[], "the issuer is empty");
}

#[test]
fn a_file_that_is_not_a_public_key_gets_a_specific_error() {
    let leaf = Authority::new("acme", Term::years()).certify(&Leaf::new(), None).pem();
    let (pem, private) = (key(), Key::new(Kind::P256).pair.serialize_pem());
    let cosign = private.replace("PRIVATE KEY", "ENCRYPTED SIGSTORE PRIVATE KEY");
    for (file, reported) in [
        (private.as_str(), "holds a private key"),
        (&cosign, "holds a private key"),
        (&leaf, "holds a certificate"),
        (&format!("{pem}{pem}"), "several keys"),
        ("", "is not PEM"),
        (&pem.replace("PUBLIC KEY", "RSA PUBLIC KEY"), "PKCS#1"),
        (&pem.replace("PUBLIC KEY", "OTHER"), "OTHER"),
        (&short_rsa(), "1024 bits, which is too weak"),
    ] {
        wrong("keys = [\"k\"]", &[("k", file)], reported);
    }
    wrong("keys = [\"missing\"]", &[], "cannot be read");
    wrong("keys = [\"k\", \"k\"]", &[("k", &pem)], "is listed twice");
}

/// An RSA key of 1024 bits, of no use but to be refused: its modulus is no product of primes.
fn short_rsa() -> String {
    use base64::Engine as _;
    let mut der = vec![0x30, 0x81, 0x9f, 0x30, 0x0d, 0x06, 0x09];
    der.extend(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x81\x8d\x00\x30\x81\x89");
    der.extend([0x02, 0x81, 0x81, 0x00]);
    der.extend([0xaf; 128]);
    der.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

#[test]
fn the_chain_is_of_authorities_alone() {
    let authority = Authority::new("acme", Term::years());
    let leaf = authority.certify(&Leaf::new(), None).pem();
    let lines = "certificate_chain = \"c\"\nidentity = \"*\"";
    wrong(
        lines,
        &[("c", &(leaf + &authority.chain_pem()))],
        "number 1, a certificate that is not a CA",
    );
    wrong(lines, &[("c", "")], "holds 0 certificates");
    wrong(lines, &[("c", &authority.chain_pem().repeat(5))], "holds 10 certificates");
}

#[test]
fn a_trusted_root_must_have_what_the_signers_need() {
    let whole = Sigstore::shared().trusted_root();
    let without = |names: &[&str]| {
        let mut root = whole.clone();
        names.iter().for_each(|name| drop(root.as_object_mut().unwrap().remove(*name)));
        root.to_string()
    };
    let lines = format!("trusted_root = \"r\"\n{KEYLESS}");
    wrong(&lines, &[("r", &without(&["tlogs"]))], "no transparency log");
    wrong(&lines, &[("r", &without(&["ctlogs"]))], "need `certificateAuthorities` and `ctlogs`");
    let ignoring = format!("{lines}\ntlog = \"ignore\"");
    assert!(read(&ignoring, &[("r", &without(&["tlogs"]))]).is_ok());
    let neither = without(&["tlogs", "timestampAuthorities"]);
    wrong(&ignoring, &[("r", &neither)], "no time of signing can be proven");
    wrong(&lines, &[("r", "{}")], "not a trusted_root.json");
    wrong(&lines, &[("r", "no JSON")], "not a trusted_root.json");
    let mut broken = whole.clone();
    broken["tlogs"][0]["publicKey"]["rawBytes"] = "AAAA".into();
    wrong(&lines, &[("r", &broken.to_string())], "cannot be used");
}

#[test]
fn meaningless_values_are_reported() {
    let pem = key();
    let with = |line: &str| format!("keys = [\"k\"]\n{line}");
    let files = [("k", pem.as_str())];
    wrong(&with("tlog = \"maybe\""), &files, "neither \"require\" nor \"ignore\"");
    wrong(&with("predicate_type = \"slsa\""), &files, "is not a URI");
    let sign = "predicate_type = \"https://sigstore.dev/cosign/sign/v1\"";
    wrong(&with(sign), &files, "leave the key out");
    wrong(&with("annotations = { env = 1 }"), &files, "table of strings");
    wrong(&with("signature_repository = \"signatures\""), &files, "is not a `registry/repository`");
    wrong(&with("refresh = \"often\""), &files, "is not a duration");
    wrong(&with("key = \"k\""), &files, "did you mean `keys`");
    let wide = Key::new(Kind::P521).pem();
    assert!(read(&with("tlog = \"require\""), &[("k", &wide)]).is_ok());
}

#[test]
fn the_hash_and_the_padding_fit_the_keys() {
    let (pem, rsa) = (key(), Key::new(Kind::Rsa2048).pem());
    let ed25519 = Key::new(Kind::Ed25519).pem();
    let files = [("k", pem.as_str()), ("rsa", &rsa), ("ed", &ed25519)];
    for lines in [
        "keys = [\"k\", \"rsa\"]\nhash_algorithm = \"sha512\"",
        "keys = [\"rsa\"]\nrsa_padding = \"pss\"",
        "keys = [\"k\", \"ed\"]\nrsa_padding = \"pkcs1v15\"",
    ] {
        assert!(read(lines, &files).is_ok(), "{lines}");
    }
    for (lines, reported) in [
        ("keys = [\"k\"]\nhash_algorithm = \"sha1\"", "is not one of \"sha256\""),
        ("keys = [\"k\"]\nhash_algorithm = 256", "hash_algorithm"),
        ("keys = [\"ed\"]\nhash_algorithm = \"sha256\"", "has a hash of its own"),
        ("keys = [\"k\"]\nrsa_padding = \"pss\"", "only RSA keys have a padding"),
        ("keys = [\"rsa\"]\nrsa_padding = \"oaep\"", "neither \"pkcs1v15\" nor \"pss\""),
    ] {
        wrong(lines, &files, reported);
    }
    wrong(&format!("{KEYLESS}\nhash_algorithm = \"sha256\""), &[], "a key of its own");
}

/// For the attestations of private repositories.
#[test]
fn the_authorities_of_github_are_a_private_pki_with_their_own_trusted_root() {
    let root = sigstore_trust_root::SIGSTORE_GITHUB_TRUSTED_ROOT;
    let parsed: serde_json::Value = serde_json::from_str(root).unwrap();
    let authorities = parsed["certificateAuthorities"].as_array().unwrap();
    let certificates = authorities.last().unwrap()["certChain"]["certificates"].as_array().unwrap();
    let pem = |one: &serde_json::Value| {
        let text = one["rawBytes"].as_str().unwrap();
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    let chain: String = certificates.iter().map(pem).collect();
    let lines = "certificate_chain = \"c\"\ntrusted_root = \"r\"\n\
                 identity = \"https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*\"\n\
                 issuer = \"https://token.actions.githubusercontent.com\"";
    let config = read(lines, &[("c", &chain), ("r", root)]).unwrap();
    assert!(matches!(&config.signers, Signers::Pki { .. }));
    // Everyone on GitHub can get such a certificate.
    let anyone = lines.replace("github.com/acme/app", "github.com/*");
    wrong(&anyone, &[("c", &chain), ("r", root)], "fixed owner");
}

#[test]
fn the_fingerprint_covers_every_setting_that_affects_a_verdict() {
    let (one, two) = (key(), key());
    let root = Sigstore::shared().trusted_root().to_string();
    let chain = Authority::new("acme", Term::years()).chain_pem();
    let rsa = Key::new(Kind::Rsa2048).pem();
    let files = [("1", one.as_str()), ("2", &two), ("3", &rsa), ("r", &root), ("c", &chain)];
    let of = |lines: &str| Anchor::new(read(lines, &files).unwrap()).fingerprint();
    let all = [
        "keys = [\"1\"]",
        "keys = [\"2\"]",
        "keys = [\"1\", \"2\"]",
        "keys = [\"1\"]\ntlog = \"require\"",
        "keys = [\"1\"]\ntrusted_root = \"r\"",
        "keys = [\"1\"]\nhash_algorithm = \"sha256\"",
        "keys = [\"1\"]\nhash_algorithm = \"sha384\"",
        "keys = [\"3\"]",
        "keys = [\"3\"]\nrsa_padding = \"pss\"",
        "keys = [\"1\"]\npredicate_type = \"a:b\"",
        "keys = [\"1\"]\nannotations = { a = \"b\" }",
        "keys = [\"1\"]\nannotations = { a = \"c\" }",
        "keys = [\"1\"]\nsignature_repository = \"a.test/b\"",
        "identity = \"a\"\nissuer = \"b\"",
        "identity = \"ab\"\nissuer = \"b\"",
        "identity = \"a\"\nissuer = \"c\"",
        "identity = \"a\"\ncertificate_chain = \"c\"",
        "identity = \"a\"\ncertificate_chain = \"c\"\nissuer = \"b\"",
    ];
    let distinct: std::collections::BTreeSet<_> = all.iter().map(|lines| of(lines)).collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(of(all[0]), of("keys = [\"1\"]\nrefresh = \"1s\""));
}
