//! `countersign trust inspect` compared with `docker trust inspect` of docker 20.10 on the same signatures: both
//! output formats and the exit status are identical.

use crate::gate::Gate;
use crate::notary::Keys;
use crate::process::Said;
use crate::signer::Signer;
use crate::site::{PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        signed_tags_are_printed_as_docker_prints_them,
        errors_have_dockers_text_and_exit_with_3,
    ]
}

/// Both output formats for `image`, from docker and from countersign.
fn inspected(gate: &Gate, signer: &Signer<'_>, image: &str) -> [(Said, Said); 2] {
    [&[][..], &["--pretty"]].map(|form| {
        let ask = [&["trust", "inspect"][..], form, &[image]].concat();
        (signer.docker(&ask, "1"), gate.command(&ask, &gate.config()))
    })
}

fn is_printed_alike(gate: &Gate, signer: &Signer<'_>, image: &str, words: &[&str]) {
    for (docker, ours) in inspected(gate, signer, image) {
        assert!(docker.ok() && ours.ok(), "{image}: {}\n{}", docker.all(), ours.all());
        assert_eq!(ours.stdout, docker.stdout, "{image}");
        for word in words {
            assert!(ours.stdout.contains(word), "{image}, {word}: {}", ours.stdout);
        }
    }
}

fn signed_tags_are_printed_as_docker_prints_them() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let repository = site.image("library/app");
    let tag = |tag: &str| format!("{repository}:{tag}");
    // Signed by the repository's own key.
    let first = signer.push(&tag("1"), "by the repository");
    let gate = site.gate(&signer, PROMPT);
    let hex = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
    is_printed_alike(&gate, &signer, &repository, &["Repo Admin", &hex(&first)]);
    is_printed_alike(&gate, &signer, &tag("1"), &["Repo Admin", &hex(&first)]);

    // The first signer in the trust data is not the first by name.
    signer.add("bob", &repository);
    let second = signer.push(&tag("v10"), "by bob");
    is_printed_alike(&gate, &signer, &repository, &["bob", &hex(&first), &hex(&second)]);
    signer.add("alice", &repository);
    let third = signer.push(&tag("v9"), "by both");
    is_printed_alike(&gate, &signer, &repository, &["alice", "bob", "v9", "v10", "Repo Admin"]);
    is_printed_alike(&gate, &signer, &tag("v9"), &["alice", "bob", &hex(&third)]);
    is_printed_alike(&gate, &signer, &tag("v10"), &["bob", &hex(&second)]);
    // Docker ignores the digest.
    is_printed_alike(&gate, &signer, &format!("{repository}@{first}"), &["v9", "v10"]);
    // Another tag is signed.
    is_printed_alike(&gate, &signer, &tag("none"), &["alice"]);

    // The same tag twice: docker shows the entry of each key, in varying order.
    let again = signer.push(&tag("1"), "once more, by both");
    for (docker, ours) in inspected(&gate, &signer, &repository) {
        assert!(ours.stdout.contains(&hex(&first)) && ours.stdout.contains(&hex(&again)));
        let lines = |said: &Said| {
            let mut lines: Vec<_> =
                said.stdout.lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&ours), lines(&docker));
    }
}

fn errors_have_dockers_text_and_exit_with_3() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    signer.push(&site.image("library/app:1"), "signed");
    signer.push_unsigned(&site.image("library/bare:1"), "not signed");
    let gate = site.gate(&signer, PROMPT);
    for image in ["library/bare", "library/bare:1"] {
        for (docker, ours) in inspected(&gate, &signer, &site.image(image)) {
            // docker exits with 1; all commands of countersign exit with 3 if the answer is no.
            assert_eq!(
                (ours.status.code(), docker.status.code()),
                (Some(3), Some(1)),
                "{}",
                ours.all()
            );
            assert_eq!(ours.stdout, docker.stdout);
            let first = ours.stderr.lines().next();
            assert_eq!(first, docker.stderr.lines().next(), "{}", ours.stderr);
            assert!(ours.stderr.contains("`countersign why "), "{}", ours.stderr);
        }
    }
    // Initialized, without signatures.
    let begun = site.image("library/begun");
    signer.begin(&begun);
    is_printed_alike(&gate, &signer, &begun, &[]);
}
