//! The container engines that all tests share, started on first use, and functions to pull with each of them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use crate::containerd::Containerd;
use crate::docker::{Cli, Daemon};
use crate::folder::Folder;
use crate::podman::Podman;
use crate::process::{Said, must, run, tool};
use crate::registry::digest_of;

/// One docker daemon and one containerd for the whole test run.
pub(crate) struct Engines {
    pub(crate) docker: Daemon,
    pub(crate) containerd: Containerd,
}

static SHARED: Mutex<Option<Arc<Engines>>> = Mutex::new(None);

pub(crate) fn engines() -> Arc<Engines> {
    // A failed start fails the test that needed it; the next test tries again.
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let start = || Arc::new(Engines { docker: Daemon::start(), containerd: Containerd::start() });
    Arc::clone(shared.get_or_insert_with(start))
}

/// Stops them after all tests.
pub(crate) fn stop() {
    SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
}

/// Every client pulls `image`, gets `digest`, and runs it if it can: the image prints `text`.
pub(crate) fn arrives_and_runs(image: &str, digest: &str, text: &str) {
    for client in Client::all() {
        let said = client.pull(image);
        assert!(said.ok(), "{}: {}", client.name(), said.all());
        assert_eq!(client.digest(image), digest, "{}", client.name());
        if let Some(printed) = client.run(image) {
            assert_eq!(printed, text, "{}", client.name());
        }
        client.forget(image);
    }
}

/// A program that pulls images, with no images yet.
pub(crate) enum Client {
    Docker(Box<Cli>),
    Containerd(Arc<Engines>),
    Podman(Podman),
    Skopeo(Folder),
}

impl Client {
    pub(crate) fn all() -> [Self; 4] {
        let engines = engines();
        [
            Self::Docker(Box::new(engines.docker.cli())),
            Self::Containerd(engines),
            Self::Podman(Podman::new()),
            Self::Skopeo(Folder::new("skopeo")),
        ]
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Docker(_) => "docker",
            Self::Containerd(_) => "containerd",
            Self::Podman(_) => "podman",
            Self::Skopeo(_) => "skopeo",
        }
    }

    pub(crate) fn pull(&self, image: &str) -> Said {
        match self {
            Self::Docker(cli) => cli.run(&["pull", image]),
            Self::Containerd(engines) => {
                run(engines.containerd.ctr().args(["image", "pull", "--plain-http", image]))
            }
            Self::Podman(podman) => {
                run(podman.command().args(["pull", "--tls-verify=false", image]))
            }
            Self::Skopeo(folder) => {
                let into = format!("dir:{}", copy_of(folder).display());
                let from = format!("docker://{image}");
                let flags = ["--insecure-policy", "copy", "--src-tls-verify=false"];
                run(tool("skopeo", "skopeo").args(flags).arg(from).arg(into))
            }
        }
    }

    /// The digest of the manifest from the last pull of `image`.
    pub(crate) fn digest(&self, image: &str) -> String {
        match self {
            Self::Docker(cli) => {
                let said = cli.must(&["inspect", "--format", "{{join .RepoDigests \" \"}}", image]);
                let repository = image.rsplit_once([':', '@']).unwrap().0;
                let repository = repository.trim_end_matches("@sha256");
                let of_it =
                    |word: &str| word.strip_prefix(&format!("{repository}@")).map(str::to_owned);
                said.split_whitespace().find_map(of_it).unwrap_or_else(|| panic!("{image}: {said}"))
            }
            Self::Containerd(engines) => {
                let said = must(
                    engines.containerd.ctr().args(["image", "list"]).arg(format!("name=={image}")),
                );
                let digest = said.split_whitespace().find(|word| word.starts_with("sha256:"));
                digest.unwrap_or_else(|| panic!("{image}: {said}")).to_owned()
            }
            Self::Podman(podman) => {
                let inspect = ["image", "inspect", "--format", "{{.Digest}}", image];
                must(podman.command().args(inspect)).trim().to_owned()
            }
            Self::Skopeo(folder) => {
                digest_of(&std::fs::read(copy_of(folder).join("manifest.json")).unwrap())
            }
        }
    }

    /// The output of a container of `image`; `None` for skopeo, which runs none.
    pub(crate) fn run(&self, image: &str) -> Option<String> {
        static CONTAINERS: AtomicU32 = AtomicU32::new(0);
        match self {
            Self::Docker(cli) => Some(cli.must(&["run", "--rm", "--network", "host", image])),
            Self::Containerd(engines) => {
                let id = format!("e2e-{}", CONTAINERS.fetch_add(1, Ordering::Relaxed));
                Some(must(engines.containerd.ctr().args(["run", "--rm", "--net-host", image, &id])))
            }
            Self::Podman(podman) => {
                // A sandbox may not permit podman's default limits.
                let limits = ["--ulimit", "nofile=256:256", "--ulimit", "nproc=256:256"];
                let run = ["run", "--rm", "--network", "host"];
                Some(must(podman.command().args(run).args(limits).arg(image)))
            }
            Self::Skopeo(_) => None,
        }
    }

    /// Removes `image` if the engine shares its storage with other tests.
    pub(crate) fn forget(&self, image: &str) {
        match self {
            Self::Docker(cli) => drop(cli.run(&["rmi", "--force", image])),
            Self::Containerd(engines) => {
                drop(run(engines.containerd.ctr().args(["image", "remove", "--sync", image])));
            }
            Self::Podman(podman) => drop(run(podman.command().args(["rmi", "--force", image]))),
            Self::Skopeo(folder) => drop(std::fs::remove_dir_all(copy_of(folder))),
        }
    }
}

fn copy_of(folder: &Folder) -> std::path::PathBuf {
    folder.join("copy")
}
