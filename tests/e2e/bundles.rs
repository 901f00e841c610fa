//! Bundles on real parts: other tools read them, and a gate without a network serves docker, containerd, podman and skopeo
//! from them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::containerd::Containerd;
use crate::cosign::{Cosign, Version};
use crate::engines::{Client, arrives_and_runs, engines};
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::go_tools::go_tool;
use crate::image::Image;
use crate::notary::Keys;
use crate::podman::Podman;
use crate::process::{Said, free_port, must, tool};
use crate::referrers_registry;
use crate::registry::{Registry, digest_of};
use crate::signing_key::signing_key;
use crate::site::{PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        a_gate_without_a_network_serves_and_imports_a_bundle,
        other_tools_read_the_images_of_a_bundle,
        cosign_verifies_the_statement_of_an_exporter,
    ]
}

/// The registry in the names of images that are only in a bundle.
const NAME: &str = "registry.example.com";

/// A registry with a single and a multi-platform image, and a gate that admits them.
struct Source {
    registry: Registry,
    gate: Gate,
    /// The name and the digest of each image.
    images: Vec<(String, String)>,
    _content: Folder,
}

impl Source {
    fn new() -> Self {
        let content = Folder::new("content");
        let registry = Registry::start(content.path());
        let (amd, arm) = (Image::new("single", 1_000), Image::on("arm64", "for arm64", 1_000));
        amd.push(&registry, "library/app", "single");
        let other = Image::new("for amd64", 1_000);
        let index = Image::push_index(
            &[("amd64", &other), ("arm64", &arm)],
            &registry,
            "library/app",
            "multi",
        );
        let name = |tag: &str| format!("{NAME}/library/app:{tag}");
        let images = vec![(name("multi"), index), (name("single"), digest_of(&amd.manifest))];
        let config = format!(
            "[[upstream]]\nregistry = \"{NAME}\"\nurl = \"{}\"\n\n\
             [[rule]]\nimages = [\"{NAME}/**\"]\nmode = \"allow\"\nreason = \"other tools verify nothing\"\n",
            registry.url()
        );
        let gate = Gate::prepare(free_port(), "", "", &config, Clock::Machine);
        Self { registry, gate, images, _content: content }
    }

    /// Writes a bundle of all images; returns what the command said.
    fn bundle(&self, path: &Path, more: &[&str]) -> Said {
        let mut arguments = vec!["bundle", "create", "-o", path.to_str().unwrap()];
        arguments.push("--image");
        arguments.extend(self.images.iter().map(|(name, _)| name.as_str()));
        self.gate.command(&[&arguments[..], more].concat(), &self.gate.config())
    }
}

#[track_caller]
fn ok(said: &Said) {
    assert!(said.ok(), "{}: {}", said.status, said.all());
}

