//! containerd, and `hosts.toml` wherever it is read.

use super::*;

/// containerd whose CRI reads hosts.toml, with this one for every registry.
fn with_hosts(hosts: &str) -> Vec<Finding> {
    let default = format!("{HOSTS}/_default/hosts.toml");
    examined(&[CRI, (&default, hosts)])
}

/// That each of docker.io's names is caught in this trap, once.
fn all_names_are_in(found: &[Finding], trap: Trap, line: Option<usize>) {
    assert_eq!(open(found), [(trap, line); 3], "{found:#?}");
}

#[test]
fn hosts_with_both_parts_are_closed() {
    assert_eq!(open(&with_hosts(SOUND)), []);
}

#[test]
fn a_syntax_error_in_hosts_fails_open() {
    let found =
        with_hosts("server = \"https://gate.example.com\"\n[host.\"https://gate.example.com\"\n");
    all_names_are_in(&found, Trap::Broken, Some(2));
}

#[test]
fn hosts_of_a_wrong_type_or_capability_fail_open() {
    all_names_are_in(&with_hosts("server = 5\n"), Trap::Broken, Some(1));
    all_names_are_in(
        &with_hosts("server = \"https://gate.example.com\"\nhost = []\n"),
        Trap::Broken,
        Some(2),
    );
    let found = with_hosts(&SOUND.replace("\"resolve\"", "\"reslove\""));
    all_names_are_in(&found, Trap::Broken, Some(4));
    all_names_are_in(&with_hosts("# nothing\n"), Trap::Broken, None);
}

#[test]
fn a_server_alone_fails_open_in_older_containerd() {
    let found = with_hosts("server = \"https://gate.example.com\"\n");
    all_names_are_in(&found, Trap::ServerAlone, Some(1));
}

