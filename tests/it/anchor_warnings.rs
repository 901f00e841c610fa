//! The warnings of `check` about anchors whose keys cannot work together, or that one signer can satisfy twice.

use std::process::{Command, Stdio};

use crate::folder::Folder;
use crate::notary_repository::Key;
use crate::notation_signer::Certified;
use crate::sigstore;

/// The exit status and output of `check` for a configuration with these anchors, named `a` and `b`.
fn check(folder: &Folder, anchors: &str) -> (i32, String) {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\
         [[upstream]]\nregistry = \"r.example\"\n{anchors}"
    );
    let file = folder.write("countersign.toml", text);
    let output = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["check", "--config", file.to_str().unwrap()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[track_caller]
fn warns(folder: &Folder, anchors: &str, says: &str) {
    let (status, said) = check(folder, anchors);
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("warning ")).collect();
    assert_eq!(status, 0, "{said}");
    assert!(warnings.iter().any(|line| line.contains(says)), "{says}: {said}");
}

#[track_caller]
fn is_silent(folder: &Folder, anchors: &str) {
    let (status, said) = check(folder, anchors);
    // The configurations of these tests have no rule, or one that does not use every anchor.
    let unused = |line: &&str| line.contains("no [[rule]]") || line.contains("no rule uses");
    let mut warnings = said.lines().filter(|line| line.starts_with("warning "));
    assert_eq!((status, warnings.find(|line| !unused(line))), (0, None), "{said}");
}

#[track_caller]
fn is_wrong(folder: &Folder, anchors: &str, says: &str) {
    let (status, said) = check(folder, anchors);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains(says), "{says}: {said}");
}

fn notation(lines: &str) -> String {
    format!("[[anchor]]\nname = \"a\"\nscheme = \"notation\"\nidentities = [\"*\"]\n{lines}\n")
}

fn notation_site() -> Folder {
    let folder = Folder::new("warnings");
    for name in ["root", "other", "tsa"] {
        folder.write(&format!("{name}.crt"), Certified::root(name).pem());
    }
    folder
}

#[test]
fn max_age_of_notation_needs_a_timestamping_authority() {
    let folder = notation_site();
    let ca = "trust_store = [\"ca:root.crt\"]\nmax_age = \"90d\"";
    is_wrong(&folder, &notation(ca), "`anchor.max_age`: it needs a proven time");
    is_silent(&folder, &notation(&format!("{ca}\ntsa = [\"tsa.crt\"]")));
    let authority = "trust_store = [\"signingAuthority:root.crt\"]\nmax_age = \"90d\"";
    is_silent(&folder, &notation(authority));
    let both = "trust_store = [\"ca:root.crt\", \"signingAuthority:other.crt\"]\nmax_age = \"90d\"";
    warns(&folder, &notation(both), "a: `max_age` leaves out every signature of a `ca:` store");
}

#[test]
fn check_warns_of_a_revoked_notation_root() {
    let folder = notation_site();
    let revoked = "revoked = [\"certificate:root.crt\"]";
    let one = format!("trust_store = [\"ca:root.crt\"]\n{revoked}");
    warns(&folder, &notation(&one), "a: `revoked` names its only root");
    let two = format!("trust_store = [\"ca:root.crt\", \"ca:other.crt\"]\n{revoked}");
    warns(&folder, &notation(&two), "remove it from the trust store instead");
    is_silent(&folder, &notation("trust_store = [\"ca:root.crt\"]\nrevoked = [\"serial:7f\"]"));
}

fn notary(lines: &str) -> String {
    format!(
        "[[anchor]]\nname = \"a\"\nscheme = \"notaryv1\"\nurl = \"https://notary.example\"\n{lines}\n"
    )
}

#[test]
fn check_warns_if_every_root_key_of_a_notary_anchor_is_revoked() {
    let folder = Folder::new("warnings");
    let (root, id) = (Key::named("root"), "1".repeat(64));
    folder.write("root.pem", root.public_pem());
    for revoked in ["key:root.pem".to_owned(), format!("key:{}", root.canonical_id())] {
        let lines = format!("root_keys = [\"root.pem\"]\nrevoked = [{revoked:?}]");
        warns(&folder, &notary(&lines), "a: `revoked` lists every key of `root_keys`");
    }
    let lines = format!("root_keys = [{id:?}]\nrevoked = [\"key:{id}\"]");
    warns(&folder, &notary(&lines), "a: `revoked` lists every key of `root_keys`");
    let lines = format!("root_keys = [{id:?}, \"root.pem\"]\nrevoked = [\"key:{id}\"]");
    is_silent(&folder, &notary(&lines));
}

#[test]
fn check_warns_if_max_timestamp_life_is_shorter_than_the_default_of_notary() {
    let folder = Folder::new("warnings");
    let lines =
        |life: &str| format!("root_keys = [\"{}\"]\nmax_timestamp_life = {life:?}", "1".repeat(64));
    warns(&folder, &notary(&lines("13d")), "a: `max_timestamp_life` is below 14d");
    is_silent(&folder, &notary(&lines("14d")));
}

#[test]
fn check_warns_that_max_age_with_a_cosign_key_needs_a_stated_time() {
    let folder = Folder::new("warnings");
    folder.write("k.pub", sigstore::Key::new(sigstore::Kind::P256).pem());
    let anchor = "[[anchor]]\nname = \"a\"\nscheme = \"cosign\"\nkeys = [\"k.pub\"]\n";
    warns(
        &folder,
        &format!("{anchor}max_age = \"90d\"\n"),
        "a: `max_age` accepts only signatures that state a time",
    );
    is_silent(&folder, anchor);
}

#[test]
fn check_warns_of_overlapping_identity_patterns() {
    let folder = Folder::new("warnings");
    let anchor = |name: &str, identity: &str| {
        format!(
            "[[anchor]]\nname = {name:?}\nscheme = \"cosign\"\nidentity = {identity:?}\n\
             issuer = \"https://a.test\"\n"
        )
    };
    let rule = "[[rule]]\nimages = [\"r.example/**\"]\nany_of = [\"a\", \"b\"]\nthreshold = 2\n";
    let overlapping = anchor("a", "*@acme.com") + &anchor("b", "release@acme.com") + rule;
    warns(&folder, &overlapping, "a and b have overlapping identities and the same issuer");
    is_silent(&folder, &(anchor("a", "qa@acme.com") + &anchor("b", "release@acme.com") + rule));
}

#[test]
fn artifacts_in_a_deny_rule_is_an_error() {
    let folder = Folder::new("warnings");
    let rule = "[[rule]]\nimages = [\"r.example/**\"]\nmode = \"deny\"\n";
    is_silent(&folder, rule);
    let said = "`rule.artifacts`: a deny rule serves nothing";
    is_wrong(&folder, &format!("{rule}artifacts = \"all\"\n"), said);
    is_wrong(&folder, &format!("{rule}artifacts = \"listed\"\n"), said);
}