fn other_tools_read_the_images_of_a_bundle() {
    let (source, folder) = (Source::new(), Folder::new("bundle"));
    let path = folder.join("images.tar");
    ok(&source.bundle(&path, &[]));
    let again = folder.join("again.tar");
    ok(&source.bundle(&again, &[]));
    assert!(fs::read(&path).unwrap() == fs::read(&again).unwrap(), "the bytes differ");
    drop(source.registry);
    let bundle = path.to_str().unwrap();
    let podman = Podman::new();
    for (name, digest) in &source.images {
        let (from, copy) = (format!("oci-archive:{bundle}:{name}"), folder.join("copy"));
        let mut skopeo = tool("skopeo", "skopeo");
        skopeo.args(["--insecure-policy", "copy", "--all", &from]);
        must(skopeo.arg(format!("dir:{}", copy.display())));
        assert_eq!(digest_of(&fs::read(copy.join("manifest.json")).unwrap()), *digest, "skopeo");
        fs::remove_dir_all(copy).unwrap();

        must(podman.command().args(["pull", &from]));
        let inspect = ["image", "inspect", "--format", "{{.Digest}}", name];
        assert_eq!(must(podman.command().args(inspect)).trim(), digest, "podman");

        let layout = folder.join("layout");
        let mut oras = go_tool("oras");
        oras.args(["cp", "-r", "--from-oci-layout-path", bundle, name, "--to-oci-layout"]);
        must(oras.arg(format!("{}:copy", layout.display())));
        let index: Value =
            serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let copied =
            index["manifests"].as_array().unwrap().iter().any(|it| it["digest"] == *digest);
        assert!(copied, "oras: {index:#}");
        fs::remove_dir_all(layout).unwrap();
    }
    let current = Containerd::start_current();
    for containerd in [&engines().containerd, &current] {
        must(containerd.ctr().args(["image", "import", bundle]));
        for (name, digest) in &source.images {
            let said = must(containerd.ctr().args(["image", "list"]).arg(format!("name=={name}")));
            assert!(said.contains(digest.as_str()), "ctr {name}: {said}");
            must(containerd.ctr().args(["image", "remove", "--sync", name]));
        }
        // Nothing else in the bundle became an image.
        let said = must(containerd.ctr().args(["image", "list", "--quiet"]));
        assert!(!said.contains(NAME), "{said}");
    }
    docker_and_podman_load(&folder);
}

/// `docker load` and `podman load`: the id of an image is the digest of its config, which the signed manifest names.
fn docker_and_podman_load(folder: &Folder) {
    let (source, path) = (Source::new(), folder.join("compat.tar"));
    ok(&source.bundle(&path, &["--docker-compat", "--platform", "linux/amd64"]));
    let manifest = |tag: &str| -> Value {
        serde_json::from_slice(&source.registry.manifest("library/app", tag)).unwrap()
    };
    let (docker, podman) = (engines().docker.cli(), Podman::new());
    docker.must(&["load", "--input", path.to_str().unwrap()]);
    must(podman.command().args(["load", "--input"]).arg(&path));
    for (name, _) in &source.images {
        let tag = name.rsplit_once(':').unwrap().1;
        let listed = manifest(tag);
        let listed = match listed["manifests"][0]["digest"].as_str() {
            Some(first) => manifest(first),
            None => listed,
        };
        let id = listed["config"]["digest"].as_str().unwrap();
        assert_eq!(docker.must(&["inspect", "--format", "{{.Id}}", name]).trim(), id, "docker");
        docker.must(&["rmi", name]);
        let said = must(podman.command().args(["inspect", "--format", "{{.Id}}", name]));
        assert_eq!(format!("sha256:{}", said.trim()), id, "podman");
    }
}

fn cosign_verifies_the_statement_of_an_exporter() {
    let (source, folder) = (Source::new(), Folder::new("bundle"));
    let (path, (key, public)) = (folder.join("images.tar"), signing_key(&folder));
    ok(&source.bundle(&path, &["--key", key.to_str().unwrap()]));
    let inspect = ["bundle", "inspect", "--json", path.to_str().unwrap()];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"));
    let inspected: Value = serde_json::from_str(&must(command.args(inspect))).unwrap();
    let artifact = inspected["artifact"].as_str().unwrap();
    let content = Folder::new("content");
    let registry = referrers_registry::start(content.path());
    let name = format!("{}/bundles/images:1", registry.name());
    let mut oras = go_tool("oras");
    oras.args(["cp", "-r", "--to-plain-http", "--from-oci-layout"]);
    must(oras.arg(format!("{}@{artifact}", path.display())).arg(&name));
    let cosign = Cosign::new(Version::V3);
    let statement = "https://countersign.dev/bundle/v1";
    let said = cosign.attested_by(&public, &name, statement);
    assert!(said.ok(), "{}", said.all());
    assert!(!cosign.attested_by(&cosign.key(), &name, statement).ok(), "another key is accepted");
}

