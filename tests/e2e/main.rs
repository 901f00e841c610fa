//! The main job on real parts: a real docker signs into a real registry and a real Notary server, and docker,
//! containerd, podman and skopeo pull through `countersign serve`.
//!
//! `cargo test --features e2e --test e2e [NAME]`, as root. All servers listen on loopback on their own ports, keep
//! their files in a temporary folder, and end with the tests. No test is skipped: a missing program fails its test.
//!
//! Debian 12's packages: `busybox-static`, `containerd`, `curl`, `debootstrap`, `docker-compose`, `docker-registry`,
//! `docker.io`, `iptables`, `libfaketime`, `nftables`, `notary`, `podman`, `procps`, `prometheus`, `runc`, `skopeo`,
//! `systemd`, `tar` (and `coreutils`, `mount`, `util-linux`, which are always installed). `.ci/go-tools` builds the
//! programs that Debian lacks: cosign, notation, crane, oras, the current containerd and a registry with the referrers
//! API.
//!
//! `side_door::current` is listed as ignored: `tests/clients/run` builds the programs that it needs, and runs it.
//!
//! `compose` builds the gate once more in a container, which takes as long as any full build; `--skip compose` omits
//! it. The first run creates a stand-in for Debian's image (a minute), which is kept in `target/tmp`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a rig that cannot be set up fails its test"
)]

#[path = "../rig/answer.rs"]
mod answer;
#[path = "../rig/containerd.rs"]
mod containerd;
#[path = "../rig/cosign.rs"]
mod cosign;
#[path = "../rig/curl.rs"]
mod curl;
#[path = "../rig/docker.rs"]
mod docker;
#[path = "../rig/docker_hub.rs"]
mod docker_hub;
#[path = "../rig/fake_notary.rs"]
mod fake_notary;
#[path = "../rig/fake_registry.rs"]
mod fake_registry;
#[path = "../rig/folder.rs"]
mod folder;
#[path = "../rig/gate.rs"]
mod gate;
#[path = "../rig/go_tools.rs"]
mod go_tools;
#[path = "../rig/hub.rs"]
mod hub;
#[path = "../rig/image.rs"]
mod image;
#[path = "../rig/line.rs"]
mod line;
#[path = "../rig/machine.rs"]
mod machine;
#[path = "../rig/mount.rs"]
mod mount;
#[path = "../rig/namespace.rs"]
mod namespace;
#[path = "../rig/notary.rs"]
mod notary;
#[path = "../rig/notary_repository/mod.rs"]
mod notary_repository;
#[path = "../rig/notation.rs"]
mod notation;
#[path = "../rig/podman.rs"]
mod podman;
#[path = "../rig/process.rs"]
mod process;
#[path = "../rig/random.rs"]
mod random;
#[path = "../rig/reader.rs"]
mod reader;
#[path = "../rig/referrers_registry.rs"]
mod referrers_registry;
#[path = "../rig/registry.rs"]
mod registry;
#[path = "../rig/requests.rs"]
mod requests;
#[path = "../rig/setup.rs"]
mod setup;
#[path = "../rig/signer.rs"]
mod signer;
#[path = "../rig/smuggled/mod.rs"]
mod smuggled;
#[path = "../rig/stand_in.rs"]
mod stand_in;
#[path = "../rig/tls.rs"]
mod tls;
#[path = "../rig/carried.rs"]
mod carried;
#[path = "../rig/whole_gate.rs"]
mod whole_gate;

mod content_site;
mod engines;
mod mirror_site;
mod site;

mod alerts;
mod attest;
mod audit_file;
mod bundles;
mod bundles_interrupted;
mod changes;
mod client_machines;
mod compose;
mod cosign_signed;
mod crash;
mod crowd;
mod demo;
mod disk;
mod index;
mod isolation;
mod leaving;
mod mirror;
mod moved_tag;
mod notation_signed;
mod offline;
mod operate;
mod outage;
mod pull;
mod ranges;
mod recipes;
mod refuse;
mod rolling_out;
mod capacity;
mod quarantine;
mod self_verifying_client;
mod who_may_pull;
mod service;
mod side_door;
mod signing_key;
mod trust_inspect;

use libtest_mimic::{Arguments, Trial};

/// Each function as a test with its own name.
macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        vec![$((concat!(module_path!(), "::", stringify!($test)), $test as fn())),+]
    };
}
pub(crate) use tests;

fn main() -> std::process::ExitCode {
    // The longest tests start first, and the others run beside them.
    let all = [
        pull::tests(),
        mirror::tests(),
        compose::tests(),
        crash::tests(),
        crowd::tests(),
        side_door::tests(),
        side_door::honest::tests(),
        side_door::stored::tests(),
        cosign_signed::tests(),
        notation_signed::tests(),
        bundles::tests(),
        bundles_interrupted::tests(),
        attest::tests(),
        leaving::tests(),
        refuse::tests(),
        moved_tag::tests(),
        index::tests(),
        changes::tests(),
        rolling_out::tests(),
        outage::tests(),
        self_verifying_client::tests(),
        recipes::tests(),
        client_machines::tests(),
        operate::tests(),
        service::tests(),
        trust_inspect::tests(),
        offline::tests(),
        isolation::tests(),
        ranges::tests(),
        capacity::tests(),
        quarantine::tests(),
        disk::tests(),
        alerts::tests(),
        audit_file::tests(),
        who_may_pull::tests(),
        demo::tests(),
    ];
    let trial = |(name, test): (&'static str, fn())| {
        let name = name.trim_start_matches("e2e::");
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    // Only `tests/clients/run` builds the programs of these tests, and runs them.
    let current = side_door::current::tests().into_iter().map(trial);
    let current = current.map(|trial| trial.with_ignored_flag(true));
    let trials = all.into_iter().flatten().map(trial).chain(current);
    folder::sweep();
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    engines::stop();
    conclusion.exit_code()
}
