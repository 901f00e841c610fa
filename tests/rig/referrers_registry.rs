//! olareg, a registry with the referrers API, which Debian's registry lacks.

use std::path::Path;

use crate::folder::Folder;
use crate::go_tools::go_tool;
use crate::process::free_port;
use crate::registry::Registry;

pub(crate) fn start(content: &Path) -> Registry {
    let port = free_port();
    let mut command = go_tool("olareg");
    command.args(["serve", "--addr", "127.0.0.1", "--port", &port.to_string(), "--dir"]);
    Registry::run(port, command.arg(content), Folder::new("olareg"))
}
