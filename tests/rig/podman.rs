//! Podman with its own storage. It has no daemon.

use std::path::Path;
use std::process::Command;

use crate::folder::Folder;
use crate::process::tool;

pub(crate) struct Podman {
    folder: Folder,
}

impl Podman {
    pub(crate) fn new() -> Self {
        Self { folder: Folder::new("podman") }
    }

    /// The folder of its storage.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = tool("podman", "podman");
        command
            .env("HOME", self.folder.path())
            .arg("--root")
            .arg(self.folder.join("root"))
            .arg("--runroot")
            .arg(self.folder.join("run"))
            .arg("--tmpdir")
            .arg(self.folder.join("tmp"));
        command
    }
}
