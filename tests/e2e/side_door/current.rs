//! The clients that only `tests/clients/run` provides, because building them for every change takes too long: CRI,
//! BuildKit, and the current docker.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::clients::{Docker, container};
use super::lab::{Client, Lab, version};
use crate::containerd::Containerd;
use crate::docker::Daemon;
use crate::folder::Folder;
use crate::go_tools::{go_tool, on_path};
use crate::process::{Process, Said, run, wait_for};

/// The tests that run only on request.
pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        cri_gets_nothing_unsigned,
        cri_with_local_pulls_gets_nothing_unsigned,
        buildkit_gets_nothing_unsigned,
        the_current_docker_with_the_containerd_store_gets_nothing_unsigned,
        the_current_docker_with_its_own_store_gets_nothing_unsigned,
    ]
}

fn cri_gets_nothing_unsigned() {
    let lab = Lab::new();
    lab.holds(&Cri::start(&lab, false));
}

fn cri_with_local_pulls_gets_nothing_unsigned() {
    let lab = Lab::new();
    lab.holds(&Cri::start(&lab, true));
}

fn buildkit_gets_nothing_unsigned() {
    let lab = Lab::new();
    lab.holds(&BuildKit::start(&lab));
}

fn the_current_docker_with_the_containerd_store_gets_nothing_unsigned() {
    Lab::new().holds(&current_docker(true));
}

fn the_current_docker_with_its_own_store_gets_nothing_unsigned() {
    Lab::new().holds(&current_docker(false));
}

/// `crictl` pulls, and runs pods in the machine's network.
struct Cri {
    name: String,
    containerd: Containerd,
}

impl Cri {
    fn start(lab: &Lab, local: bool) -> Self {
        let folder = Folder::new("cri");
        let gate = lab.gate.name();
        let hosts = format!(
            "server = \"http://{gate}\"\n[host.\"http://{gate}\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
        );
        folder.write(&format!("certs.d/{gate}/hosts.toml"), hosts);
        let (images, runtime) = ("io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime");
        let at = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "[plugins.\"{images}\"]\nuse_local_image_pull = {local}\n\
             [plugins.\"{images}\".pinned_images]\nsandbox = \"{}\"\n\
             [plugins.\"{images}\".registry]\nconfig_path = \"{}\"\n\
             [plugins.\"{runtime}\"]\nrestrict_oom_score_adj = true\n\
             [plugins.\"{runtime}\".cni]\nconf_dir = \"{}\"\n",
            lab.idle(),
            at("certs.d"),
            at("cni")
        );
        let version = version(&go_tool("containerd"), "--version");
        let containerd = Containerd::start_current_with(folder, 3, &config);
        Self { name: format!("CRI, use_local_image_pull = {local} ({version})"), containerd }
    }
}

impl Cri {
    fn crictl(&self) -> Command {
        let endpoint = format!("unix://{}", self.containerd.socket().display());
        let mut crictl = go_tool("crictl");
        crictl.args(["--runtime-endpoint", &endpoint, "--image-endpoint", &endpoint]);
        crictl.args(["--timeout", "60s"]);
        crictl
    }
}

impl Client for Cri {
    fn name(&self) -> &str {
        &self.name
    }

    fn pull(&self, image: &str) -> Said {
        run(self.crictl().args(["pull", image]))
    }

