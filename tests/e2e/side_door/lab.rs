//! A registry with one signed image to which an attacker can push, a gate in front of it, and one client at a time
//! that pulls through the gate.

use std::path::Path;

use bytes::Bytes;

use crate::cosign::{Cosign, Version};
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::process::{Said, every, must, run, tool};
use crate::referrers_registry;
use crate::registry::{Registry, digest_of};
use crate::requests;
use crate::smuggled::attack::{Attack, Push, Target};
use crate::smuggled::attacks;
use crate::smuggled::runnable::{OCI_MANIFEST, Runnable};

const SIGNED: &str = "signed";
/// A signed image whose container does nothing: the sandbox of CRI's containers.
const IDLE: &str = "library/idle";
const ELSEWHERE: &str = "elsewhere";

/// A program that pulls images, with no images yet.
pub(crate) trait Client {
    fn name(&self) -> &str;
    fn pull(&self, image: &str) -> Said;
    /// Runs a container of the last pull of `image`; `None` if the client runs no containers.
    fn run(&self, image: &str) -> Option<Said>;
    /// The folder with everything that it pulled.
    fn root(&self) -> &Path;
}

/// The result of an attack on a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Came {
    /// The attacker's bytes did not reach the client.
    Nowhere,
    /// The client has the layer or the config, unprocessed.
    Held,
    /// The files of the attacker's layer are unpacked.
    Unpacked,
    /// A container ran the attacker's command.
    Ran,
}

pub(crate) struct Lab {
    pub(crate) registry: Registry,
    pub(crate) gate: Gate,
    pub(crate) attacks: Vec<Attack>,
    /// The attacks that the registry itself rejected.
    refused: Vec<&'static str>,
    _cosign: Cosign,
    _content: Folder,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let content = Folder::new("side-door");
        let registry = referrers_registry::start(content.path());
        let busybox = every("busybox").into_iter().next();
        let busybox = busybox.expect("`busybox` is not installed: apt-get install busybox-static");
        let busybox = Bytes::from(std::fs::read(busybox).unwrap());
        let elsewhere = format!("{}/v2/{ELSEWHERE}/blobs", registry.url());
        let signed = Runnable::new(&busybox, SIGNED);
        let target = Target { signed, busybox, elsewhere };
        let cosign = Cosign::new(Version::V3);
        push(&registry, "library/app", &target.signed);
        cosign.sign(&format!("{}/library/app@{}", registry.name(), target.digest()));
        let idle = Runnable::running(&target.busybox, "idle", &["sleep", "3600"]);
        push(&registry, IDLE, &idle);
        cosign.sign(&format!("{}/{IDLE}@{}", registry.name(), digest_of(&idle.manifest)));

        let (mut attacks, mut refused) = (attacks(&target), Vec::new());
        for attack in &attacks {
            let repository = repository(attack);
            push(&registry, &repository, &target.signed);
            copy_referrers(&registry, &target.digest(), &repository);
            if !attack.pushes.iter().all(|push| accepts(&registry, &repository, push)) {
                refused.push(attack.name);
            }
        }
        attacks.retain(|attack| !refused.contains(&attack.name));
        let gate = gate(&registry, &cosign);
        Self { registry, gate, attacks, refused, _cosign: cosign, _content: content }
    }

    /// The name of the signed image whose container does nothing for an hour.
    pub(crate) fn idle(&self) -> String {
        format!("{}/{IDLE}:1", self.gate.name())
    }

    /// Pulls the signed image and runs it: a client that cannot do this proves nothing by failing to pull an attack.
    pub(crate) fn signed_image_arrives(&self, client: &dyn Client) {
        let image = format!("{}/library/app:1", self.gate.name());
        let pulled = client.pull(&image);
        assert!(pulled.ok(), "{}: {}", client.name(), pulled.all());
        match client.run(&image) {
            Some(said) => {
                assert!(
                    said.ok() && said.all().contains(SIGNED),
                    "{}: {}",
                    client.name(),
                    said.all()
                );
            }
            None => assert_eq!(came(client, SIGNED), Came::Held, "{}", pulled.all()),
        }
    }

    fn carry_out(&self, attack: &Attack, client: &dyn Client) -> Came {
        let name =
            |reference: &String| format!("{}/{}{reference}", self.gate.name(), repository(attack));
        let mut said = Vec::new();
        for reference in &attack.pulls {
            said.push(client.pull(&name(reference)).all());
        }
        let ran = client.run(&name(attack.pulls.last().unwrap()));
        let came = match &ran {
            Some(ran) if ran.all().contains(&attack.message) => Came::Ran,
            Some(_) | None => came(client, &attack.message),
        };
        eprintln!("side door: {}: {}: {came:?}", client.name(), attack.name);
        if std::env::var_os("COUNTERSIGN_RIG_VERBOSE").is_some() {
            eprintln!("{}\n{}", said.join("\n"), ran.map(|ran| ran.all()).unwrap_or_default());
        }
        came
    }

    /// Pulls the signed image with this client, and then runs every attack; none may deliver anything.
    pub(crate) fn holds(&self, client: &dyn Client) {
        self.signed_image_arrives(client);
        for name in &self.refused {
            eprintln!("side door: {name}: the registry rejected it");
        }
        let mut succeeded = Vec::new();
        for attack in &self.attacks {
            let came = self.carry_out(attack, client);
            let harmless = if attack.may_be_held { Came::Held } else { Came::Nowhere };
            if came > harmless {
                succeeded.push((attack.name, came));
            }
        }
        assert!(succeeded.is_empty(), "{}: {succeeded:?}", client.name());
    }
}

