//! One machine with only a few files for each trap.

mod hosts;
mod podman;

use super::*;

const GATE: &str = "https://gate.example.com";
const DOCKER_HOSTS: &str = "/etc/docker/certs.d";
const HOSTS: &str = "/etc/containerd/certs.d";
const DROP_IN: &str = "/etc/containers/registries.conf.d/gate.conf";

fn question() -> Question {
    Question::new(vec![GATE.parse().unwrap()], &["docker.io".parse().unwrap()])
}

fn examined(files: &[(&str, &str)]) -> Vec<Finding> {
    examine(&question(), &ClientFiles::of(files))
}

/// The open traps with their lines.
fn open(found: &[Finding]) -> Vec<(Trap, Option<usize>)> {
    let open = found.iter().filter(|finding| finding.state == State::Open);
    open.map(|finding| (finding.trap, finding.line)).collect()
}

const CRI: (&str, &str) = (
    "/etc/containerd/config.toml",
    "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n",
);
const SOUND: &str = "server = \"https://gate.example.com\"\n\n[host.\"https://gate.example.com\"]\n\
                     capabilities = [\"pull\", \"resolve\"]\n";

#[test]
fn a_machine_without_clients_has_no_findings() {
    assert_eq!(examined(&[("/etc/hostname", "bare")]), []);
}

#[test]
fn the_output_of_client_config_is_closed() {
    use crate::client_config::{ClientKind, Wanted, print};
    let wanted = Wanted {
        gate: GATE.parse().unwrap(),
        mirror: None,
        addresses: Vec::new(),
        registries: vec!["docker.io".parse().unwrap(), "quay.io".parse().unwrap()],
        ca: Some("/etc/ssl/gate.crt".parse().unwrap()),
        certificate: None,
        credentials: None,
    };
    for kind in [
        ClientKind::DockerContainerd,
        ClientKind::Containerd,
        ClientKind::K3s,
        ClientKind::Podman,
        ClientKind::PodmanMirror,
    ] {
        let printed = print(kind, &wanted).unwrap();
        let files: Vec<_> =
            printed.files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
        let found = examined(&files);
        assert_eq!(found.len(), 1, "{kind:?}: {found:#?}");
        assert_eq!(found[0].state, State::Closed, "{kind:?}: {found:#?}");
    }
}

#[test]
fn docker_falls_back_to_docker_hub_after_its_mirror() {
    let found = examined(&[(
        "/etc/docker/daemon.json",
        "{\n \"registry-mirrors\": [\"https://gate.example.com\"]\n}",
    )]);
    assert_eq!(open(&found), [(Trap::Fallback, Some(2)), (Trap::OtherName, Some(2))]);
    assert!(
        found.iter().all(|finding| finding.leads_to.as_deref() == Some("registry-1.docker.io"))
    );
}

#[test]
fn docker_without_a_mirror_uses_docker_hub() {
    let found = examined(&[("/etc/docker/daemon.json", "{}")]);
    assert_eq!(open(&found), [(Trap::NotLed, None); 2]);
}

#[test]
fn docker_uses_other_mirrors() {
    let json =
        "{\"registry-mirrors\": [\"https://gate.example.com\",\n\"https://mirror.example.com\"]}";
    let found = examined(&[("/etc/docker/daemon.json", json)]);
    assert_eq!(open(&found)[0], (Trap::OtherPlace, Some(2)));
}

#[test]
fn docker_accepts_the_gate_without_a_certificate() {
    for name in ["gate.example.com", "0.0.0.0/0"] {
        let json = format!("{{\"insecure-registries\": [\"{name}\"]}}");
        let found = examined(&[("/etc/docker/daemon.json", &json)]);
        assert_eq!(open(&found)[0], (Trap::Insecure, Some(1)), "{name}");
    }
    let json = "{\"registry-mirrors\": [\"http://gate.example.com:443\"]}";
    assert_eq!(open(&examined(&[("/etc/docker/daemon.json", json)]))[0].0, Trap::Insecure);
}