/// The receiving side: pins the signer and the exporter, and has neither a registry nor a Notary server.
fn receiver(site: &Site, root: &str, exporter: &Path) -> Gate {
    let name = site.registry.name();
    let config = format!(
        "[[upstream]]\nregistry = \"{name}\"\nbundles = \"incoming/*.tar\"\ndefault = true\n\n\
         [[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nroot_keys = [\"{root}\"]\n\
         exporters = [\"{}\"]\nmax_age = \"90d\"\n{PROMPT}\n\n\
         [[rule]]\nimages = [\"{name}/**\"]\nrequire = [\"team\"]\n",
        exporter.display()
    );
    Gate::prepare(free_port(), "", "", &config, Clock::Machine)
}

fn a_gate_without_a_network_serves_and_imports_a_bundle() {
    let mut site = Site::new(Keys::InServer);
    let signer = site.signer();
    let signed = site.image("library/app:1");
    let digest = signer.push(&signed, "signed and carried");
    let unsigned = site.image("library/app:unsigned");
    signer.push_unsigned(&unsigned, "carried without a signature");
    let root = signer.root_key_id();
    let (folder, carried) = (Folder::new("bundle"), Folder::new("carried"));
    let (key, public) = signing_key(&folder);
    let (good, open) = (carried.join("good.tar"), carried.join("open.tar"));

    let config = site.config(&[&root], "");
    let exporter = Gate::prepare(free_port(), "", "", &config, Clock::Machine);
    let create = |to: &Path, configuration: &Path| {
        let (to, key) = (to.to_str().unwrap(), key.to_str().unwrap());
        let arguments = ["bundle", "create", "-o", to, "--key", key, "--image", &signed, &unsigned];
        exporter.command(&arguments, configuration)
    };
    let said = create(&good, &exporter.config());
    assert_eq!(said.status.code(), Some(3), "{}", said.all());
    assert!(said.stdout.contains(&format!("LEFT OUT  {unsigned} (absent)")), "{}", said.all());
    // Another exporter's rule admits everything: its bundle contains the unsigned image, too, and no trust data.
    let rule = "mode = \"allow\"\nreason = \"anything\"\n";
    let lax = folder.write("lax.toml", config.replace("require = [\"team\"]\n", rule));
    let text = fs::read_to_string(&lax).unwrap();
    let server = "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\n";
    folder.write("lax.toml", format!("{server}{text}"));
    ok(&create(&open, &lax));
    site.registry.stop();
    site.notary.stop();

    let mut gate = receiver(&site, &root, &public);
    let incoming = gate.config().with_file_name("incoming");
    fs::create_dir(&incoming).unwrap();
    for bundle in ["good.tar", "open.tar"] {
        fs::copy(carried.join(bundle), incoming.join(bundle)).unwrap();
    }
    gate.run();
    let image = format!("{}/library/app:1", gate.name());
    arrives_and_runs(&image, &digest, "signed and carried");
    let denied = gate.manifest("library/app", "unsigned");
    assert_eq!(denied.status, 404, "{}", denied.text());
    let docker = &Client::all()[0];
    let said = docker.pull(&format!("{}/library/app:unsigned", gate.name()));
    let sentence = "remote trust data does not exist for";
    assert!(!said.ok() && said.all().contains(sentence), "{}", said.all());

    // The gate imports the bundles while it runs. Then they are removed.
    let verified = gate.command(&["bundle", "verify", good.to_str().unwrap()], &gate.config());
    ok(&verified);
    let imported = gate.command(&["bundle", "import", good.to_str().unwrap()], &gate.config());
    ok(&imported);
    let imported = gate.command(&["bundle", "import", open.to_str().unwrap()], &gate.config());
    assert_eq!(imported.status.code(), Some(3), "{}", imported.all());
    fs::remove_dir_all(&incoming).unwrap();
    fs::create_dir(&incoming).unwrap();
    arrives_and_runs(&image, &digest, "signed and carried");
    gate.kill_and_restart();
    arrives_and_runs(&image, &digest, "signed and carried");
    assert_ne!(gate.manifest("library/app", "unsigned").status, 200);
}
