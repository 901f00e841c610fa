//! A site whose clients use the gate as a mirror of Docker Hub, beside a Docker Hub that gives what is not signed to
//! everyone: in a network of its own.

use bytes::Bytes;
use serde_json::json;

use crate::docker::Daemon;
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::hub::Hub;
use crate::line::Line;
use crate::notary::{Keys, Notary};
use crate::process::{free_port, must, tool};
use crate::random::Random;
use crate::registry::{Registry, digest_of};
use crate::signer::Signer;
use crate::site::PROMPT;

const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

pub(crate) struct MirrorSite {
    pub(crate) hub: Hub,
    /// What the gate has for Docker Hub, at the end of a line.
    pub(crate) registry: Registry,
    pub(crate) line: Line,
    pub(crate) gate: Gate,
    /// `host:port` of the listener where denials stick.
    pub(crate) mirror: String,
    /// A daemon whose mirror is that listener.
    pub(crate) docker: Daemon,
    /// `app:1` as it is signed, and `app:unsigned`.
    pub(crate) signed: String,
    pub(crate) unsigned: String,
    /// The one layer of `big:1`, of 8 MiB.
    pub(crate) layer: String,
    _notary: Notary,
    _content: [Folder; 2],
}

/// An image of one layer.
struct Image {
    layer: Bytes,
    config: Bytes,
    manifest: Bytes,
}

impl Image {
    /// With a file that holds `message`, and one of so many random bytes.
    fn new(message: &str, size: usize) -> Self {
        let folder = Folder::new("layer");
        folder.write("message", message);
        folder.write("padding", Random::new(size as u64).content(size));
        let tar = folder.join("layer.tar");
        let mut command = tool("tar", "tar");
        command.arg("-C").arg(folder.path()).arg("-cf").arg(&tar).args(["message", "padding"]);
        must(&command);
        let layer = Bytes::from(std::fs::read(tar).unwrap());
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/message"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(&layer)]}});
        let config = Bytes::from(config.to_string());
        let described = |kind: &str, content: &Bytes| {
            json!({"mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": digest_of(content), "size": content.len()})
        };
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_IMAGE,
            "config": described("config.v1+json", &config),
            "layers": [described("layer.v1.tar", &layer)]});
        let manifest = Bytes::from(manifest.to_string());
        Self { layer, config, manifest }
    }

    fn push(&self, registry: &Registry, repository: &str, tag: &str) {
        registry.put_blob(repository, self.layer.clone());
        registry.put_blob(repository, self.config.clone());
        registry.put(repository, Some(tag), OCI_IMAGE, &self.manifest);
    }
}

impl MirrorSite {
    /// Signed: `app:1`, `big:1`, `app:gone`, which the registry does not have, and `broken:1`, whose layer it does not
    /// have. The gate cannot find out about `away/app`. Docker Hub has all of these names, and other images under them.
    pub(crate) fn new() -> Self {
        let content = [Folder::new("content"), Folder::new("hub-content")];
        let [upstream, hub] = content.each_ref().map(Folder::path);
        let (hub, registry) = (Hub::start(hub), Registry::start(upstream));
        let signed = Image::new("signed", 1000);
        let unsigned = Image::new("not signed", 2000);
        let big = Image::new("big", 8 << 20);
        let broken = Image::new("broken", 3000);
        signed.push(&registry, "library/app", "1");
        unsigned.push(&registry, "library/app", "unsigned");
        big.push(&registry, "library/big", "1");
        broken.push(&registry, "library/broken", "1");
        std::fs::remove_dir_all(blob_folder(upstream, &digest_of(&broken.layer))).unwrap();
        let rotten = Image::new("rotten", 5 << 20);
        rotten.push(&registry, "library/rotten", "1");
        let mut bytes = rotten.layer.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(blob_folder(upstream, &digest_of(&rotten.layer)).join("data"), bytes)
            .unwrap();
        let headless = Image::new("headless", 5000);
        headless.push(&registry, "library/headless", "1");
        std::fs::remove_dir_all(blob_folder(upstream, &digest_of(&headless.config))).unwrap();
        let gone = Image::new("gone", 4000);
        for (repository, tag) in [
            ("library/app", "1"),
            ("library/app", "unsigned"),
            ("library/app", "gone"),
            ("library/big", "1"),
            ("library/broken", "1"),
            ("library/rotten", "1"),
            ("library/headless", "1"),
            ("away/app", "1"),
        ] {
            unsigned.push(&hub.content, repository, tag);
        }

        let notary = Notary::start(Keys::InServer);
        let (port, line) = (free_port(), Line::to(registry.port));
        let mirror = format!("127.0.0.1:{port}");
        let docker = Daemon::start_between(&format!("http://{mirror}"));
        let signer = Signer::new(&docker, &notary);
        for (repository, tags) in [
            ("app", &[("1", &signed), ("gone", &gone)][..]),
            ("big", &[("1", &big)]),
            ("broken", &[("1", &broken)]),
            ("rotten", &[("1", &rotten)]),
            ("headless", &[("1", &headless)]),
        ] {
            let gun = format!("docker.io/library/{repository}");
            signer.begin(&gun);
            for (tag, image) in tags {
                signer.sign_digest(&gun, tag, &image.manifest);
            }
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
             [[rule]]\nimages = [\"docker.io/away/**\"]\nrequire = [\"away\"]\n",
            line.url(),
            notary.url(),
            ca.display(),
        );
        let gate = Gate::start(0, "", &config, Clock::Machine);
        let (signed, unsigned) = (digest_of(&signed.manifest), digest_of(&unsigned.manifest));
        let layer = digest_of(&big.layer);
        Self {
            hub,
            registry,
            line,
            gate,
            mirror,
            docker,
            signed,
            unsigned,
            layer,
            _notary: notary,
            _content: content,
        }
    }
}

/// Where docker-registry keeps a blob.
fn blob_folder(content: &std::path::Path, digest: &str) -> std::path::PathBuf {
    let hex = digest.trim_start_matches("sha256:");
    content.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}", &hex[..2]))
}
