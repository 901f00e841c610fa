//! The attack tests of other modules, run a second time: every registry and Notary server of the tests is packed into a
//! bundle, and the gate has only that bundle. A test that needs faults or requests of a server ends with a panic of the rig,
//! which counts as skipped.

use std::process::Command;

use crate::fake_registry::{ABOUT_A_SERVER, CARRIED};

/// The longest time for the tests of one module, in seconds.
const LIMIT: &str = "300";

/// Runs the tests of `module` in another process whose gates have only bundles. At least `least` must pass.
#[track_caller]
fn again(module: &str, skipped: &[&str], least: usize) {
    // A test that waits for a request of the gate could wait forever. The limit holds even if this process is killed.
    let mut tests = Command::new("timeout");
    tests
        .arg(LIMIT)
        .arg(std::env::current_exe().unwrap())
        .arg(module)
        .env(CARRIED, "1")
        .args(["--test-threads", "2"]);
    for test in skipped {
        tests.args(["--skip", test]);
    }
    let output = tests.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let count = |end: &str| text.lines().filter(|line| line.ends_with(end)).count();
    let (passed, failed) = (count(" ... ok"), count(" ... FAILED"));
    let about_servers = text.lines().filter(|line| *line == ABOUT_A_SERVER).count();
    assert_eq!(failed, about_servers, "{text}");
    assert!(passed >= least, "only {passed} tests ran: {text}");
}

#[test]
fn the_schemes_behave_the_same_from_a_bundle() {
    again("conformance::", &[], 60);
}

#[test]
fn every_attack_on_notary_v1_is_refused_from_a_bundle() {
    // The properties generate thousands of repositories. The captures are not from this rig.
    again("notaryv1_attacks::", &["properties::", "captured::"], 100);
}

/// The tests judge one signature each; it comes out of a bundle. `conformance::` finds signatures in bundles.
#[test]
fn every_attack_on_cosign_and_notation_is_refused_from_a_bundle() {
    // The properties judge hundreds of signatures; the others measure time or memory.
    let slow = ["a_changed_bundle", "no_annotation_and_no", "a_large_attestation", "of_17_mib"];
    again("cosign::", &[&slow[..], &["bench::", "config::", "patterns::"]].concat(), 100);
    again("notation::", &["settings::", "revocation::", "ocsp::", "conformance::"], 50);
}

#[test]
fn the_side_door_is_closed_for_bundles() {
    again("side_door::", &[], 40);
}

#[test]
fn a_registry_that_attacks_content_anchors_is_refused_from_a_bundle() {
    again("hostile_content::", &[], 8);
}
