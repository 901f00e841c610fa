//! `countersign demo` with real clients: they run its signed images of every scheme, and get none of the attacked
//! ones.

use std::process::Command;

use crate::engines::Client;
use crate::folder::Folder;
use crate::process::Process;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![every_client_runs_the_signed_images_of_the_demo_and_gets_no_attacked_one]
}

const SIGNED: [&str; 4] = ["notary/app:v1", "cosign/app:v1", "keyless/app:v1", "notation/app:v1"];
const ATTACKED: [&str; 4] =
    ["notary/tampered:v1", "cosign/copied:v1", "keyless/backdated:v1", "notation/forged:v1"];

fn every_client_runs_the_signed_images_of_the_demo_and_gets_no_attacked_one() {
    let folder = Folder::new("demo");
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("demo");
    let mut demo = Process::start("demo", &command, &folder);
    // The page is complete once its last line is there.
    let page = demo.until(|page| page.contains("Ctrl-C").then(|| page.to_owned()));
    let run = page.lines().find_map(|line| line.trim().strip_prefix("docker run --rm ")).unwrap();
    let host = run.split('/').next().unwrap();

    for (at, client) in Client::all().iter().enumerate() {
        // One engine runs the images of every scheme; each other engine runs the image of one scheme.
        let signed = if at == 0 { &SIGNED[..] } else { &SIGNED[at..=at] };
        for image in signed {
            let pulled = client.pull(&format!("{host}/{image}"));
            assert!(pulled.ok(), "{} {image}: {}", client.name(), pulled.all());
            if let Some(said) = client.run(&format!("{host}/{image}")) {
                assert_eq!(said, format!("Hello from {image}.\n"), "{}", client.name());
            }
            client.forget(&format!("{host}/{image}"));
        }
        for image in ATTACKED {
            let pulled = client.pull(&format!("{host}/{image}"));
            assert!(!pulled.ok(), "{} {image}: {}", client.name(), pulled.all());
        }
    }
}
