//! The gate as a mirror of Docker Hub, for clients that fall back to Docker Hub after an error. At the mirror
//! listener, they show the denial and do not fall back. At the public listener, they do.

use crate::containerd::Containerd;
use crate::docker::{Cli, Daemon};
use crate::folder::Folder;
use crate::mirror_site::MirrorSite;
use crate::namespace::inside;
use crate::podman::Podman;
use crate::process::{Said, run, tool, wait_for};
use std::path::Path;
use std::time::Duration;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        docker_shows_the_denial_and_requests_nothing_from_docker_hub,
        docker_gets_every_layer_or_a_final_error,
        docker_without_the_gates_password_asks_docker_hub_for_nothing,
        containerd_podman_and_skopeo_ask_docker_hub_for_nothing,
    ]
}

const UNSIGNED: &str = "remote trust data does not exist for docker.io/library/app";
const AWAY: &str = "cannot decide about docker.io/away/app:1 now";
const NO_TAGS: &str = "the upstream registry does not have docker.io/away/app";
const GONE: &str = "the upstream registry does not have docker.io/library/gone:1";
const HEADLESS: &str = "the upstream registry does not have docker.io/library/headless:1";

/// One way to pull an image with one client.
type Way<'a> = dyn Fn(&str) -> Said + 'a;

impl MirrorSite {
    /// The output of `way` for `image`, and the requests to Docker Hub meanwhile.
    fn tried(&self, way: &Way<'_>, image: &str) -> (Said, Vec<String>) {
        let before = self.hub.asked().len();
        let said = way(image);
        (said, self.hub.asked().split_off(before))
    }

    /// Checks that the pull fails for that reason, without a request to Docker Hub.
    #[track_caller]
    fn sticks(&self, way: &Way<'_>, image: &str, reason: &str) {
        let (said, asked) = self.tried(way, image);
        assert!(!said.ok() && said.all().contains(reason), "{image} {reason}: {}", said.all());
        assert!(asked.is_empty(), "{image}: {asked:#?}\n{}", said.all());
    }

    /// Checks that the pull gets the signed image, without a request to Docker Hub.
    #[track_caller]
    fn comes(&self, way: &Way<'_>, image: &str, digest: &str) {
        let (said, asked) = self.tried(way, image);
        assert!(said.ok() && said.all().contains(digest), "{image} {digest}: {}", said.all());
        assert!(asked.is_empty(), "{image}: {asked:#?}");
    }

    /// Checks that the pull gets an unsigned image from Docker Hub.
    #[track_caller]
    fn comes_from_the_hub(&self, way: &Way<'_>, image: &str) {
        let (said, asked) = self.tried(way, image);
        assert!(said.ok() && said.all().contains(&self.unsigned), "{image}: {}", said.all());
        assert!(!asked.is_empty(), "{image}: {}", said.all());
    }

    fn plain_docker(&self) -> Daemon {
        Daemon::start_between(&self.gate.url(""))
    }
}

fn pull(docker: &Cli) -> Box<Way<'_>> {
    Box::new(|image| docker.run(&["pull", image]))
}

fn pull_all_tags(docker: &Cli) -> Box<Way<'_>> {
    Box::new(|repository| docker.run(&["pull", "--all-tags", repository]))
}

fn build<'a>(docker: &'a Cli, builder: &'a str) -> Box<Way<'a>> {
    Box::new(move |image| {
        let context = Folder::new("build");
        context.write("Dockerfile", format!("FROM {image}\nLABEL built=by-{builder}\n"));
        let mut command = docker.command();
        command.env("DOCKER_BUILDKIT", builder).args(["build", "--network", "host", "--pull"]);
        run(command.args(["--tag", "e2e-built"]).arg(context.path()))
    })
}

