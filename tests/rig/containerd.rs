//! A containerd of the rig's own and its `ctr`.

use std::path::PathBuf;
use std::process::Command;

use crate::folder::Folder;
use crate::process::{Process, tool};

pub(crate) struct Containerd {
    socket: PathBuf,
    _process: Process,
    _folder: Folder,
}

impl Containerd {
    pub(crate) fn start() -> Self {
        let folder = Folder::new("containerd");
        let socket = folder.join("containerd.sock");
        let at = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{}\"\n[plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{}\"\n",
            at("root"),
            at("state"),
            socket.display(),
            at("opt")
        );
        let config = folder.write("config.toml", config);
        let mut command = tool("containerd", "containerd");
        command.arg("--config").arg(config);
        let process = Process::start("containerd", &command, &folder).until_there_is(&socket);
        Self { socket, _process: process, _folder: folder }
    }

    pub(crate) fn ctr(&self) -> Command {
        let mut command = tool("ctr", "containerd");
        command.arg("--address").arg(&self.socket);
        command
    }
}