    fn run(&self, image: &str) -> Option<Said> {
        let (name, files) = (container(), Folder::new("pod"));
        let metadata = json!({"name": name, "uid": name, "namespace": "default", "attempt": 1});
        // 2 is `NODE`: the machine's namespaces.
        let pod = json!({"metadata": metadata, "log_directory": files.path(),
            "linux": {"security_context": {"namespace_options": {"network": 2}}}});
        let container = json!({"metadata": {"name": name}, "image": {"image": image}, "log_path": "log",
            "linux": {}});
        let pod = files.write("pod.json", pod.to_string());
        let container = files.write("container.json", container.to_string());
        let mut started = run(self.crictl().args(["run", "--no-pull"]).arg(&container).arg(&pod));
        if started.ok() {
            let ended = || {
                let said = run(self
                    .crictl()
                    .args(["ps", "--quiet", "--state", "running", "--name"])
                    .arg(&name));
                said.stdout.trim().is_empty().then_some(())
            };
            wait_for("the container to end", Duration::from_secs(30), ended);
            started.stdout += &std::fs::read_to_string(files.join("log")).unwrap_or_default();
        }
        run(self.crictl().args(["rmp", "--all", "--force"]));
        Some(started)
    }

    fn root(&self) -> &Path {
        self.containerd.root()
    }
}

/// A build with the image as its base.
struct BuildKit {
    name: String,
    folder: Folder,
    _process: Process,
}

impl BuildKit {
    fn start(lab: &Lab) -> Self {
        let folder = Folder::new("buildkit");
        let config = format!("[registry.\"{}\"]\n  http = true\n", lab.gate.name());
        let config = folder.write("buildkitd.toml", config);
        let socket = folder.join("buildkitd.sock");
        let mut command = go_tool("buildkitd");
        command.arg("--config").arg(config).arg("--root").arg(folder.join("root"));
        command.arg("--addr").arg(format!("unix://{}", socket.display()));
        command.args(["--containerd-worker=false", "--oci-worker=true", "--oci-worker-net=host"]);
        let process = Process::start("buildkitd", &command, &folder).until_there_is(&socket);
        let name = version(&go_tool("buildkitd"), "--version");
        Self { name, folder, _process: process }
    }

    /// Builds `FROM image` with these additional lines.
    fn build(&self, image: &str, lines: &str, output: &[&str]) -> Said {
        let context = Folder::new("context");
        context.write("Dockerfile", format!("FROM {image}\n{lines}"));
        let context = context.path().display().to_string();
        let mut buildctl = go_tool("buildctl");
        buildctl
            .arg("--addr")
            .arg(format!("unix://{}", self.folder.join("buildkitd.sock").display()));
        buildctl.args(["build", "--frontend", "dockerfile.v0", "--progress", "plain"]);
        buildctl.args(["--local", &format!("context={context}")]);
        buildctl.args(["--local", &format!("dockerfile={context}")]);
        run(buildctl.args(output))
    }
}

impl Client for BuildKit {
    fn name(&self) -> &str {
        &self.name
    }

    fn pull(&self, image: &str) -> Said {
        let into = self.folder.join(&container());
        self.build(image, "", &["--output", &format!("type=oci,dest={}", into.display())])
    }

    fn run(&self, image: &str) -> Option<Said> {
        // Runs the image's command as a build step; or reads a file or the environment of the image.
        Some(self.build(image, "RUN [\"/bin/busybox\", \"cat\", \"/message\"]\n", &[]))
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }
}

fn current_docker(containerd_store: bool) -> Docker {
    let folder = Folder::new("dockerd");
    let mut dockerd: Command = go_tool("dockerd");
    // Debian's runc is older than the specification that this docker uses.
    let tools = ["containerd", "ctr", "runc"].map(|name| (name, name));
    let shim = ("shim", "containerd-shim-runc-v2");
    dockerd.env("PATH", on_path(&folder, &[&tools[..], &[shim]].concat()));
    // This runc has no libseccomp support.
    let settings = json!({
        "features": { "containerd-snapshotter": containerd_store },
        "seccomp-profile": "unconfined",
    });
    dockerd.arg("--config-file").arg(folder.write("daemon.json", settings.to_string()));
    let version = version(&go_tool("dockerd"), "--version");
    let store = if containerd_store { "the containerd store" } else { "its own store" };
    let name = format!("docker, {store} ({version})");
    Docker::of_daemon(name, Daemon::start_program(&dockerd), folder)
}