#[test]
fn docker_reads_hosts_only_with_containerds_store() {
    let default = format!("{DOCKER_HOSTS}/_default/hosts.toml");
    let classic = "{\"features\": {\"containerd-snapshotter\": false}}";
    let own = [("/etc/docker/daemon.json", classic), (&default, SOUND)];
    assert_eq!(open(&examined(&own)), [(Trap::NotLed, None); 2]);
    let images = ("/var/lib/docker/image/overlay2", "");
    let own = [("/etc/docker/daemon.json", "{}"), (&default, SOUND), images];
    assert_eq!(open(&examined(&own)), [(Trap::NotLed, None); 2]);
    let json = "{\"features\": {\"containerd-snapshotter\": true}}";
    let store = [("/etc/docker/daemon.json", json), (&default, SOUND)];
    assert_eq!(open(&examined(&store)), []);
    let unsaid = examined(&[("/etc/docker/daemon.json", "{}"), (&default, SOUND)]);
    assert_eq!(open(&unsaid), []);
    assert!(unsaid.iter().any(|found| found.meaning.contains("docker 29")), "{unsaid:#?}");
    let broken = [("/etc/docker/daemon.json", json), (&default, "server = ")];
    assert_eq!(open(&examined(&broken)), [(Trap::Broken, Some(1)); 2]);
}

#[test]
fn an_invalid_daemon_json_is_undecided() {
    let found = examined(&[("/etc/docker/daemon.json", "{\n\"registry-mirrors\": [}")]);
    assert_eq!((found.len(), found[0].state, found[0].line), (1, State::Undecided, Some(2)));
}

#[test]
fn blocked_egress_does_not_hold_traffic_through_a_proxy() {
    let json = "{\"proxies\": {\"https-proxy\": \"http://proxy.example.com:3128\"}}";
    let found = examined(&[("/etc/docker/daemon.json", json)]);
    let closed = [("registry-1.docker.io".to_owned(), Reach::Closed("refused".to_owned()))];
    let report = Report::new(found, Some(&closed));
    assert_eq!(report.exit_status(), 3, "{}", report.to_text());
}

const RENAMED: &str = "[[registry]]\nprefix = \"docker.io\"\nlocation = \"gate.example.com/docker.io\"\n\
                       [[registry]]\nlocation = \"registry-1.docker.io\"\nblocked = true\n";

const K3S: &str = "/etc/rancher/k3s/registries.yaml";
const ANY: &str = "mirrors:\n  \"*\":\n    endpoint:\n      - \"https://gate.example.com\"\n";
const OPTION: (&str, &str) =
    ("/etc/rancher/k3s/config.yaml", "disable-default-registry-endpoint: true\n");

#[test]
fn k3s_falls_back_without_its_option() {
    assert_eq!(open(&examined(&[(K3S, ANY)])), [(Trap::Fallback, Some(3)); 3]);
    assert_eq!(open(&examined(&[(K3S, ANY), OPTION])), []);
    let unit = "[Service]\nExecStart=/usr/local/bin/k3s \\\n    server \\\n  '--disable-default-registry-endpoint' \\\n";
    let unit = ("/etc/systemd/system/k3s.service", unit);
    assert_eq!(open(&examined(&[(K3S, ANY), unit])), []);
    let off =
        ("/etc/rancher/k3s/config.yaml.d/z.yaml", "disable-default-registry-endpoint: false\n");
    assert_eq!(open(&examined(&[(K3S, ANY), OPTION, off])).len(), 3);
}

#[test]
fn k3s_asks_a_registry_that_is_not_named() {
    let found = examined(&[(K3S, &ANY.replace('*', "docker.io")), OPTION]);
    assert_eq!(open(&found), [(Trap::NotLed, None); 2], "{found:#?}");
    assert_eq!(open(&examined(&[OPTION])), [(Trap::NotLed, None); 3]);
}

#[test]
fn k3s_asks_other_endpoints_and_takes_any_certificate() {
    let more = format!(
        "{ANY}      - \"https://mirror.example.com\"\nconfigs:\n  \"gate.example.com\":\n    tls:\n      \
         insecure_skip_verify: true\n"
    );
    let found = examined(&[(K3S, &more), OPTION]);
    let (last, places) = open(&found).split_last().map(|(l, p)| (*l, p.to_vec())).unwrap();
    assert_eq!(places, [(Trap::OtherPlace, Some(5)); 3]);
    assert_eq!(last, (Trap::Insecure, Some(9)));
}

#[test]
fn an_invalid_registries_yaml_is_undecided() {
    let found = examined(&[(K3S, "mirrors: [\n"), OPTION]);
    assert_eq!((found.len(), found[0].state), (1, State::Undecided), "{found:#?}");
}

