//! An attacker who may push to a repository that holds one signed image, and who has no key, brings nothing of their own
//! onto any client through the gate.

pub(crate) mod clients;
pub(crate) mod current;
pub(crate) mod honest;
mod lab;
pub(crate) mod stored;

use clients::{Copier, Crane, Ctr, Docker, PodmanClient, Pull};
use lab::{Client, Lab};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        nothing_unsigned_comes_through_to_debians_containerd,
        nothing_unsigned_comes_through_to_containerd,
        nothing_unsigned_comes_through_to_containerd_with_local_pulls,
        nothing_unsigned_comes_through_to_docker,
        nothing_unsigned_comes_through_to_podman,
        nothing_unsigned_comes_through_to_skopeo,
        nothing_unsigned_comes_through_to_crane,
        nothing_unsigned_comes_through_to_crane_in_a_layout,
        nothing_unsigned_comes_through_to_oras,
    ]
}

fn holds(client: &dyn Client) {
    Lab::new().holds(client);
}

fn nothing_unsigned_comes_through_to_debians_containerd() {
    holds(&Ctr::of_debian());
}

fn nothing_unsigned_comes_through_to_containerd() {
    holds(&Ctr::current(Pull::Default));
}

fn nothing_unsigned_comes_through_to_containerd_with_local_pulls() {
    holds(&Ctr::current(Pull::Local));
}

fn nothing_unsigned_comes_through_to_docker() {
    holds(&Docker::of_debian());
}

fn nothing_unsigned_comes_through_to_podman() {
    holds(&PodmanClient::of_debian());
}

fn nothing_unsigned_comes_through_to_skopeo() {
    holds(&Copier::skopeo());
}

fn nothing_unsigned_comes_through_to_crane() {
    holds(&Crane::new());
}

fn nothing_unsigned_comes_through_to_crane_in_a_layout() {
    holds(&Copier::crane_whole());
}

fn nothing_unsigned_comes_through_to_oras() {
    holds(&Copier::oras());
}
