//! The printed files contain the necessary settings in each client's format.

use super::*;

fn wanted(registries: &[&str]) -> Wanted {
    Wanted {
        gate: "https://gate.example.com:8443".parse().unwrap(),
        mirror: None,
        addresses: Vec::new(),
        registries: registries.iter().map(|name| name.parse().unwrap()).collect(),
        ca: Some("/etc/ssl/gate-ca.crt".parse().unwrap()),
        certificate: Some(ClientCertificate {
            certificate: "/etc/ssl/me.crt".parse().unwrap(),
            key: "/etc/ssl/me.key".parse().unwrap(),
        }),
        credentials: None,
    }
}

fn made(kind: ClientKind, wanted: &Wanted) -> Printed {
    print(kind, wanted).unwrap()
}

fn file<'a>(printed: &'a Printed, path: &str) -> &'a str {
    let found = printed.files.iter().find(|file| file.path == path);
    &found.unwrap_or_else(|| panic!("no {path}: {printed:?}")).text
}

/// The parsed TOML file.
fn toml(printed: &Printed, path: &str) -> toml::Value {
    toml::from_str(file(printed, path)).unwrap()
}

#[test]
fn the_text_can_be_cut_at_its_headers() {
    let printed = made(ClientKind::Containerd, &wanted(&["docker.io"]));
    let text = printed.to_text();
    let mut parts = text.split("\n# file: ");
    assert!(parts.next().unwrap().lines().all(|line| line.starts_with("# ")));
    let cut: Vec<_> = parts.map(|part| part.split_once('\n').unwrap()).collect();
    assert_eq!(cut.len(), printed.files.len());
    for ((path, text), file) in cut.into_iter().zip(&printed.files) {
        assert_eq!((path, text.trim_end()), (file.path.as_str(), file.text.trim_end()));
    }
}

#[test]
fn hosts_files_contain_the_server_and_a_host_that_resolves() {
    for (kind, root) in [
        (ClientKind::Containerd, "/etc/containerd/certs.d"),
        (ClientKind::DockerContainerd, "/etc/docker/certs.d"),
    ] {
        let printed = made(kind, &wanted(&["docker.io", "quay.io"]));
        for name in ["docker.io", "registry-1.docker.io", "index.docker.io", "quay.io", "_default"]
        {
            let hosts = toml(&printed, &format!("{root}/{name}/hosts.toml"));
            assert_eq!(hosts["server"].as_str(), Some("https://gate.example.com:8443"));
            let host = &hosts["host"]["https://gate.example.com:8443"];
            assert_eq!(host["capabilities"].as_array().unwrap().len(), 2);
            for part in [&hosts, host] {
                assert_eq!(part["ca"].as_str(), Some("/etc/ssl/gate-ca.crt"));
                assert_eq!(part["client"][0][1].as_str(), Some("/etc/ssl/me.key"));
            }
        }
    }
    let containerd = made(ClientKind::Containerd, &wanted(&["docker.io"]));
    let config = toml(&containerd, "/etc/containerd/config.toml");
    let registry = &config["plugins"]["io.containerd.grpc.v1.cri"]["registry"];
    assert_eq!(registry["config_path"].as_str(), Some("/etc/containerd/certs.d"));
}

#[test]
fn only_docker_hub_adds_its_other_names() {
    let printed = made(ClientKind::Containerd, &wanted(&["quay.io"]));
    assert!(!printed.to_text().contains("docker.io"), "{}", printed.to_text());
}

#[test]
fn docker_gets_a_mirror_only_if_one_is_given() {
    let mut wanted = wanted(&["docker.io", "localhost:5000"]);
    let by_name = made(ClientKind::Docker, &wanted);
    assert_eq!(by_name.files, []);
    let text = by_name.to_text();
    assert!(text.contains("docker pull gate.example.com:8443/docker.io/library/app:1"), "{text}");
    assert!(text.contains("docker pull gate.example.com:8443/library/app:1"), "{text}");
    let command =
        "install -D -m 600 /etc/ssl/me.key /etc/docker/certs.d/gate.example.com:8443/client.key";
    assert!(text.contains(command), "{text}");

    wanted.mirror = Some("https://gate.example.com:9443".parse().unwrap());
    let printed = made(ClientKind::Docker, &wanted);
    let json: serde_json::Value =
        serde_json::from_str(file(&printed, "/etc/docker/daemon.json")).unwrap();
    assert_eq!(json["registry-mirrors"][0], "https://gate.example.com:9443");
    let text = printed.to_text();
    for folder in ["gate.example.com:9443", "docker.io"] {
        for file in ["ca.crt", "client.cert", "client.key"] {
            let path = format!("/etc/docker/certs.d/{folder}/{file}");
            assert!(text.lines().any(|line| line.ends_with(&path)), "{path}: {text}");
        }
    }
    assert!(text.contains("does not guarantee") && text.contains("client-config egress"), "{text}");
}

#[test]
fn a_mirror_over_http_needs_no_certificate_for_docker_hub() {
    let mut wanted = wanted(&["docker.io"]);
    wanted.mirror = Some("http://127.0.0.1:5052".parse().unwrap());
    let text = made(ClientKind::Docker, &wanted).to_text();
    assert!(!text.contains("certs.d/docker.io"), "{text}");
}

