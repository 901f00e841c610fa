//! Mistakes of new users: each error names the next step.

use std::net::TcpListener;

use crate::commands::countersign;
use crate::folder::Folder;

const WHOLE: &str = r#"
[server]
listen = "127.0.0.1:5050"
[admin]
listen = "127.0.0.1:5051"
[store]
path = "store"
[[upstream]]
registry = "registry.example.com"
[[anchor]]
name = "release-team"
scheme = "notaryv1"
url = "https://notary.example.com"
root_keys = ["0000000000000000000000000000000000000000000000000000000000000000"]
[[rule]]
images = ["registry.example.com/library/**"]
require = ["release-team"]
"#;

/// The output of `check` for the whole configuration with `right` replaced by `slip`: standard output if it is valid,
/// otherwise standard error.
fn check(right: &str, slip: &str) -> Result<String, String> {
    assert!(WHOLE.contains(right), "{right}");
    let folder = Folder::new("slip");
    let file = folder.write("countersign.toml", WHOLE.replacen(right, slip, 1));
    let said = countersign(&["check", "--config", file.to_str().unwrap()]);
    match said.status {
        Some(0) => Ok(said.stdout),
        Some(2) => Err(said.stderr),
        other => panic!("{other:?}: {}", said.stderr),
    }
}

#[test]
fn check_suggests_the_fix_for_a_typo() {
    let id = "0000000000000000000000000000000000000000000000000000000000000000";
    for (right, slip, next) in [
        (
            "require = [\"release-team\"]",
            "require = [\"x\"]",
            "name \"x\"; the configured names are \"release-team\"",
        ),
        (id, "<64 hex digits>", "a root key id has 64 hex digits"),
        (id, "0e64", "a root key id has 64 hex digits"),
        ("\"notaryv1\"", "notaryv1", ":12: "),
        ("\"notaryv1\"", "notaryv1", "strings need quotes"),
        ("registry.example.com/library/**", "library/**", "such as \"registry.example.com/**\""),
        (
            "127.0.0.1:5051",
            "127.0.0.1:5050",
            "`admin`: 127.0.0.1:5050 conflicts with 127.0.0.1:5050 in [server]",
        ),
        ("127.0.0.1:5051", "0.0.0.0:5050", "conflicts with"),
    ] {
        let reported = check(right, slip).unwrap_err();
        assert!(reported.contains(next), "{slip}: {reported}");
    }
}

#[test]
fn check_warns_about_an_expired_rule() {
    let reported = check("require =", "mode = \"audit\"\nuntil = 2001-01-31\nrequire =").unwrap();
    assert!(reported.contains("EXPIRED (ignored): served until"), "{reported}");
    let reported = check("require =", "mode = \"audit\"\nuntil = 2999-01-31\nrequire =").unwrap();
    assert!(!reported.contains("ENDED"), "{reported}");
}

#[test]
fn check_explains_what_docker_gets_from_a_mirror_without_docker_hub_as_default() {
    let mirror = "[mirror]\nlisten = \"127.0.0.1:5052\"\n[admin]";
    let reported = check("[admin]", mirror).unwrap();
    assert!(reported.contains("gets nothing: there is no default upstream"), "{reported}");
    let default = format!(
        "{mirror}\nlisten = \"127.0.0.1:5051\"\n[[upstream]]\nregistry = \"docker.io\"\ndefault = true\n[store]\n"
    );
    let reported = check("[admin]\nlisten = \"127.0.0.1:5051\"\n[store]\n", &default).unwrap();
    assert!(!reported.contains("gets"), "{reported}");
}

#[test]
fn serve_explains_an_address_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new("taken");
    let text = WHOLE.replacen("127.0.0.1:5050", &address, 1);
    let file = folder.write("countersign.toml", &text);
    let said = countersign(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!(said.status, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.contains("stop the process that uses it, or set another `listen`"),
        "{}",
        said.stderr
    );
}

#[test]
fn why_names_the_listener_that_it_asks() {
    for gate in ["127.0.0.1:5051", "ftp://127.0.0.1:5051"] {
        let said = countersign(&["why", "registry.example.com/app:1", "--gate", gate]);
        assert_eq!(said.status, Some(2));
        assert!(
            said.stderr.contains("write the `listen` of the gate's [admin]"),
            "{}",
            said.stderr
        );
    }
}

