//! Stand-ins for the base images of Dockerfiles, built from Debian's packages and this machine's Rust toolchain, so
//! that no image is pulled.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::docker::Cli;
use crate::folder::Folder;
use crate::process::{must, must_within, tool};

/// The packages that the Dockerfiles install, and a C compiler. They are preinstalled, because a build may have no
/// access to the package servers.
const PACKAGES: &str =
    "--include=ca-certificates,docker-registry,gcc,libc6-dev,notary,openssl,prometheus";

/// Debian, as `image`. Built once and stored with the tests' other build products; a new list of packages needs a new
/// name.
pub(crate) fn debian(docker: &Cli, image: &str) {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-stand-in-2.tar");
    if !kept.is_file() {
        let folder = Folder::new("debootstrap");
        let root = folder.join("root");
        let mut debootstrap = tool("debootstrap", "debootstrap");
        debootstrap.args(["--variant=minbase", PACKAGES, "bookworm"]).arg(&root);
        must_within(600, &debootstrap);
        let made = kept.with_extension(format!("{}", std::process::id()));
        let without =
            ["--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*_*"];
        must(tool("tar", "tar").args(without).arg("-C").arg(&root).arg("-cf").arg(&made).arg("."));
        std::fs::rename(made, &kept).unwrap();
    }
    must(docker.command().arg("import").arg(&kept).arg(image));
}

/// This machine's Rust toolchain and its downloaded crates on top of `base`, as `image`.
pub(crate) fn rust(docker: &Cli, base: &str, image: &str) {
    let sysroot = must(tool("rustc", "rustc").args(["--print", "sysroot"]));
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"));
    let context = Folder::new("toolchain");
    context.write(
        "Dockerfile",
        format!(
            "FROM {base}\nCOPY bin /usr/local/bin\nCOPY lib /usr/local/lib\n\
             COPY registry /usr/local/cargo/registry\n\
             ENV CARGO_HOME=/usr/local/cargo CARGO_NET_OFFLINE=true\n\
             ENV CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0\n"
        ),
    );
    let mut tar = tool("tar", "tar");
    tar.arg("-C").arg(context.path()).args(["-c", "Dockerfile"]);
    tar.arg("-C").arg(sysroot.trim()).args(["bin", "lib"]);
    tar.arg("--exclude=registry/src").arg("-C").arg(home).arg("registry");
    let mut sent = tar.stdout(Stdio::piped()).spawn().unwrap();
    let mut build: Command = docker.command();
    build.env("DOCKER_BUILDKIT", "0").args(["build", "--quiet", "--tag", image, "-"]);
    let built = build.stdin(sent.stdout.take().unwrap()).output().unwrap();
    assert!(sent.wait().unwrap().success() && built.status.success(), "{built:?}");
}
