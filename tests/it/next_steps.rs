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

/// What `check` says of the whole configuration with `right` written as `slip`: on standard output if it
/// takes it, else on standard error.
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
            "name \"x\"; there is \"release-team\"",
        ),
        (id, "<64 hex digits>", "the id of a root key has 64 hex digits"),
        (id, "0e64", "the id of a root key has 64 hex digits"),
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
        let told = check(right, slip).unwrap_err();
        assert!(told.contains(next), "{slip}: {told}");
    }
}

#[test]
fn check_warns_about_an_expired_rule() {
    let told = check("require =", "mode = \"audit\"\nuntil = 2001-01-31\nrequire =").unwrap();
    assert!(told.contains("HAS ENDED, and counts no more: served until"), "{told}");
    let told = check("require =", "mode = \"audit\"\nuntil = 2999-01-31\nrequire =").unwrap();
    assert!(!told.contains("ENDED"), "{told}");
}

#[test]
fn check_explains_what_docker_gets_from_a_mirror_without_docker_hub_as_default() {
    let mirror = "[mirror]\nlisten = \"127.0.0.1:5052\"\n[admin]";
    let told = check("[admin]", mirror).unwrap();
    assert!(told.contains("gets nothing: there is no default upstream"), "{told}");
    let default = format!(
        "{mirror}\nlisten = \"127.0.0.1:5051\"\n[[upstream]]\nregistry = \"docker.io\"\ndefault = true\n[store]\n"
    );
    let told = check("[admin]\nlisten = \"127.0.0.1:5051\"\n[store]\n", &default).unwrap();
    assert!(!told.contains("gets"), "{told}");
}

#[test]
fn serve_says_what_to_do_where_an_address_is_taken() {
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
fn why_says_which_listener_it_asks() {
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
fn a_mirror_is_for_docker_alone() {
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
fn exempt_names_the_argument_that_is_wrong_and_the_command_that_ends_it() {
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