fn docker_shows_the_denial_and_requests_nothing_from_docker_hub() {
    inside("mirror::docker_shows_the_denial_and_requests_nothing_from_docker_hub", || {
        let site = MirrorSite::new();
        let daemon = site.plain_docker();
        let docker = daemon.cli();
        // First, because docker does not request a digest that it already has.
        site.comes_from_the_hub(&pull(&docker), &format!("app@{}", site.unsigned));
        for way in [pull(&docker), build(&docker, "0"), build(&docker, "1")] {
            site.comes_from_the_hub(&way, "app:unsigned");
        }
        site.comes_from_the_hub(&pull_all_tags(&docker), "away/app");

        let reported = format!("\"mirror\":\"http://{}\"", site.mirror);
        assert!(site.gate.log().contains(&reported), "{}", site.gate.log());
        let docker = site.docker.cli();
        for way in [pull(&docker), build(&docker, "0"), build(&docker, "1")] {
            site.sticks(&way, "app:unsigned", UNSIGNED);
            site.sticks(&way, "away/app:1", AWAY);
            site.sticks(&way, "gone:1", GONE);
            site.sticks(&way, "headless:1", HEADLESS);
            site.comes(&way, "app:1", &site.signed);
        }
        let (pull, unsigned) = (pull(&docker), format!("app@{}", site.unsigned));
        site.sticks(&pull, &unsigned, UNSIGNED);
        site.comes(&pull, &format!("app@{}", site.signed), &site.signed);
        let all_tags = pull_all_tags(&docker);
        site.sticks(&all_tags, "away/app", NO_TAGS);
        site.comes(&all_tags, "app", &site.signed);
        // docker does not claim that an image it has from elsewhere also comes from here.
        docker.must(&["pull", &format!("{}/library/app:unsigned", site.registry.name())]);
        site.sticks(&pull, &unsigned, UNSIGNED);
    });
}

fn docker_without_the_gates_password_asks_docker_hub_for_nothing() {
    inside("mirror::docker_without_the_gates_password_asks_docker_hub_for_nothing", || {
        let users = Folder::new("users");
        let file =
            users.write("htpasswd", format!("alice:{}\n", bcrypt::hash("alice", 5).unwrap()));
        let site = MirrorSite::with(&format!("[clients]\nhtpasswd = \"{}\"\n", file.display()));
        let nobody = site.docker.cli();
        for way in [pull(&nobody), build(&nobody, "0"), build(&nobody, "1")] {
            for image in ["app:1", "app:unsigned"] {
                site.sticks(&way, image, "only users of the gate may pull");
            }
        }
        let wrong = site.docker.cli().with_hub_password("alice", "bob");
        site.sticks(&pull(&wrong), "app:1", "wrong user name or password");
        let alice = site.docker.cli().with_hub_password("alice", "alice");
        site.comes(&pull(&alice), "app:1", &site.signed);
        site.sticks(&pull(&alice), "app:unsigned", UNSIGNED);
    });
}

fn docker_gets_every_layer_or_a_final_error() {
    inside("mirror::docker_gets_every_layer_or_a_final_error", || {
        let mut site = MirrorSite::new();
        let daemon = site.plain_docker();
        let docker = daemon.cli();
        for image in ["headless:1", "broken:1", "rotten:1"] {
            site.comes_from_the_hub(&pull(&docker), image);
        }
        // Restarted because the gate remembers that one of these was interrupted.
        site.gate.restart();

        let docker = site.docker.cli();
        let pull = pull(&docker);
        site.sticks(
            &pull,
            "broken:1",
            "the upstream registry does not have docker.io/library/broken@",
        );
        site.sticks(&pull, "rotten:1", "trust data for docker.io/library/rotten@");

        site.line.break_after(4 << 20);
        site.comes(&pull, "big:1", &site.big);
        docker.must(&["rmi", "big:1"]);

        // The content is gone from the store, and the registry is down during two attempts of the gate.
        site.gate.stop();
        site.gate.forget();
        site.gate.run();
        assert_eq!(site.gate.manifest("library/big", "1").status, 200);
        assert_eq!(site.mirror_manifest("library/big", "1").status, 200);
        site.registry.stop();
        let failed = "countersign_upstream_requests_total{endpoint=\"blob\",status=\"0\"}";
        let before = site.gate.metric(failed);
        std::thread::scope(|scope| {
            let pulled = scope.spawn(|| docker.run(&["pull", "big:1"]));
            let twice = || (site.gate.metric(failed) >= before + 2).then_some(());
            wait_for("the gate's second attempt", Duration::from_secs(20), twice);
            site.registry.start_again();
            let said = pulled.join().unwrap();
            assert!(said.ok() && said.all().contains(&site.big), "{}", said.all());
            assert!(!said.all().contains("Retrying"), "{}", said.all());
        });
    });
}

/// The other clients, with the gate as a mirror of Docker Hub.
struct Others {
    containerd: Containerd,
    podman: Podman,
    folder: Folder,
}

impl Others {
    fn new() -> Self {
        let folder = Folder::new("others");
        Self { containerd: Containerd::start(), podman: Podman::new(), folder }
    }

