//! registries.conf and its drop-ins.

use super::*;

#[test]
fn podman_without_an_entry_uses_the_registry() {
    let found = examined(&[("/etc/containers/registries.conf", "# as it comes\n")]);
    assert_eq!(open(&found), [(Trap::NotLed, None), (Trap::OtherName, None)]);
}

#[test]
fn a_mirror_of_podman_falls_back_unless_the_registry_is_blocked() {
    let mirror = "[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n\
                  [[registry.mirror]]\nlocation = \"gate.example.com/docker.io\"\n\
                  [[registry]]\nlocation = \"registry-1.docker.io\"\nblocked = true\n";
    assert_eq!(open(&examined(&[(DROP_IN, mirror)])), [(Trap::Fallback, Some(1))]);
    let blocked = mirror.replacen(
        "location = \"docker.io\"\n",
        "location = \"docker.io\"\nblocked = true\n",
        1,
    );
    assert_eq!(open(&examined(&[(DROP_IN, &blocked)])), []);
}

#[test]
fn mirrors_by_digest_only_never_see_a_tag() {
    let conf = |entry: &str, mirror: &str| {
        format!(
            "[[registry]]\nprefix = \"docker.io\"\n{entry}\n\
             [[registry.mirror]]\nlocation = \"gate.example.com/docker.io\"\n{mirror}\n\
             [[registry]]\nlocation = \"registry-1.docker.io\"\nblocked = true\n"
        )
    };
    for conf in [
        conf("mirror-by-digest-only = true", ""),
        conf("", "pull-from-mirror = \"digest-only\""),
        conf("", "pull-from-mirror = \"tag-only\""),
    ] {
        let found = examined(&[(DROP_IN, &conf)]);
        assert_eq!(
            open(&found),
            [(Trap::ByDigestOnly, Some(1)), (Trap::Fallback, Some(1))],
            "{conf}"
        );
    }
    assert_eq!(open(&examined(&[(DROP_IN, &conf("", "pull-from-mirror = \"all\""))])).len(), 1);
}

#[test]
fn a_longer_prefix_in_another_file_is_a_bypass() {
    assert_eq!(open(&examined(&[(DROP_IN, RENAMED)])), []);
    let other = "/etc/containers/registries.conf.d/zz.conf";
    let found = examined(&[
        (DROP_IN, RENAMED),
        (other, "[[registry]]\nlocation = \"docker.io/library\"\n"),
    ]);
    assert_eq!(open(&found), [(Trap::Reopened, Some(1))]);
    assert_eq!(found[0].file.as_deref(), Some(other));
}

#[test]
fn a_later_file_replaces_the_entry_of_the_same_prefix() {
    let other = "/etc/containers/registries.conf.d/zz.conf";
    let found =
        examined(&[(DROP_IN, RENAMED), (other, "[[registry]]\nlocation = \"docker.io\"\n")]);
    assert_eq!(open(&found), [(Trap::NotLed, Some(1))]);
    // An earlier one does not.
    let other = "/etc/containers/registries.conf.d/aa.conf";
    let found =
        examined(&[(DROP_IN, RENAMED), (other, "[[registry]]\nlocation = \"docker.io\"\n")]);
    assert_eq!(open(&found), []);
}

#[test]
fn podman_accepts_the_gate_without_a_certificate() {
    let insecure = RENAMED.replacen("/docker.io\"\n", "/docker.io\"\ninsecure = true\n", 1);
    assert_eq!(open(&examined(&[(DROP_IN, &insecure)])), [(Trap::Insecure, Some(1))]);
}

#[test]
fn short_names_in_other_registries_are_a_bypass() {
    let main = "unqualified-search-registries = [\"docker.io\", \"quay.io\"]\n";
    let found = examined(&[("/etc/containers/registries.conf", main), (DROP_IN, RENAMED)]);
    assert_eq!(open(&found), [(Trap::SearchedElsewhere, Some(1))], "{found:#?}");
    assert!(found[0].meaning.contains("quay.io"));
}

#[test]
fn an_invalid_registries_conf_is_undecided() {
    let found = examined(&[(DROP_IN, "[[registry]]\nprefix = \n")]);
    assert_eq!((found.len(), found[0].state, found[0].line), (1, State::Undecided, Some(2)));
}

#[test]
fn the_folders_of_newer_versions_can_open_a_bypass() {
    let entry = "[[registry]]\nlocation = \"docker.io/library\"\n";
    for other in [
        "/etc/containers/registries.rootful.conf.d/zz.conf",
        "/etc/containers/registries.rootless.conf.d/zz.conf",
        "/etc/containers/registries.rootless.conf.d/1000/zz.conf",
        "/usr/share/containers/registries.conf.d/zz.conf",
        "/usr/share/containers/registries.rootful.conf.d/zz.conf",
        "/usr/share/containers/registries.rootless.conf.d/zz.conf",
        "/usr/share/containers/registries.rootless.conf.d/1000/zz.conf",
    ] {
        let found = examined(&[(DROP_IN, RENAMED), (other, entry)]);
        assert_eq!(open(&found), [(Trap::Reopened, Some(1))], "{other}");
        assert_eq!(found[0].file.as_deref(), Some(other));
    }
}

#[test]
fn a_file_that_only_newer_versions_read_closes_nothing() {
    let other = "/usr/share/containers/registries.conf.d/gate.conf";
    let found = examined(&[("/usr/bin/podman", ""), (other, RENAMED)]);
    assert_eq!(open(&found), [(Trap::NotLed, None), (Trap::OtherName, None)]);
}

#[test]
fn a_file_hides_the_distributions_file_of_the_same_name() {
    let other = "/usr/share/containers/registries.conf.d/gate.conf";
    let found =
        examined(&[(DROP_IN, RENAMED), (other, "[[registry]]\nlocation = \"docker.io\"\n")]);
    assert_eq!(open(&found), []);
}
