//! The gate as a mirror of Docker Hub, for clients that would go on to Docker Hub after any error.

use crate::containerd::Containerd;
use crate::docker::Daemon;
use crate::folder::Folder;
use crate::mirror_site::MirrorSite;
use crate::namespace::inside;
use crate::podman::Podman;
use crate::process::{run, tool};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![docker_does_not_go_on_to_docker_hub, others]
}

fn docker_does_not_go_on_to_docker_hub() {
    inside(concat!(module_path!(), "::docker_does_not_go_on_to_docker_hub"), || {
        let site = MirrorSite::new();
        let docker = site.docker.cli();
        let plain = Daemon::start_between(&site.gate.url(""));
        let p = plain.cli();
        for image in ["headless:1", "rotten:1", "broken:1"] {
            let n = site.hub.asked().len();
            let t = std::time::Instant::now();
            let said = p.run(&["pull", image]);
            eprintln!(
                "PLAIN {image} {:?}\n{}\nhub {:#?}",
                t.elapsed(),
                said.all(),
                &site.hub.asked()[n..]
            );
        }
        for image in [
            format!("{}/library/app:unsigned", site.registry.name()),
            format!("app@{}", site.unsigned),
            "headless:1".into(),
            "rotten:1".into(),
        ] {
            let n = site.hub.asked().len();
            let t = std::time::Instant::now();
            let said = docker.run(&["pull", &image]);
            eprintln!(
                "MIRROR {image} {:?}\n{}\nhub {:#?}",
                t.elapsed(),
                said.all(),
                &site.hub.asked()[n..]
            );
        }
        for builder in ["0", "1"] {
            for (name, daemon) in [("PLAIN", &p), ("MIRROR", &docker)] {
                for tag in ["1", "unsigned"] {
                    let n = site.hub.asked().len();
                    let t = std::time::Instant::now();
                    let context = Folder::new("build");
                    context
                        .write("Dockerfile", format!("FROM app:{tag}\nLABEL built=by-{builder}\n"));
                    let mut command = daemon.command();
                    command.env("DOCKER_BUILDKIT", builder).args([
                        "build",
                        "--network",
                        "host",
                        "--pull",
                    ]);
                    let said = run(command.args(["--tag", "e2e-built"]).arg(context.path()));
                    eprintln!(
                        "{name} BUILD{builder} {tag} {:?} {}\n{}\nhub {:#?}",
                        t.elapsed(),
                        said.ok(),
                        said.all(),
                        &site.hub.asked()[n..]
                    );
                }
            }
        }
    });
}

fn others() {
    inside(concat!(module_path!(), "::others"), || {
        let site = MirrorSite::new();
        let containerd = Containerd::start();
        let plain = site.gate.url("");
        let mirror = format!("http://{}", site.mirror);
        let images: Vec<String> = [
            "library/app:unsigned",
            "library/app:1",
            "away/app:1",
            "library/app:gone",
            "library/headless:1",
            "library/broken:1",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("library/app@{}", site.unsigned), format!("library/app@{}", site.signed)])
        .collect();
        for (name, url) in [("PLAIN", &plain), ("MIRROR", &mirror)] {
            let folder = Folder::new("certs.d");
            folder.write("docker.io/hosts.toml", format!("server = \"https://registry-1.docker.io\"\n[host.\"{url}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"));
            let conf = folder.write("registries.conf", format!("[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"{}\"\ninsecure = true\n", url.trim_start_matches("http://")));
            for image in &images {
                let n = site.hub.asked().len();
                let t = std::time::Instant::now();
                let mut ctr = containerd.ctr();
                let said = run(ctr
                    .args(["image", "pull", "--hosts-dir"])
                    .arg(folder.path())
                    .arg(format!("docker.io/{image}")));
                let all = said.all();
                let last = all
                    .split(['\r', '\n'])
                    .filter(|l| !l.is_empty())
                    .rev()
                    .take(6)
                    .collect::<Vec<_>>();
                eprintln!(
                    "{name} CTR {image} {:?} {}\n{}\nhub {:#?}",
                    t.elapsed(),
                    said.ok(),
                    last.join("\n"),
                    &site.hub.asked()[n..]
                );
                let _ = run(containerd.ctr().args([
                    "image",
                    "remove",
                    "--sync",
                    &format!("docker.io/{image}"),
                ]));
            }
            let podman = Podman::new();
            for image in &images {
                let n = site.hub.asked().len();
                let t = std::time::Instant::now();
                let said = run(podman
                    .command()
                    .env("CONTAINERS_REGISTRIES_CONF", &conf)
                    .args(["pull"])
                    .arg(format!("docker.io/{image}")));
                eprintln!(
                    "{name} PODMAN {image} {:?} {}\n{}\nhub {:#?}",
                    t.elapsed(),
                    said.ok(),
                    said.all(),
                    &site.hub.asked()[n..]
                );
            }
            for image in &images {
                for how in [&["inspect", "--no-tags"][..], &["copy"]] {
                    let n = site.hub.asked().len();
                    let t = std::time::Instant::now();
                    let into = Folder::new("skopeo");
                    let mut skopeo = tool("skopeo", "skopeo");
                    skopeo
                        .arg("--insecure-policy")
                        .arg("--registries-conf")
                        .arg(&conf)
                        .args(how)
                        .arg(format!("docker://docker.io/{image}"));
                    if how[0] == "copy" {
                        skopeo.arg(format!("dir:{}", into.path().display()));
                    }
                    let said = run(&skopeo);
                    eprintln!(
                        "{name} SKOPEO {how:?} {image} {:?} {}\n{}\nhub {:#?}",
                        t.elapsed(),
                        said.ok(),
                        said.all(),
                        &site.hub.asked()[n..]
                    );
                }
            }
        }
    });
}
