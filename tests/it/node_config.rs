//! `node-config` from a shell: it manages the `hosts.toml` files of a node and leaves other files alone.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::commands::{Said, countersign};
use crate::folder::Folder;

const GATE: &str = "https://gate.example.com";
const CONFIG_TOML: &str = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n";
const CERTIFICATE: &str = include_str!("../data/notation/root.crt");

fn write(root: &Folder, more: &[&str]) -> Said {
    let root = root.path().to_str().unwrap();
    countersign(&[&["node-config", "--write", root, "--gate", GATE], more].concat())
}

fn hosts(root: &Folder, registry: &str) -> Option<String> {
    fs::read_to_string(root.join(&format!("etc/containerd/certs.d/{registry}/hosts.toml"))).ok()
}

#[test]
fn the_arguments_are_documented_and_checked() {
    let help = countersign(&["node-config", "--help"]).stdout;
    // Independent of the width of the terminal.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in
        ["--write <FOLDER>", "--remove <FOLDER>", "--stay", "Exit status: 0; 2 ", "Examples: "]
    {
        assert!(help.contains(part), "{part}: {help}");
    }
    for wrong in [
        vec!["node-config", "--gate", GATE],
        vec!["node-config", "--write", "/nowhere"],
        vec!["node-config", "--write", "/nowhere", "--remove", "/nowhere", "--gate", GATE],
        vec!["node-config", "--write", "/nowhere", "--gate", "http://gate.example.com"],
    ] {
        let said = countersign(&wrong);
        assert_eq!((said.status, said.stdout.as_str()), (Some(2), ""), "{wrong:?}");
    }
}

#[test]
fn doctor_finds_no_bypass_on_a_node_of_node_config() {
    let root = Folder::new("node");
    root.write("etc/containerd/config.toml", CONFIG_TOML);
    let ca = root.write("gate-ca.crt", CERTIFICATE);
    let said = write(&root, &["--ca", ca.to_str().unwrap()]);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    let path = root.path().to_str().unwrap();
    let doctor = countersign(&["doctor", "--gate", GATE, "--root", path]);
    assert_eq!(doctor.status, Some(0), "{}", doctor.stdout);
    let config = fs::read_to_string(root.join("etc/containerd/config.toml")).unwrap();
    assert_eq!(config, CONFIG_TOML);

    let hosts: toml::Value = toml::from_str(&hosts(&root, "docker.io").unwrap()).unwrap();
    let ca = hosts["ca"].as_str().unwrap();
    let copied = fs::read_to_string(root.join(ca.trim_start_matches('/'))).unwrap();
    assert!(copied.ends_with(CERTIFICATE), "{copied}");
}

#[test]
fn node_config_replaces_its_files_and_removes_those_that_are_no_longer_needed() {
    let root = Folder::new("node");
    write(&root, &["--registry", "quay.io", "--registry", "ghcr.io"]);
    assert!(hosts(&root, "quay.io").is_some() && hosts(&root, "_default").is_some());
    let path = root.path().to_str().unwrap();
    let other = "https://other.example.com";
    let moved = ["node-config", "--write", path, "--gate", other, "--registry", "ghcr.io"];
    let said = countersign(&moved);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    assert!(hosts(&root, "ghcr.io").unwrap().contains(other));
    assert!(!root.join("etc/containerd/certs.d/quay.io").exists());
    let again = countersign(&moved);
    assert_eq!((again.status, again.stdout.as_str()), (Some(0), ""));
}

#[test]
fn node_config_keeps_the_files_of_others_and_exits_with_1() {
    let root = Folder::new("node");
    let own = "server = \"https://quay.io\"\n";
    root.write("etc/containerd/certs.d/quay.io/hosts.toml", own);
    let said = write(&root, &["--registry", "quay.io"]);
    assert_eq!(said.status, Some(1), "{}", said.stdout);
    assert!(said.stderr.contains("certs.d/quay.io/hosts.toml"), "{}", said.stderr);
    assert_eq!(hosts(&root, "quay.io").as_deref(), Some(own));
    assert!(hosts(&root, "_default").is_some());
}

#[test]
fn node_config_removes_its_files_and_nothing_else() {
    let root = Folder::new("node");
    let ca = root.write("gate-ca.crt", CERTIFICATE);
    write(&root, &["--ca", ca.to_str().unwrap()]);
    root.write("etc/containerd/certs.d/docker.io/client.key", "key");
    root.write("etc/containerd/certs.d/quay.io/hosts.toml", "server = \"https://quay.io\"\n");
    let said = countersign(&["node-config", "--remove", root.path().to_str().unwrap()]);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    let certs = root.join("etc/containerd/certs.d");
    let mut left: Vec<_> =
        fs::read_dir(&certs).unwrap().map(|one| one.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["docker.io", "quay.io"]);
    assert!(certs.join("docker.io/client.key").exists() && hosts(&root, "docker.io").is_none());
    assert!(hosts(&root, "quay.io").is_some());
}

#[test]
fn node_config_follows_no_link_out_of_its_folder() {
    let (root, elsewhere) = (Folder::new("node"), Folder::new("elsewhere"));
    std::os::unix::fs::symlink(elsewhere.path(), root.join("etc")).unwrap();
    let said = write(&root, &[]);
    assert_eq!((said.status, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
    assert!(said.stderr.contains("is a link to a folder outside"), "{}", said.stderr);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_password_is_only_for_root() {
    use std::os::unix::fs::PermissionsExt as _;

    let root = Folder::new("node");
    write(&root, &[]);
    let password = root.write("password", "s3cret\n");
    let file = password.to_str().unwrap();
    let said = write(&root, &["--username", "node", "--password-file", file]);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    let path = root.join("etc/containerd/certs.d/docker.io/hosts.toml");
    assert!(fs::read_to_string(&path).unwrap().contains("authorization = \"Basic "));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_files_stay_when_a_staying_node_config_is_stopped() {
    let root = Folder::new("node");
    let path = root.path().to_str().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(["node-config", "--write", path, "--gate", GATE, "--stay"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut written = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = written.next().unwrap().unwrap();
    assert!(first.starts_with("wrote "), "{first}");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(hosts(&root, "docker.io").is_some() && hosts(&root, "_default").is_some());
}
