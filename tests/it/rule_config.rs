//! How `check` reports rules: impossible image names, digests, and signers that match anyone.

use std::path::Path;

use countersign::clock::Timestamp;
use countersign::config::Config;
use countersign::oci::Digest;
use countersign::toml_reader::{Document, Problems};

use crate::config::reported_at_once;
use crate::folder::Folder;
use crate::notation_signer::Certified;

const HEAD: &str = "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\
                    [[upstream]]\nregistry = \"docker.io\"\n[[upstream]]\nregistry = \"r.example\"\n\
                    [[anchor]]\nname = \"a\"\nscheme = \"notaryv1\"\nurl = \"https://notary.example\"\n\
                    trust_on_first_use = true\n[[anchor]]\nname = \"b\"\nscheme = \"notaryv1\"\n\
                    url = \"https://notary.example\"\ntrust_on_first_use = true\n";

fn read(tables: &str) -> Result<Config, Problems> {
    let text = format!("{HEAD}{tables}");
    Config::read(&Document::from_text(Path::new("c.toml"), text))
}

fn rule(images: &str, lines: &str) -> String {
    format!("[[rule]]\nimages = [\"{images}\"]\n{lines}\n")
}

fn warnings(rules: &[String]) -> Vec<String> {
    let config = read(&rules.concat()).unwrap_or_else(|problems| panic!("{problems}"));
    config.policy.warnings(Timestamp::from_unix(0))
}

const ALLOW: &str = "mode = \"allow\"\nreason = \"x\"";
const DENY: &str = "mode = \"deny\"";
const A: &str = "require = [\"a\"]";

#[test]
fn every_wrong_name_in_rules_is_reported() {
    reported_at_once(
        r#"
[server]
listen = "127.0.0.1:0"
[clients]
htpasswd = "none" #! clients.htpasswd: cannot be read
[[clients.rule]]
users = ["alice"]
images = ["index.docker.io/alpine", "docker.io/Alpine"] #! clients.rule.images: images of Docker Hub are named docker.io/ #! clients.rule.images: write "alpine"
[store]
path = "store"
[[upstream]]
registry = "docker.io"

[[rule]]
images = ["docker.io/alpine", "docker.io/library/alpine"] #! rule.images: also in the [[rule]] of line 14
mode = "deny"

[[rule]]
images = ["registry-1.docker.io/library/alpine"] #! rule.images: images of Docker Hub are named docker.io/
mode = "deny"

[[rule]]
images = ["docker.io/acme/App", "docker.io/acme/a..b"] #! rule.images: lower case; write "app" #! rule.images: no image can match "a..b"
mode = "deny"

[[rule]]
images = ["docker.io/a@sha256:0", "docker.io/a:v1@sha256:0"] #! rule.images: a digest must be #! rule.images: leave out the tag
mode = "deny"
"#,
    );
}

#[test]
fn a_rule_for_docker_hub_matches_the_names_that_clients_send() {
    let rules = [rule("docker.io/alpine", DENY), rule("docker.io/**", ALLOW)];
    let config = read(&rules.concat()).unwrap();
    let repository = "docker.io/library/alpine".parse().unwrap();
    let now = Timestamp::from_unix(0);
    let chosen = config.policy.rule_for(&repository, None, now).unwrap();
    assert_eq!(&**chosen.pattern(), "docker.io/library/alpine");
    assert!(!config.policy.serves(&repository, now));
}

#[test]
fn only_a_deny_rule_may_name_a_digest() {
    let image = format!("r.example/app@{}", Digest::of(b""));
    read(&rule(&image, DENY)).unwrap();
    for lines in [A, ALLOW] {
        let problems = read(&rule(&image, lines)).unwrap_err().to_string();
        assert!(problems.contains("only a rule with `mode = \"deny\"`"), "{problems}");
    }
}