/// The repository of an attack.
pub(crate) fn repository(attack: &Attack) -> String {
    format!("attack/{}", attack.name)
}

fn gate(registry: &Registry, cosign: &Cosign) -> Gate {
    let (name, url, key) = (registry.name(), registry.url(), cosign.key());
    let config = format!(
        "[[upstream]]\nregistry = \"{name}\"\nurl = \"{url}\"\ndefault = true\n\n\
         [[anchor]]\nname = \"team\"\nscheme = \"cosign\"\nkeys = [{key:?}]\n\n\
         [[rule]]\nimages = [\"{name}/**\"]\nrequire = [\"team\"]\n"
    );
    Gate::start(0, "", &config, Clock::Machine)
}

fn push(registry: &Registry, repository: &str, image: &Runnable) {
    registry.put_blob(repository, image.layer.clone());
    registry.put_blob(repository, image.config.clone());
    registry.put(repository, Some("1"), OCI_MANIFEST, &image.manifest);
}

/// Copies the referrers of the signed image (its signature) into another repository.
fn copy_referrers(registry: &Registry, digest: &str, repository: &str) {
    const FROM: &str = "library/app";
    let url = format!("{}/v2/{FROM}/referrers/{digest}", registry.url());
    let list = requests::get(&url).json();
    let referrers = list["manifests"].as_array().unwrap();
    assert!(!referrers.is_empty(), "{list}");
    for referrer in referrers {
        let manifest = registry.manifest(FROM, referrer["digest"].as_str().unwrap());
        let parsed: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let layers = parsed["layers"].as_array().unwrap();
        for blob in layers.iter().chain([&parsed["config"]]) {
            let digest = blob["digest"].as_str().unwrap();
            let url = format!("{}/v2/{FROM}/blobs/{digest}", registry.url());
            registry.put_blob(repository, requests::get(&url).body);
        }
        registry.put(repository, None, OCI_MANIFEST, &manifest);
    }
}

/// Pushes it; a registry may reject some manifests.
fn accepts(registry: &Registry, repository: &str, push: &Push) -> bool {
    match push {
        Push::Blob(blob) => drop(registry.put_blob(repository, blob.clone())),
        Push::Elsewhere(blob) => drop(registry.put_blob(ELSEWHERE, blob.clone())),
        Push::Manifest { tag, media_type, bytes } => {
            let reference = tag.clone().unwrap_or_else(|| digest_of(bytes));
            let url = format!("{}/v2/{repository}/manifests/{reference}", registry.url());
            return requests::put(&url, media_type, bytes.clone()).status == 201;
        }
    }
    true
}

/// How far content with this message came, except for the output of a container.
fn came(client: &dyn Client, message: &str) -> Came {
    let mut grep = tool("grep", "grep");
    grep.args(["--recursive", "--files-with-matches", "--no-messages", "--text"]);
    grep.args(["--fixed-strings", "--devices=skip", "--", message]).arg(client.root());
    let found = run(&grep).stdout;
    if found.is_empty() {
        return Came::Nowhere;
    }
    let unpacked = |file: &str| std::fs::read(file).is_ok_and(|it| it == message.as_bytes());
    if found.lines().any(unpacked) { Came::Unpacked } else { Came::Held }
}

/// The first line of a program's version output.
pub(crate) fn version(program: &std::process::Command, argument: &str) -> String {
    let said = must(crate::process::same(program).arg(argument));
    said.lines().next().unwrap_or_default().trim().to_owned()
}