    /// From now on, they use this mirror, also for registries without their own configuration.
    fn have_mirror(&self, mirror: &str) {
        let host = format!("[host.\"http://{mirror}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
        let hub = format!("server = \"https://registry-1.docker.io\"\n{host}");
        self.folder.write("hosts/docker.io/hosts.toml", hub);
        self.folder.write("hosts/_default/hosts.toml", host);
        self.folder.write(
            "registries.conf",
            format!(
                "[[registry]]\nlocation = \"docker.io\"\n\
                 [[registry.mirror]]\nlocation = \"{mirror}\"\ninsecure = true\n"
            ),
        );
    }

    fn containerd(&self, image: &str) -> Said {
        let mut ctr = self.containerd.ctr();
        ctr.args(["image", "pull", "--hosts-dir"]).arg(self.folder.join("hosts"));
        let said = run(ctr.arg(image));
        drop(run(self.containerd.ctr().args(["image", "remove", "--sync", image])));
        said
    }

    fn podman(&self, image: &str) -> Said {
        let conf = self.folder.join("registries.conf");
        let command = || {
            let mut command = self.podman.command();
            command.env("CONTAINERS_REGISTRIES_CONF", &conf);
            command
        };
        let mut said = run(command().args(["pull", image]));
        let inspect = ["image", "inspect", "--format", "{{.Digest}}", image];
        said.stdout += &run(command().args(inspect)).stdout;
        drop(run(command().args(["rmi", "--force", image])));
        said
    }

    fn skopeo(&self, how: &[&str], image: &str, into: Option<&Path>) -> Said {
        let mut skopeo = tool("skopeo", "skopeo");
        skopeo.arg("--insecure-policy").arg("--registries-conf");
        skopeo.arg(self.folder.join("registries.conf")).args(how).arg(format!("docker://{image}"));
        run(skopeo.args(into.map(|into| format!("dir:{}", into.display()))))
    }

    fn inspect(&self, image: &str) -> Said {
        self.skopeo(&["inspect", "--no-tags"], image, None)
    }

    fn copy(&self, image: &str) -> Said {
        let into = Folder::new("copy");
        let mut said = self.skopeo(&["copy"], image, Some(into.path()));
        if let Ok(manifest) = std::fs::read(into.join("manifest.json")) {
            said.stdout += &crate::registry::digest_of(&manifest);
        }
        said
    }
}

fn containerd_podman_and_skopeo_ask_docker_hub_for_nothing() {
    inside("mirror::containerd_podman_and_skopeo_ask_docker_hub_for_nothing", || {
        let (site, others) = (MirrorSite::new(), Others::new());
        let containerd = |image: &str| others.containerd(image);
        let podman = |image: &str| others.podman(image);
        let inspect = |image: &str| others.inspect(image);
        let copy = |image: &str| others.copy(image);
        let ways: [&Way<'_>; 4] = [&containerd, &podman, &inspect, &copy];
        let image = |name: &str| format!("docker.io/{name}");
        let unsigned = image(&format!("library/app@{}", site.unsigned));

        others.have_mirror(&site.gate.name());
        for way in ways {
            site.comes_from_the_hub(way, &image("library/app:unsigned"));
            site.comes_from_the_hub(way, &unsigned);
        }

        others.have_mirror(&site.mirror);
        for way in ways {
            site.comes(way, &image("library/app:1"), &site.signed);
            let signed = image(&format!("library/app@{}", site.signed));
            site.comes(way, &signed, &site.signed);
        }
        let refused: [&Way<'_>; 3] = [&containerd, &podman, &inspect];
        for way in refused {
            site.sticks(way, &image("library/app:unsigned"), UNSIGNED);
            site.sticks(way, &image("away/app:1"), AWAY);
            site.sticks(way, &image("library/gone:1"), GONE);
            site.sticks(way, &image("library/headless:1"), HEADLESS);
        }
        site.sticks(&containerd, &unsigned, UNSIGNED);
        let nowhere = "this gate does not serve the registry \"unserved.example\"";
        site.sticks(&containerd, "unserved.example/app:1", nowhere);
        // For a digest and for content that they copy unread, these clients only report that it is not available.
        for way in [&podman as &Way<'_>, &inspect, &copy] {
            site.sticks(way, &unsigned, "Manifest does not match provided manifest digest");
        }
        for name in ["library/app:unsigned", "away/app:1", "library/gone:1", "library/headless:1"] {
            site.sticks(&copy, &image(name), "reading config blob");
        }
    });
}
