//! Small and read-only disks. A mount in a folder of the rig is removed with the folder.

use std::path::Path;

use crate::process::{must, tool};

/// Mounts a disk of `size` bytes.
pub(crate) fn small_disk(at: &Path, size: u64) {
    let size = format!("size={size}");
    must(tool("mount", "mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at));
}

/// From now on, nothing below the folder can be created, changed or removed, except through open files.
pub(crate) fn make_read_only(folder: &Path) {
    must(tool("mount", "mount").arg("--bind").arg(folder).arg(folder));
    must(tool("mount", "mount").args(["-o", "remount,bind,ro"]).arg(folder));
}

/// Undoes [`make_read_only`]; files opened meanwhile may stay open.
pub(crate) fn make_writable(folder: &Path) {
    must(tool("umount", "mount").arg("--lazy").arg(folder));
}