#[test]
fn an_unreadable_file_is_undecided_and_not_reported_as_closed() {
    let mut seen = ClientFiles::of(&[(DROP_IN, RENAMED)]);
    seen.put(
        "/etc/containers/registries.conf",
        FileContent::Unreadable("permission denied".to_owned()),
    );
    let report = Report::new(examine(&question(), &seen), None);
    assert_eq!(report.exit_status(), 1, "{}", report.to_text());
    assert!(report.findings().iter().all(|finding| finding.state == State::Undecided));
}

#[test]
fn a_reachable_registry_is_a_bypass() {
    let found = examined(&[(DROP_IN, RENAMED)]);
    let ip = "192.0.2.1".parse().unwrap();
    let report = Report::new(found, Some(&[("registry-1.docker.io".to_owned(), Reach::Open(ip))]));
    assert_eq!(report.exit_status(), 3);
    assert_eq!(open(report.findings()), [(Trap::Egress, None)]);
}

#[test]
fn an_unreachable_server_is_held_only_by_blocked_egress() {
    let found = examined(&[("/etc/docker/daemon.json", "{}")]);
    for reach in [Reach::Closed("refused".to_owned()), Reach::Gate] {
        let report =
            Report::new(found.clone(), Some(&[("registry-1.docker.io".to_owned(), reach)]));
        assert_eq!(report.exit_status(), 0, "{}", report.to_text());
        assert!(report.findings().iter().any(|finding| finding.state == State::Held));
    }
    let unknown = Reach::Undecided("no name".to_owned());
    let report = Report::new(found.clone(), Some(&[("registry-1.docker.io".to_owned(), unknown)]));
    assert_eq!(report.exit_status(), 3);
    assert_eq!(Report::new(found, None).exit_status(), 3);
}

#[test]
fn a_finding_never_names_a_missing_file() {
    let files = [
        ("/usr/bin/dockerd", ""),
        ("/usr/bin/containerd", ""),
        ("/usr/bin/podman", ""),
        ("/usr/local/bin/k3s", ""),
    ];
    let found = examined(&files);
    assert!(found.iter().filter(|finding| finding.state == State::Open).count() >= 4);
    for finding in found {
        assert_eq!(finding.file, None, "{finding:?}");
    }
}

#[test]
fn text_and_json_name_the_file_and_line() {
    let found = examined(&[(
        "/etc/docker/daemon.json",
        "{\n \"registry-mirrors\": [\"https://gate.example.com\"]\n}",
    )]);
    let report = Report::new(found, None);
    let text = report.to_text();
    assert!(text.contains("in /etc/docker/daemon.json:2\n") && text.contains("fix: "), "{text}");
    assert!(
        text.ends_with("bypasses: 2 open, 0 undecided, 0 blocked only by the network\n"),
        "{text}"
    );
    let json = serde_json::to_value(&report).unwrap();
    let first = &json["findings"][0];
    assert_eq!(
        (&first["state"], &first["trap"], &first["line"]),
        (&"open".into(), &"fallback".into(), &2.into())
    );
    assert!(json["out_of_sight"].to_string().contains("--registry-mirror"));
}

#[test]
fn text_from_files_cannot_control_the_terminal_or_forge_lines() {
    let mirror = r"https://other.example/\u001b[8m\n\nbypasses: 0 open\u202e";
    let daemon = format!("{{\"registry-mirrors\": [\"{mirror}\"]}}");
    let found = examined(&[("/etc/docker/daemon.json", &daemon)]);
    assert!(found.iter().any(|finding| finding.trap == Trap::OtherPlace), "{found:#?}");
    let text = Report::new(found, None).to_text();
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    assert_eq!(text.matches("\nbypasses:").count(), 1, "{text}");
}

#[test]
fn many_names_in_one_file_are_judged_quickly() {
    let names: String = (0..20_000).map(|at| format!("  r{at}.example: {{}}\n")).collect();
    let text = format!("mirrors:\n{names}");
    let started = std::time::Instant::now();
    let found = examined(&[("/etc/rancher/k3s/registries.yaml", &text)]);
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    let undecided = found.iter().find(|finding| finding.state == State::Undecided);
    assert!(undecided.unwrap().meaning.contains("only 2000"), "{undecided:?}");
}
