//! A test's own network that contains only loopback, and its own host names and trusted certificates: there, a test
//! can act as any server, including Docker Hub.

use std::path::Path;
use std::process::Command;

use crate::folder::Folder;
use crate::process::{must, must_within, tool};

/// Marks a process that runs in such a network.
const INSIDE: &str = "COUNTERSIGN_RIG_NAMESPACE";
/// The files with host names, and with the authorities that the system trusts.
const HOSTS: &str = "/etc/hosts";
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Runs the test `name` in its own network, by starting this program there again.
pub(crate) fn inside(name: &str, test: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let mut command = tool("unshare", "util-linux");
    let script = "busybox ip link set lo up && exec \"$@\"";
    command.args(["--net", "--mount", "--", "sh", "-c", script, "sh"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", name.trim_start_matches("e2e::"), "--nocapture"]).env(INSIDE, "1");
    let said = must_within(300, &command);
    assert!(said.contains("1 passed"), "{said}");
}

/// From here on, these names resolve to this machine, and the system trusts this authority. Only in [`inside`].
pub(crate) fn is_at_home_here(names: &[&str], authority: &str, folder: &Folder) {
    assert!(std::env::var_os(INSIDE).is_some(), "this would change the machine");
    let hosts = format!("127.0.0.1 localhost {}\n", names.join(" "));
    cover(HOSTS, &folder.write("hosts", hosts));
    let trusted = std::fs::read_to_string(AUTHORITIES).unwrap_or_default();
    cover(AUTHORITIES, &folder.write("ca-certificates.crt", trusted + authority));
}

fn cover(file: &str, by: &Path) {
    let mut mount: Command = tool("mount", "mount");
    must(mount.arg("--bind").arg(by).arg(file));
}
