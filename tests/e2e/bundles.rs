//! Bundles made from real parts: other tools read them, cosign verifies the exporter's statement, and a gate without any
//! server serves docker and containerd from the file.

use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::content_site::{Api, ContentSite, arrives};
use crate::cosign::{Cosign, Version};
use crate::engines::engines;
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::go_tools::go_tool;
use crate::podman::Podman;
use crate::process::{must, tool};

const STATEMENT: &str = "https://countersign.dev/bundle/v1";

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![a_bundle_is_read_by_other_tools_and_served_without_a_network]
}

fn a_bundle_is_read_by_other_tools_and_served_without_a_network() {
    let site = ContentSite::new(Api::Referrers);
    let ours = Cosign::new(Version::V3);
    let mut digests = Vec::new();
    for (name, message) in [("library/one:1", "one"), ("library/two:1", "two")] {
        let (signed, digest) = site.push_to_sign(name, message);
        ours.sign(&signed);
        digests.push(digest);
    }
    site.push("library/one:unsigned", "not signed");
    let gate = site.gate(&tables(&ours));
    let folder = Folder::new("bundles");
    let [one, two, unsigned] =
        ["library/one:1", "library/two:1", "library/one:unsigned"].map(|name| site.image(name));
    let file = folder.join("images.tar");
    let (private, public) = exporter(&folder);
    let create = |file: &Path, images: &[&str], more: &[&str]| {
        let output = ["bundle", "create", "-o", file.to_str().unwrap(), "--image"];
        gate.command(&[&output, images, more].concat(), &gate.config())
    };

    let key = ["--docker-compat", "--key", private.to_str().unwrap()];
    let said = create(&file, &[&one, &two, &unsigned], &key);
    assert_eq!(said.status.code(), Some(3), "{}", said.all());
    assert!(said.stdout.contains(&format!("LEFT OUT  {unsigned} (absent)")), "{}", said.all());
    let again = [folder.join("a.tar"), folder.join("b.tar")];
    for file in &again {
        let said = create(file, &[&one, &two], &[]);
        assert!(said.ok(), "{}", said.all());
    }
    let [a, b] = again.map(|file| std::fs::read(file).unwrap());
    assert!(a == b, "two bundles of equal input differ");

    other_tools_read(&folder, &file, [&one, &two]);
    cosign_verifies_the_exporter(&site, &file, &public, &gate);
    served_without_a_network(&site, &ours, &file, &digests);
}

fn other_tools_read(folder: &Folder, file: &Path, images: [&str; 2]) {
    let file = file.to_str().unwrap();
    for (number, image) in images.iter().enumerate() {
        let copy = folder.join(&format!("skopeo-{number}"));
        let source = format!("oci-archive:{file}:{image}");
        must(
            tool("skopeo", "skopeo")
                .args(["--insecure-policy", "copy", &source])
                .arg(format!("dir:{}", copy.display())),
        );
        must(Podman::new().command().args(["pull", &source]));
    }
    let engines = engines();
    must(engines.containerd.ctr().args(["image", "import", file]));
    let listed = must(engines.containerd.ctr().args(["image", "ls", "-q"]));
    engines.docker.cli().must(&["load", "-i", file]);
    for image in images {
        assert!(listed.lines().any(|line| line == image), "{listed}");
        let message = if image.contains("/one") { "one" } else { "two" };
        let printed = engines.docker.cli().must(&["run", "--rm", "--network", "host", image]);
        assert_eq!(printed.trim(), message);
        must(engines.containerd.ctr().args(["image", "rm", image]));
        engines.docker.cli().must(&["rmi", "-f", image]);
    }
}

/// Copies the bundle artifact and its statement to the registry with oras, and verifies the statement there.
fn cosign_verifies_the_exporter(site: &ContentSite, file: &Path, public: &Path, gate: &Gate) {
    let file = file.to_str().unwrap();
    let said = gate.command(&["bundle", "inspect", "--json", file], &gate.config());
    let inspected: serde_json::Value = serde_json::from_str(&said.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said.all()));
    let artifact = inspected["artifact"].as_str().unwrap();
    let copied = format!("{}@{artifact}", site.image("bundles/images"));
    let source = format!("{file}@{artifact}");
    let copy = ["cp", "-r", "--from-oci-layout", "--to-plain-http", &source, &copied];
    must(go_tool("oras").args(copy));
    let home = Folder::new("cosign-exporter");
    let mut verify = go_tool("cosign-v3");
    verify.env("HOME", home.path()).current_dir(home.path());
    verify.args(["verify-attestation", "--allow-http-registry", "--insecure-ignore-tlog", "--key"]);
    must(verify.arg(public).args(["--type", STATEMENT, &copied]));
}

fn served_without_a_network(site: &ContentSite, ours: &Cosign, file: &Path, digests: &[String]) {
    let name = site.registry.name();
    let config = format!(
        "[[upstream]]\nregistry = \"{name}\"\nbundles = {file:?}\ndefault = true\n\n{}",
        tables(ours).replace("REGISTRY", &name)
    );
    let gate = Gate::start(0, "", &config, Clock::Machine);
    arrives(&gate, "library/one:1", &digests[0], "one");
    arrives(&gate, "library/two:1", &digests[1], "two");
    let path = file.to_str().unwrap();
    let said = gate.command(&["bundle", "verify", path], &gate.config());
    assert!(said.ok(), "{}", said.all());
    // The running gate imports it.
    let said = gate.command(&["bundle", "import", path], &gate.config());
    assert!(said.ok() && said.stdout.contains("imported 2 of 2"), "{}", said.all());
}

fn tables(ours: &Cosign) -> String {
    let key = ours.key();
    format!(
        "[[anchor]]\nname = \"ci\"\nscheme = \"cosign\"\nkeys = [{key:?}]\n\n\
         [[rule]]\nimages = [\"REGISTRY/**\"]\nrequire = [\"ci\"]\n"
    )
}

/// A new exporter's key: the private and the public half.
fn exporter(folder: &Folder) -> (PathBuf, PathBuf) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let pem = |label: &str, der: &[u8]| {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    };
    let private = pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref());
    // SubjectPublicKeyInfo of a P-256 point.
    let mut spki = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    spki.extend_from_slice(pair.public_key().as_ref());
    let public = pem("PUBLIC KEY", &spki);
    (folder.write("exporter.key", private), folder.write("exporter.pub", public))
}
