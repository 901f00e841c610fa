//! The programs that Debian has not, as `.ci/go-tools` built them.

use std::path::PathBuf;
use std::process::Command;

/// Which, and in which version: the one place that says so.
const LIST: &str = include_str!("../../.ci/go-tools.list");

/// The program of this name; a missing one fails the test.
pub(crate) fn go_tool(name: &str) -> Command {
    let line = LIST.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = line.into_iter().find(|line| line.first() == Some(&name));
    let version = line.unwrap_or_else(|| panic!("`{name}` is not in .ci/go-tools.list"))[2];
    let built = cache().join(format!("{name}-{version}"));
    assert!(built.is_file(), "`{name}` {version} is missing: run .ci/go-tools");
    let mut command = Command::new(built);
    // They would ask sigstore's servers for keys that nothing here was signed with.
    command.env("HTTPS_PROXY", "http://127.0.0.1:9");
    command
}

fn cache() -> PathBuf {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    given.unwrap_or_else(home).join("countersign-ci")
}
