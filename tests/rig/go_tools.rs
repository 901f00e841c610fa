//! The programs that Debian does not package, built by `.ci/go-tools`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::folder::Folder;

/// The list of these programs and their versions.
const LIST: &str = include_str!("../../.ci/go-tools.list");
/// The list of the clients that only `tests/clients/run` runs.
const CLIENTS: &str = include_str!("../clients/tools.list");

/// The program of this name; a missing one fails the test.
pub(crate) fn go_tool(name: &str) -> Command {
    let mut command = Command::new(built(name));
    // Otherwise they would ask sigstore's servers for keys, which the tests do not use.
    command.env("HTTPS_PROXY", "http://127.0.0.1:9");
    command
}

/// The PATH with these tools first, each under the name that other programs use.
pub(crate) fn on_path(folder: &Folder, tools: &[(&str, &str)]) -> OsString {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    for (tool, name) in tools {
        std::os::unix::fs::symlink(built(tool), bin.join(name)).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path))).unwrap()
}

fn built(name: &str) -> PathBuf {
    let named = |list: &'static str, builder: &'static str| {
        let lines = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = lines.into_iter().find(|line| line.first() == Some(&name))?;
        Some((line[2], builder))
    };
    let named = named(LIST, ".ci/go-tools").or_else(|| named(CLIENTS, "tests/clients/run"));
    let (version, builder) = named.unwrap_or_else(|| panic!("`{name}` is not in a list of tools"));
    let built = cache().join(format!("{name}-{version}"));
    assert!(built.is_file(), "`{name}` {version} is not installed: run {builder}");
    built
}

fn cache() -> PathBuf {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    given.unwrap_or_else(home).join("countersign-ci")
}