#[test]
fn check_warns_of_a_tag_rule_that_is_stricter_than_the_rule_by_digest() {
    let both = "require = [\"a\", \"b\"]";
    let (all, tags) = ("r.example/**", "r.example/app:v*");
    for (by_digest, by_tag, expected) in
        [(ALLOW, A, 1), (A, both, 1), (A, DENY, 1), (A, A, 0), (both, A, 0), (A, ALLOW, 0)]
    {
        let found = warnings(&[rule(all, by_digest), rule(tags, by_tag)]);
        assert_eq!(found.len(), expected, "{by_digest} {by_tag}: {found:#?}");
        assert!(found.iter().all(|it| it.contains(tags) && it.contains("by digest")), "{found:#?}");
    }
    let denied = warnings(&[rule(all, A), rule(tags, DENY)]).concat();
    assert!(denied.contains("deny r.example/app@sha256:…"), "{denied}");
    assert!(warnings(&[rule(tags, A)]).is_empty());
    assert!(warnings(&[rule("r.example/*", A), rule("r.example/app", DENY)]).is_empty());
}

#[test]
fn check_warns_of_a_rule_that_a_deny_rule_makes_ineffective() {
    let found = warnings(&[rule("**", DENY), rule("r.example/app", A)]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("r.example/app has no effect"), "{found:#?}");
}

/// An anchor `platform` with these keys, and a rule that requires it.
fn with_platform(anchor: &str, images: &str, mode: &str) -> Result<Config, Problems> {
    let folder = Folder::new("levels");
    folder.write("root.crt", Certified::root("root").pem());
    folder.write("store/x509/ca/one/root.crt", Certified::root("root").pem());
    let statement = |name: &str, scope: &str, level: &str| {
        format!(
            "{{\"name\":{name:?},\"registryScopes\":[{scope:?}],\
             \"signatureVerification\":{{{level}}},\"trustStores\":[\"ca:one\"],\
             \"trustedIdentities\":[\"*\"]}}"
        )
    };
    let audit = statement("loose", "r.example/loose", "\"level\":\"audit\"");
    let log = "\"level\":\"strict\",\"override\":{\"authenticity\":\"log\"}";
    let enforced = "\"level\":\"audit\",\"override\":{\"authenticity\":\"enforce\"}";
    for (file, statements) in [
        ("two.json", format!("{audit},{}", statement("all", "*", "\"level\":\"strict\""))),
        ("log.json", statement("all", "*", log)),
        ("enforced.json", statement("all", "*", enforced)),
    ] {
        folder.write(file, format!("{{\"version\":\"1.0\",\"trustPolicies\":[{statements}]}}"));
    }
    let text = format!(
        "{HEAD}[[anchor]]\nname = \"platform\"\nscheme = \"notation\"\n{anchor}\n\
         [[rule]]\nimages = [\"{images}\"]\nany_of = [\"platform\"]\n{mode}\n"
    );
    Config::read(&Document::from_text(&folder.join("countersign.toml"), text))
}

#[test]
fn an_anchor_that_accepts_anyone_is_an_error_in_an_enforce_rule() {
    let level = |level: &str| {
        format!("trust_store = [\"ca:root.crt\"]\nidentities = [\"*\"]\nlevel = {level:?}")
    };
    let policy = |file: &str| format!("trust_policy = {file:?}\ntrust_store_dir = \"store\"");
    for (anchor, images, is_error) in [
        (level("audit"), "r.example/**", true),
        (level("strict"), "r.example/**", false),
        (level("permissive"), "r.example/**", false),
        (policy("log.json"), "r.example/**", true),
        (policy("enforced.json"), "r.example/**", false),
        (policy("two.json"), "r.example/*", true),
        (policy("two.json"), "r.example/other", false),
    ] {
        let enforcing = with_platform(&anchor, images, "");
        assert_eq!(enforcing.is_err(), is_error, "{anchor} {images}");
        if let Err(problems) = enforcing {
            let reported = problems.to_string();
            assert!(
                reported.contains("`rule.any_of`")
                    && reported.contains("accepts signatures by anyone")
            );
        }
        with_platform(&anchor, images, "mode = \"audit\"").unwrap();
    }
}