#[test]
fn a_foreign_log_is_distinguished_from_a_log_without_pulls() {
    let folder = Folder::new("logs");
    let (other, none) = (folder.write("other.log", "hello\nworld\n"), folder.write("none.log", ""));
    let config = folder.write("countersign.toml", WHOLE);
    let config = config.to_str().unwrap();
    for command in ["learn", "replay"] {
        let said = countersign(&[command, other.to_str().unwrap(), "--config", config]);
        assert_eq!((said.status, said.stdout.as_str()), (Some(2), ""), "{command}");
        assert!(said.stderr.contains("no line is a decision"), "{}", said.stderr);
        let said = countersign(&[command, none.to_str().unwrap(), "--config", config]);
        let expected = if command == "replay" { 4 } else { 0 };
        assert_eq!(said.status, Some(expected), "{command}: {}", said.stderr);
    }
}

#[test]
fn the_mirror_option_is_only_for_docker() {
    let gate = ["--gate", "https://gate.example.com", "--mirror", "https://gate.example.com:5443"];
    let said = countersign(&[&["client-config", "podman"], &gate[..]].concat());
    assert_eq!((said.status, said.stdout.as_str()), (Some(2), ""));
    assert!(said.stderr.contains("--mirror is only for docker"), "{}", said.stderr);
    let said = countersign(&[&["client-config", "docker"], &gate[..]].concat());
    assert!(
        said.stdout
            .contains("--gate https://gate.example.com --gate https://gate.example.com:5443")
    );
}

#[test]
fn exempt_names_the_wrong_argument_and_the_command_that_ends_an_exemption() {
    let folder = Folder::new("exempt-steps");
    std::fs::create_dir(folder.join("store")).unwrap();
    let config = folder.write("countersign.toml", WHOLE);
    let config = config.to_str().unwrap();
    let image = format!("registry.example.com/library/app@sha256:{}", "0".repeat(64));
    let exempt = |lasts| {
        countersign(&["exempt", &image, "--reason", "x", "--for", lasts, "--config", config])
    };
    let said = exempt("8d");
    assert_eq!(said.status, Some(2));
    assert!(said.stderr.contains("--for must be from one second to 7 days"), "{}", said.stderr);
    let said = exempt("2h");
    let end = format!("countersign exempt {image} --end --config {config}\n");
    assert!(said.stdout.ends_with(&end), "{}", said.stdout);
}

