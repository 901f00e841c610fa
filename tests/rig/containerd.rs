//! The rig's own containerd and its `ctr`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::folder::Folder;
use crate::go_tools::{go_tool, on_path};
use crate::process::{Process, same, tool};

pub(crate) struct Containerd {
    socket: PathBuf,
    ctr: Command,
    _process: Process,
    folder: Folder,
}

impl Containerd {
    /// Debian's containerd, without CRI.
    pub(crate) fn start() -> Self {
        let ctr = tool("ctr", "containerd");
        let folder = Folder::new("containerd");
        Self::start_as(&tool("containerd", "containerd"), ctr, folder, (2, WITHOUT_CRI))
    }

    /// The version in `.ci/go-tools.list`, without CRI.
    pub(crate) fn start_current() -> Self {
        Self::start_current_with(Folder::new("containerd"), 3, WITHOUT_CRI)
    }

    /// The same with additional configuration of this format version, whose files are in `folder`.
    pub(crate) fn start_current_with(folder: Folder, version: u32, config: &str) -> Self {
        let mut containerd = go_tool("containerd");
        containerd.env("PATH", path_with_shim(&folder));
        Self::start_as(&containerd, go_tool("ctr"), folder, (version, config))
    }

    fn start_as(
        containerd: &Command,
        ctr: Command,
        folder: Folder,
        (version, config): (u32, &str),
    ) -> Self {
        let socket = folder.join("containerd.sock");
        let at = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "version = {version}\nroot = \"{}\"\nstate = \"{}\"\n{config}\n\
             [grpc]\naddress = \"{}\"\n[plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{}\"\n",
            at("root"),
            at("state"),
            socket.display(),
            at("opt")
        );
        let config = folder.write("config.toml", config);
        let mut command = same(containerd);
        command.arg("--config").arg(config);
        let process = Process::start("containerd", &command, &folder).until_there_is(&socket);
        Self { socket, ctr, _process: process, folder }
    }

    pub(crate) fn ctr(&self) -> Command {
        let mut command = same(&self.ctr);
        command.arg("--address").arg(&self.socket);
        command
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The folder with all its data.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }
}

/// CRI is one plugin before containerd 2, and two more since then.
const WITHOUT_CRI: &str = "disabled_plugins = [\"io.containerd.grpc.v1.cri\", \
     \"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\"]";

/// A PATH on which containerd finds its own shim before Debian's.
fn path_with_shim(folder: &Folder) -> OsString {
    on_path(
        folder,
        &[("shim", "containerd-shim-runc-v2"), ("containerd", "containerd"), ("ctr", "ctr")],
    )
}