#[test]
fn hosts_without_a_server_fall_back() {
    let found =
        with_hosts("[host.\"https://gate.example.com\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
    all_names_are_in(&found, Trap::Fallback, None);
}

#[test]
fn a_server_below_a_host_has_no_effect() {
    let found = with_hosts(
        "[host.\"https://gate.example.com\"]\ncapabilities = [\"pull\", \"resolve\"]\n\
         server = \"https://gate.example.com\"\n",
    );
    all_names_are_in(&found, Trap::MisplacedServer, Some(3));
}

#[test]
fn without_resolve_tags_are_resolved_at_the_registry() {
    let hosts = "[host.\"https://gate.example.com\"]\ncapabilities = [\"pull\"]\n";
    let found = with_hosts(hosts);
    let traps: Vec<_> = open(&found).into_iter().take(2).collect();
    assert_eq!(traps, [(Trap::Fallback, None), (Trap::NoResolve, Some(1))], "{found:#?}");
}

#[test]
fn another_server_in_hosts_is_a_bypass() {
    let found = with_hosts(&format!("{SOUND}[host.\"https://mirror.example.com\"]\n"));
    all_names_are_in(&found, Trap::OtherPlace, Some(5));
    let found =
        with_hosts(&SOUND.replace("server = \"https://gate", "server = \"https://registry"));
    all_names_are_in(&found, Trap::OtherPlace, Some(1));
}

#[test]
fn an_unverified_certificate_is_a_bypass() {
    let found = with_hosts(&format!("{SOUND}skip_verify = true\n"));
    all_names_are_in(&found, Trap::Insecure, Some(3));
    // Held by no closed egress: it leads through the gate's own name.
    assert!(found.iter().all(|finding| finding.leads_to.is_none()));
}

#[test]
fn a_registry_without_a_folder_is_used_directly() {
    let path = format!("{HOSTS}/docker.io/hosts.toml");
    let found = examined(&[CRI, (&path, SOUND)]);
    assert_eq!(open(&found), [(Trap::NotLed, None); 2], "{found:#?}");
    assert!(
        found
            .iter()
            .all(|finding| finding.meaning.contains("index")
                || finding.meaning.contains("registry-1"))
    );
}

#[test]
fn a_folder_without_hosts_hides_the_default() {
    let default = format!("{HOSTS}/_default/hosts.toml");
    let seen = ClientFiles::of(&[CRI, (&default, SOUND)]).with_folder(&format!("{HOSTS}/quay.io"));
    let found = examine(&question(), &seen);
    assert_eq!(open(&found), [(Trap::HidesDefault, None)], "{found:#?}");
    // The gate's own certificates hide nothing.
    let seen = ClientFiles::of(&[CRI, (&default, SOUND)])
        .with_folder(&format!("{HOSTS}/gate.example.com"));
    assert_eq!(open(&examine(&question(), &seen)), []);
}

#[test]
fn a_registry_with_a_port_has_a_folder_in_either_format() {
    for folder in ["registry.example.com:5000", "registry.example.com_5000_"] {
        let path = format!("{HOSTS}/{folder}/hosts.toml");
        let registry = "registry.example.com:5000".parse().unwrap();
        let question = Question::new(vec![GATE.parse().unwrap()], &[registry]);
        assert_eq!(
            open(&examine(&question, &ClientFiles::of(&[CRI, (&path, SOUND)]))),
            [],
            "{folder}"
        );
    }
}

#[test]
fn cri_reads_no_hosts_without_a_config_path() {
    let default = format!("{HOSTS}/_default/hosts.toml");
    let without = ("/etc/containerd/config.toml", "version = 2\n");
    let found = examined(&[without, (&default, SOUND)]);
    assert_eq!(open(&found), [(Trap::NoConfigPath, None)]);
    // As docker's packages have it: there is no CRI that could pull.
    let disabled = ("/etc/containerd/config.toml", "disabled_plugins = [\"cri\"]\n");
    assert_eq!(open(&examined(&[disabled, (&default, SOUND)])), []);
    // Version 3, and in a file of its own.
    let later = "version = 3\n[plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n";
    let found =
        examined(&[without, ("/etc/containerd/conf.d/gate.toml", later), (&default, SOUND)]);
    assert_eq!(open(&found), []);
}

#[test]
fn the_older_mirrors_of_cri_fall_back() {
    let config = format!(
        "{}[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"{GATE}\"]\n\
         [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"gate.example.com\".tls]\n\
         insecure_skip_verify = true\n",
        CRI.1
    );
    let default = format!("{HOSTS}/_default/hosts.toml");
    let found = examined(&[(CRI.0, &config), (&default, SOUND)]);
    let traps: Vec<Trap> = open(&found).into_iter().map(|(trap, _)| trap).collect();
    assert_eq!(traps, [Trap::LegacyMirrors, Trap::Insecure], "{found:#?}");
}

#[test]
fn imported_files_outside_the_folder_are_undecided() {
    let config = format!("imports = [\"/srv/more.toml\"]\n{}", CRI.1);
    let default = format!("{HOSTS}/_default/hosts.toml");
    let found = examined(&[(CRI.0, &config), (&default, SOUND)]);
    assert_eq!(found[0].state, State::Undecided, "{found:#?}");
}

#[test]
fn a_value_of_a_wrong_type_makes_containerd_ignore_the_file() {
    for line in [
        "dial_timeout = 5",
        "dial_timeout = \"5\"",
        "dial_timeout = \"soon\"",
        "dial_timeout = \"5 s\"",
        "dial_timeout = \"s\"",
        "dial_timeout = \"1..5s\"",
        "skip_verify = \"false\"",
        "skip_verify = 0",
        "override_path = \"true\"",
        "header = \"x\"",
        "header = { x = 1 }",
        "header = { x = [1] }",
        "client = 1",
        "client = [1]",
        "client = [[\"a\"]]",
        "client = [[\"a\", 1]]",
        "client = { a = \"b\" }",
        "ca = 1",
        "ca = [1]",
        "ca = true",
        "capabilities = \"pull\"",
        "capabilities = [\"pull\", 1]",
        "Dial_Timeout = 5",
    ] {
        all_names_are_in(&with_hosts(&format!("{SOUND}{line}\n")), Trap::Broken, Some(5));
        let above = with_hosts(&format!("{line}\n{SOUND}"));
        all_names_are_in(&above, Trap::Broken, Some(1));
    }
    let found = with_hosts(
        "server = \"https://gate.example.com\"\n[host]\n\"https://gate.example.com\" = 1\n",
    );
    all_names_are_in(&found, Trap::Broken, Some(3));
}

#[test]
fn values_that_containerd_accepts_are_closed() {
    for line in [
        "dial_timeout = \"1h2m3.5s4ms\"",
        "dial_timeout = \"-.5s\"",
        "dial_timeout = \"0\"",
        "dial_timeout = \"\"",
        "skip_verify = false",
        "override_path = true",
        "header = { x = \"y\", z = [\"a\", \"b\"] }",
        "client = \"a\"",
        "client = [\"a\", [\"b\", \"c\"]]",
        "ca = [\"a\", \"b\"]",
        "unknown = 1",
    ] {
        assert_eq!(open(&with_hosts(&format!("{SOUND}{line}\n"))), [], "{line}");
    }
}

#[test]
fn the_case_of_keys_and_capabilities_does_not_matter() {
    let other = SOUND
        .replace("server", "Server")
        .replace("capabilities", "Capabilities")
        .replace("\"pull\", \"resolve\"", "\"PULL\", \"Resolve\"");
    assert_eq!(open(&with_hosts(&other)), []);
    let skips = format!("{SOUND}Skip_Verify = true\n");
    all_names_are_in(&with_hosts(&skips), Trap::Insecure, Some(3));
}

#[test]
fn referrers_are_judged_as_newer_containerd_reads_them() {
    let found = with_hosts(&SOUND.replace("\"resolve\"", "\"resolve\", \"referrers\""));
    assert_eq!(open(&found), []);
    let said = found.iter().find(|finding| finding.meaning.contains("containerd 2.3"));
    assert_eq!(said.and_then(|finding| finding.line), Some(4), "{found:#?}");
}

#[test]
fn a_byte_order_mark_and_toml_1_1_drop_the_whole_file() {
    all_names_are_in(&with_hosts(&format!("\u{feff}{SOUND}")), Trap::Broken, Some(1));
    for line in [
        "header = { x = \"y\", }",
        "header = {\n x = \"y\" }",
        "x = \"\\e[0m\"",
        "x = \"\\x41\"",
        "x = [{ a = \"b\", }]",
        "at = 07:32",
        "at = 2026-01-01 07:32",
    ] {
        all_names_are_in(&with_hosts(&format!("{SOUND}{line}\n")), Trap::Broken, Some(5));
    }
    for line in [
        "header = { x = \"a\\\\e,\\n\", y = [\n\"b\",\n] }",
        "x = '\\e'",
        "at = 07:32:00",
        "x = {}",
    ] {
        assert_eq!(open(&with_hosts(&format!("{SOUND}{line}\n"))), [], "{line}");
    }
}

#[test]
fn the_transfer_service_reads_no_list_of_folders() {
    let default = format!("{HOSTS}/_default/hosts.toml");
    let config = |path: &str, more: &str| {
        format!(
            "version = 3\n[plugins.\"io.containerd.cri.v1.images\"]\n{more}\n\
             [plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = \"{path}\"\n"
        )
    };
    for path in [format!("{HOSTS}:{DOCKER_HOSTS}"), format!("{HOSTS}:")] {
        let found = examined(&[(CRI.0, &config(&path, "")), (&default, SOUND)]);
        assert_eq!(open(&found), [(Trap::ConfigPathList, Some(5))], "{found:#?}");
        let local = config(&path, "use_local_image_pull = true");
        assert_eq!(open(&examined(&[(CRI.0, &local), (&default, SOUND)])), [], "{path}");
    }
    let one = config(&format!("{HOSTS}/"), "");
    assert_eq!(open(&examined(&[(CRI.0, &one), (&default, SOUND)])), []);
}