/// The warnings of `check` for [`WHOLE`] with `right` replaced by `slip` and the additional text `more` at its end.
fn warnings(right: &str, slip: &str, more: &str) -> String {
    let said = check(right, &format!("{slip}{more}")).unwrap();
    said.lines().filter(|line| line.starts_with("warning ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn check_warns_of_settings_that_cannot_work() {
    let require = "require = [\"release-team\"]";
    let cosign = |identity: &str, issuer: &str| {
        format!(
            "\n[[anchor]]\nname = \"ci\"\nscheme = \"cosign\"\nidentity = \"{identity}\"\n\
             issuer = \"{issuer}\"\n[[rule]]\nimages = [\"registry.example.com/ci/**\"]\nrequire = [\"ci\"]\n"
        )
    };
    let github = "https://token.actions.githubusercontent.com";
    let workflow = "https://github.com/acme/app/.github/workflows/release.yml";
    let upstream = "\n[[upstream]]\nregistry = \"quay.io\"\n";
    let unused = "\n[[anchor]]\nname = \"idle\"\nscheme = \"notaryv1\"\nurl = \"https://n.example\"\n\
                  root_keys = [\"1000000000000000000000000000000000000000000000000000000000000000\"]\n";
    for (more, words) in [
        (String::new(), "release-team: `root_keys` contains the placeholder of zeros"),
        (
            cosign("ci@acme.example", "login.acme.example"),
            "ci: `issuer` \"login.acme.example\" does not begin with https://",
        ),
        (cosign(&format!("{workflow}@main"), github), "matches no workflow of GitHub"),
        (cosign("https://github.com/acme/[a-z]*", github), "is not a regular expression"),
        (upstream.to_owned(), "quay.io: no rule matches images of this upstream"),
        (unused.to_owned(), "idle: no rule uses this anchor"),
    ] {
        let reported = warnings(require, require, &more);
        assert!(reported.contains(words), "{words}: {reported}");
    }
    let silent = warnings(require, require, &cosign(&format!("{workflow}@refs/tags/*"), github));
    assert!(!silent.contains("ci: "), "{silent}");
    let rules = &WHOLE[WHOLE.find("[[rule]]").unwrap()..];
    assert!(warnings(rules, "", "").contains("there is no [[rule]]: the gate denies every image"));
    let open = warnings("127.0.0.1:5051", "0.0.0.0:5051", "");
    assert!(open.contains("admin: 0.0.0.0:5051 is open to other machines"), "{open}");
}

#[test]
fn check_rejects_a_character_class_in_an_image_pattern() {
    for pattern in ["registry.example.com/acme/[a-z]*", "**/[a-z]*", "[a-z]*/app"] {
        let reported = check("registry.example.com/library/**", pattern).unwrap_err();
        assert!(reported.contains("no image can match"), "{pattern}: {reported}");
    }
}

#[test]
fn check_warns_of_unknown_users_and_of_passwords_without_tls() {
    let folder = Folder::new("users");
    let hash = "$2y$05$abcdefghijklmnopqrstuuSlG.2DF4hX1yC3V0UJwbyTdRa4Nhy9W";
    folder.write("users", format!("alice:{hash}\n"));
    let text = WHOLE.replacen("127.0.0.1:5050", "0.0.0.0:5050", 1)
        + "[clients]\nhtpasswd = \"users\"\n[[clients.rule]]\nusers = [\"alice\", \"bob\"]\n\
           images = [\"registry.example.com/**\"]\n";
    let file = folder.write("countersign.toml", text);
    let said = countersign(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    for words in [
        "contains \"bob\", but `htpasswd` has no such user",
        "clients send passwords to 0.0.0.0:5050 unencrypted",
    ] {
        assert!(said.stdout.contains(words), "{words}: {}", said.stdout);
    }
    assert!(!said.stdout.contains("contains \"alice\""), "{}", said.stdout);
}

#[test]
fn check_prints_json_for_programs() {
    let folder = Folder::new("check-json");
    let file = folder.write("countersign.toml", WHOLE);
    let said = countersign(&["check", "--json", "--config", file.to_str().unwrap()]);
    let reported: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.status, &reported["valid"]), (Some(0), &true.into()));
    assert!(reported["warnings"].to_string().contains("placeholder"), "{reported}");
    let file = folder.write("countersign.toml", WHOLE.replacen("path = ", "paht = ", 1));
    let said = countersign(&["check", "--json", "--config", file.to_str().unwrap()]);
    let reported: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.status, &reported["valid"]), (Some(2), &false.into()));
    assert_eq!(reported["errors"][1]["key"], "store.paht", "{reported}");
    assert_eq!(reported["errors"][1]["line"], 7, "{reported}");
}

#[test]
fn a_registry_without_an_upstream_differs_from_an_image_without_a_rule() {
    let folder = Folder::new("no-upstream");
    let text = WHOLE.replacen(
        "registry = \"registry.example.com\"",
        "registry = \"registry.example.com\"\ndefault = true",
        1,
    );
    let file = folder.write("countersign.toml", text);
    let why = |image: &str| {
        let said = countersign(&["why", "--json", image, "--config", file.to_str().unwrap()]);
        assert_eq!(said.status, Some(3), "{}", said.stderr);
        serde_json::from_str::<serde_json::Value>(&said.stdout).unwrap()
    };
    let reported = why("127.0.0.1:5050/docker.io/library/alpine:3");
    assert_eq!(
        (&reported["verdict"], reported.get("reason")),
        (&"missing".into(), None),
        "{reported}"
    );
    assert!(
        reported["because"].to_string().contains("no upstream is configured for docker.io"),
        "{reported}"
    );
    assert_eq!(why("127.0.0.1:5050/other/alpine:3")["reason"], "no_rule");
}
