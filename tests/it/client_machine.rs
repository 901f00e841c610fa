//! `client-config` and `doctor` from a shell: `doctor` finds no problem in the files that `client-config` writes.

use std::process::{Command, Stdio};

use crate::folder::Folder;

const GATE: &str = "https://gate.example.com";

fn countersign(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let output =
        command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The exit status and output of `doctor` for the machine with the root folder `root`.
fn doctor(root: &Folder, more: &[&str]) -> (Option<i32>, String) {
    let root = root.path().to_str().unwrap();
    let arguments = ["doctor", "--gate", GATE, "--root", root];
    let (status, stdout, stderr) = countersign(&[&arguments, more].concat());
    assert_eq!(stderr, "");
    (status, stdout)
}

fn write(root: &Folder, client: &str) -> (Option<i32>, String, String) {
    let root = root.path().to_str().unwrap();
    countersign(&["client-config", client, "--gate", GATE, "--write", root])
}

#[test]
fn doctor_finds_no_bypass_in_the_output_of_client_config() {
    for client in ["docker-containerd", "containerd", "k3s", "podman", "podman-mirror"] {
        let root = Folder::new("machine");
        let (status, stdout, stderr) = write(&root, client);
        assert_eq!(status, Some(0), "{client}: {stderr}");
        assert!(stdout.contains("# wrote ") && !stdout.contains("\n# file: "), "{stdout}");
        let (status, said) = doctor(&root, &[]);
        assert_eq!(status, Some(0), "{client}: {said}");
        assert!(said.contains("uses only the gate for images of docker.io"), "{client}: {said}");
    }
}

#[test]
fn client_config_prints_what_it_would_write() {
    let (status, stdout, _) = countersign(&["client-config", "containerd", "--gate", GATE]);
    let root = Folder::new("machine");
    write(&root, "containerd");
    assert_eq!(status, Some(0));
    for part in stdout.split("\n# file: ").skip(1) {
        let (path, text) = part.split_once('\n').unwrap();
        let written = std::fs::read_to_string(root.join(path.trim_start_matches('/'))).unwrap();
        assert_eq!(written.trim_end(), text.trim_end(), "{path}");
    }
}

#[test]
fn client_config_overwrites_nothing_and_prints_the_expected_content() {
    let root = Folder::new("machine");
    root.write("etc/containerd/config.toml", "version = 2\n");
    let (status, stdout, stderr) = write(&root, "containerd");
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.contains("were not changed: merge"), "{stderr}");
    let printed: Vec<_> = stdout.split("\n# file: ").skip(1).collect();
    assert_eq!(printed.len(), 1, "{stdout}");
    assert!(printed[0].starts_with("/etc/containerd/config.toml\n"), "{stdout}");
    let kept = std::fs::read_to_string(root.join("etc/containerd/config.toml")).unwrap();
    assert_eq!(kept, "version = 2\n");
    assert!(root.join("etc/containerd/certs.d/docker.io/hosts.toml").exists());
}

#[test]
fn client_config_follows_no_link_out_of_its_folder() {
    let (root, elsewhere) = (Folder::new("machine"), Folder::new("elsewhere"));
    std::os::unix::fs::symlink(elsewhere.path(), root.join("etc")).unwrap();
    let (status, stdout, stderr) = write(&root, "podman");
    assert_eq!((status, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("is a link to a folder outside"), "{stderr}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn client_config_leaves_its_own_output_unchanged() {
    let root = Folder::new("machine");
    write(&root, "podman");
    let (status, stdout, stderr) = write(&root, "podman");
    assert_eq!((status, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.starts_with("# unchanged "), "{stdout}");
}

#[test]
fn doctor_rejects_a_missing_root_folder() {
    let root = Folder::new("machine");
    let missing = root.join("no");
    let missing = missing.to_str().unwrap();
    let (status, stdout, stderr) = countersign(&["doctor", "--gate", GATE, "--root", missing]);
    assert_eq!((status, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("is not a folder"), "{stderr}");
}

#[test]
fn doctor_exits_with_3_for_an_open_bypass_and_names_its_location() {
    let root = Folder::new("machine");
    write(&root, "podman");
    let drop_in = "etc/containers/registries.conf.d/zz.conf";
    root.write(drop_in, "\n[[registry]]\nlocation = \"docker.io/library\"\n");
    let (status, said) = doctor(&root, &[]);
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains(&format!("in /{drop_in}:2\n")), "{said}");

    let (status, said) = doctor(&root, &["--json"]);
    assert_eq!(status, Some(3));
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&json["findings"][0]["trap"], &json["findings"][0]["line"]),
        (&"reopened".into(), &2.into())
    );
}

#[test]
fn doctor_exits_with_1_if_a_file_could_not_be_checked() {
    let root = Folder::new("machine");
    write(&root, "podman");
    std::fs::create_dir(root.join("etc/containers/registries.conf")).unwrap();
    let (status, said) = doctor(&root, &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("in /etc/containers/registries.conf\n"), "{said}");
}
