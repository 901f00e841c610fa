//! An attacker who can push to a repository with one signed image, but has no key, cannot deliver any content to a
//! client through the gate.

pub(crate) mod clients;
pub(crate) mod current;
pub(crate) mod honest;
mod lab;
pub(crate) mod stored;

use clients::{Copier, Crane, Ctr, Docker, PodmanClient, Pull};
use lab::{Client, Lab};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        debians_containerd_gets_nothing_unsigned,
        containerd_gets_nothing_unsigned,
        containerd_with_local_pulls_gets_nothing_unsigned,
        docker_gets_nothing_unsigned,
        podman_gets_nothing_unsigned,
        skopeo_gets_nothing_unsigned,
        crane_gets_nothing_unsigned,
        crane_in_a_layout_gets_nothing_unsigned,
        oras_gets_nothing_unsigned,
    ]
}

fn holds(client: &dyn Client) {
    Lab::new().holds(client);
}

fn debians_containerd_gets_nothing_unsigned() {
    holds(&Ctr::of_debian());
}

fn containerd_gets_nothing_unsigned() {
    holds(&Ctr::current(Pull::Default));
}

fn containerd_with_local_pulls_gets_nothing_unsigned() {
    holds(&Ctr::current(Pull::Local));
}

fn docker_gets_nothing_unsigned() {
    holds(&Docker::of_debian());
}

fn podman_gets_nothing_unsigned() {
    holds(&PodmanClient::of_debian());
}

fn skopeo_gets_nothing_unsigned() {
    holds(&Copier::skopeo());
}

fn crane_gets_nothing_unsigned() {
    holds(&Crane::new());
}

fn crane_in_a_layout_gets_nothing_unsigned() {
    holds(&Copier::crane_whole());
}

fn oras_gets_nothing_unsigned() {
    holds(&Copier::oras());
}
