//! The attack tests of other modules, run a second time: every registry and Notary server of the tests is packed into a
//! bundle, and the gate has only that bundle.

use std::process::Command;

use crate::carried::CARRIED;

/// Tests that are about a server and not about its content.
const ABOUT_SERVERS: [&str; 2] =
    ["while_nothing_answers", "that_too_many_requests_came_is_passed_on"];

/// Runs the tests of `modules` in another process whose gates have only bundles. At least `least` must pass.
#[track_caller]
fn again(modules: &[&str], skipped: &[&str], least: usize) {
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.args(modules).env(CARRIED, "1").args(["--test-threads", "2"]);
    for test in ABOUT_SERVERS.iter().chain(skipped) {
        tests.args(["--skip", test]);
    }
    let output = tests.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = text.matches(" ... ok").count();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(passed >= least, "only {passed} tests ran: {text}");
}

#[test]
fn the_schemes_behave_the_same_from_a_bundle() {
    let modules = ["conformance::cosign_key::", "conformance::cosign_bundle::"];
    again(&modules, &[], 20);
    again(&["conformance::cosign_keyless::", "conformance::notation::"], &[], 20);
}
