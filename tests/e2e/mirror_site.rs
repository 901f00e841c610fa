//! A site in its own network whose clients use the gate as a mirror of Docker Hub, next to a Docker Hub that serves
//! unsigned images to everyone.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use crate::docker::Daemon;
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::hub::Hub;
use crate::image::Image;
use crate::line::Line;
use crate::notary::{Keys, Notary};
use crate::process::free_port;
use crate::registry::{Registry, digest_of};
use crate::requests::{self, Answer};
use crate::signer::Signer;
use crate::site::PROMPT;

pub(crate) struct MirrorSite {
    pub(crate) hub: Hub,
    /// The gate's registry for Docker Hub images; a [`Line`] connects the gate to it.
    pub(crate) registry: Registry,
    pub(crate) line: Line,
    pub(crate) gate: Gate,
    /// `host:port` of the mirror listener, whose denials are final for clients.
    pub(crate) mirror: String,
    /// A daemon whose mirror is that listener.
    pub(crate) docker: Daemon,
    /// The digests of `app:1`, of `big:1` (8 MiB), and of the unsigned image.
    pub(crate) signed: String,
    pub(crate) big: String,
    pub(crate) unsigned: String,
    _notary: Notary,
    _content: [Folder; 2],
}

impl MirrorSite {
    /// Signed images: `app:1` and `big:1`, and images that the gate's registry has lost or damaged: all of `gone:1`,
    /// the config of `headless:1`, the layer of `broken:1`, and one byte of the layer of `rotten:1`. The gate cannot
    /// decide about `away/app`. Docker Hub has all these names, and serves the unsigned image for each.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// The same, with more tables in the gate's configuration.
    pub(crate) fn with(more: &str) -> Self {
        let content = [Folder::new("content"), Folder::new("hub-content")];
        let [upstream, hub] = content.each_ref().map(Folder::path);
        let (hub, registry) = (Hub::start(hub), Registry::start(upstream));
        let unsigned = Image::new("not signed", 1000);
        unsigned.push(&registry, "library/app", "unsigned");
        let signed = [("app", 2000), ("big", 8 << 20), ("gone", 3000), ("headless", 4000)];
        let signed = signed.into_iter().chain([("broken", 5000), ("rotten", 5 << 20)]);
        let signed: Vec<_> =
            signed.map(|(name, size)| (name, Image::new("signed", size))).collect();
        for (name, image) in &signed {
            let repository = format!("library/{name}");
            image.push(&registry, &repository, "1");
            let folder = |content| Registry::blob_folder(upstream, content);
            match *name {
                "gone" => std::fs::remove_dir_all(folder(&image.manifest)).unwrap(),
                "headless" => std::fs::remove_dir_all(folder(&image.config)).unwrap(),
                "broken" => std::fs::remove_dir_all(folder(&image.layer)).unwrap(),
                "rotten" => spoil(&folder(&image.layer).join("data")),
                _ => {}
            }
        }
        let names = signed.iter().map(|(name, _)| format!("library/{name}"));
        for repository in names.chain(["away/app".to_owned()]) {
            unsigned.push(&hub.content, &repository, "1");
        }
        unsigned.push(&hub.content, "library/app", "unsigned");

        let (notary, line, port) =
            (Notary::start(Keys::InServer), Line::to(registry.port), free_port());
        let mirror = format!("127.0.0.1:{port}");
        let docker = Daemon::start_between(&format!("http://{mirror}"));
        let signer = Signer::new(&docker, &notary);
        for (name, image) in &signed {
            let gun = format!("docker.io/library/{name}");
            signer.begin(&gun);
            signer.sign_digest(&gun, "1", &image.manifest);
        }
        let (root, ca) = (signer.root_key_id(), notary.ca());
        let config = format!(
            "[mirror]\nlisten = \"{mirror}\"\n\n\
             [[upstream]]\nregistry = \"docker.io\"\nurl = \"{}\"\ndefault = true\n\n\
             [[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"{}\"\nca = \"{}\"\n\
             root_keys = [\"{root}\"]\n{PROMPT}\n\n\
             [[anchor]]\nname = \"away\"\nscheme = \"notaryv1\"\nurl = \"https://127.0.0.1:9\"\n\
             root_keys = [\"{root}\"]\n\n\
             [[rule]]\nimages = [\"docker.io/library/**\"]\nrequire = [\"team\"]\n\n\
             [[rule]]\nimages = [\"docker.io/away/**\"]\nrequire = [\"away\"]\n\n{more}",
            line.url(),
            notary.url(),
            ca.display(),
        );
        let gate = Gate::start(0, "", &config, Clock::Machine);
        let digest = |name: &str| {
            let image = signed.iter().find(|(signed, _)| *signed == name);
            digest_of(&image.unwrap().1.manifest)
        };
        Self {
            signed: digest("app"),
            big: digest("big"),
            unsigned: digest_of(&unsigned.manifest),
            hub,
            registry,
            line,
            gate,
            mirror,
            docker,
            _notary: notary,
            _content: content,
        }
    }
}

impl MirrorSite {
    /// The response of the mirror listener to a request for a manifest.
    pub(crate) fn mirror_manifest(&self, repository: &str, reference: &str) -> Answer {
        requests::get(&format!("http://{}/v2/{repository}/manifests/{reference}", self.mirror))
    }
}

/// Changes one byte at the end.
fn spoil(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    File::create(file).unwrap().write_all(&bytes).unwrap();
}
