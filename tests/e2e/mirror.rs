//! The gate as a mirror of Docker Hub, for clients that would go on to Docker Hub after any error.

use crate::docker::Daemon;
use crate::mirror_site::MirrorSite;
use crate::namespace::inside;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![docker_does_not_go_on_to_docker_hub]
}

fn docker_does_not_go_on_to_docker_hub() {
    inside(concat!(module_path!(), "::docker_does_not_go_on_to_docker_hub"), || {
        let t = std::time::Instant::now();
        let site = MirrorSite::new();
        eprintln!("setup {:?}", t.elapsed());
        let docker = site.docker.cli();
        let plain = Daemon::start_between(&site.gate.url(""));
        let p = plain.cli();
        for image in ["app:unsigned"] {
            let t = std::time::Instant::now();
            let said = p.run(&["pull", image]);
            eprintln!("PLAIN {image} {:?}\n{}\nhub {:#?}", t.elapsed(), said.all(), site.hub.asked());
        }
        for image in ["app:unsigned".to_owned(), format!("app@{}", site.unsigned), "away/app:1".into(), "app:gone".into(), "app:1".into(), format!("app@{}", site.signed), "big:1".into(), "broken:1".into()] {
            let n = site.hub.asked().len();
            let t = std::time::Instant::now();
            let said = docker.run(&["pull", &image]);
            eprintln!("MIRROR {image} {:?}\n{}\nhub {:#?}", t.elapsed(), said.all(), &site.hub.asked()[n..]);
        }
    });
}