#[test]
fn podman_renames_the_registry_and_blocks_its_other_names() {
    let printed = made(ClientKind::Podman, &wanted(&["docker.io", "quay.io"]));
    let conf = toml(&printed, "/etc/containers/registries.conf.d/countersign.conf");
    let entries = conf["registry"].as_array().unwrap();
    let [docker, quay, aliases @ ..] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(docker["prefix"].as_str(), Some("docker.io"));
    assert_eq!(docker["location"].as_str(), Some("gate.example.com:8443/docker.io"));
    assert_eq!(quay["location"].as_str(), Some("gate.example.com:8443/quay.io"));
    assert!(docker.get("insecure").is_none());
    assert_eq!(aliases.len(), 2);
    for (entry, name) in aliases.iter().zip(docker_hub::HOSTS) {
        assert_eq!(entry["location"].as_str(), Some(name));
        assert_eq!(entry["blocked"].as_bool(), Some(true));
    }
}

#[test]
fn podman_with_a_mirror_blocks_the_registry_itself() {
    let printed = made(ClientKind::PodmanMirror, &wanted(&["docker.io"]));
    let conf = toml(&printed, "/etc/containers/registries.conf.d/countersign.conf");
    let docker = &conf["registry"][0];
    assert_eq!(docker["blocked"].as_bool(), Some(true));
    assert_eq!(docker["location"].as_str(), Some("docker.io"));
    let mirrors = docker["mirror"].as_array().unwrap();
    assert_eq!(mirrors.len(), 1);
    assert_eq!(mirrors[0]["location"].as_str(), Some("gate.example.com:8443/docker.io"));
    for trap in ["mirror-by-digest-only", "pull-from-mirror"] {
        assert!(docker.get(trap).is_none() && mirrors[0].get(trap).is_none());
    }
}

#[test]
fn podman_can_use_a_registry_with_a_port_only_as_the_default_upstream() {
    let printed = made(ClientKind::Podman, &wanted(&["localhost:5000"]));
    let conf = toml(&printed, "/etc/containers/registries.conf.d/countersign.conf");
    assert_eq!(conf["registry"][0]["location"].as_str(), Some("gate.example.com:8443"));
    let both = print(ClientKind::Podman, &wanted(&["docker.io", "localhost:5000"]));
    assert!(matches!(both, Err(Impossible::Port(_))), "{both:?}");
}

#[test]
fn k3s_has_no_endpoint_but_the_gate_for_any_registry() {
    let printed = made(ClientKind::K3s, &wanted(&["docker.io"]));
    let text = file(&printed, "/etc/rancher/k3s/registries.yaml");
    for name in ["docker.io", "registry-1.docker.io", "index.docker.io", "*"] {
        let entry =
            format!("  \"{name}\":\n    endpoint:\n      - \"https://gate.example.com:8443\"\n");
        assert!(text.contains(&entry), "{name}: {text}");
    }
    assert!(
        text.contains("configs:\n  \"gate.example.com:8443\":\n    tls:\n      ca_file:"),
        "{text}"
    );
    let flag = file(&printed, "/etc/rancher/k3s/config.yaml.d/countersign.yaml");
    assert!(flag.contains("\ndisable-default-registry-endpoint: true\n"), "{flag}");
}

#[test]
fn egress_rules_contain_ip_addresses() {
    let mut wanted = wanted(&["docker.io"]);
    let none = print(ClientKind::Egress, &wanted);
    assert!(matches!(none, Err(Impossible::NoAddress(_))), "{none:?}");
    wanted.addresses = vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
    let printed = made(ClientKind::Egress, &wanted);
    let text = file(&printed, "/etc/nftables.d/countersign.nft");
    assert!(text.contains("\t\tip daddr { 192.0.2.7 } tcp dport { 8443 } accept\n"), "{text}");
    assert!(text.contains("\t\tip6 daddr { 2001:db8::7 } tcp dport { 8443 } accept\n"), "{text}");
}

#[test]
fn containerd_sends_the_password_to_a_gate_with_passwords() {
    let mut wanted = wanted(&["docker.io"]);
    wanted.credentials = Some(Credentials::new("node", "s3cret").unwrap());
    let printed = made(ClientKind::Containerd, &wanted);
    let hosts = toml(&printed, "/etc/containerd/certs.d/docker.io/hosts.toml");
    let basic = toml::Value::from("Basic bm9kZTpzM2NyZXQ=");
    assert_eq!(hosts["header"]["authorization"], basic);
    assert_eq!(hosts["host"]["https://gate.example.com:8443"]["header"]["authorization"], basic);
    assert!(!format!("{wanted:?}").contains("bm9kZTpz"), "{wanted:?}");
    for kind in
        [ClientKind::Docker, ClientKind::DockerContainerd, ClientKind::K3s, ClientKind::Podman]
    {
        assert_eq!(print(kind, &wanted), Err(Impossible::NoCredentials), "{kind:?}");
    }
}

#[test]
fn egress_rules_close_the_port_of_each_registry() {
    let mut wanted = wanted(&["docker.io", "registry.example.com:8444"]);
    wanted.addresses = vec!["192.0.2.7".parse().unwrap()];
    let printed = made(ClientKind::Egress, &wanted);
    let text = file(&printed, "/etc/nftables.d/countersign.nft");
    let closed = "\t\ttcp dport { 80, 443, 5000, 8444 } reject with tcp reset\n";
    assert!(text.contains(closed), "{text}");
}

#[test]
fn a_path_that_would_need_quoting_is_rejected() {
    for path in ["ca.crt", "/etc/ssl/", "/etc/\"x\"", "/etc/a b", "/etc/a\nb", ""] {
        assert_eq!(path.parse::<ClientPath>(), Err(InvalidPath), "{path:?}");
    }
}
