//! One attack: the attacker's pushes, and the victim's pulls.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::runnable::{OCI_INDEX, OCI_MANIFEST, Runnable, described};
use crate::registry::digest_of;

/// The content of the attacked repository, and the attacker's own content.
pub(crate) struct Target {
    pub(crate) signed: Runnable,
    pub(crate) busybox: Bytes,
    /// The URL of the blobs of the repository `elsewhere`, which anyone can fetch: `<url>/<digest>`.
    pub(crate) elsewhere: String,
}

impl Target {
    pub(crate) fn digest(&self) -> String {
        digest_of(&self.signed.manifest)
    }

    /// The tag of signatures (or other artifacts) of the signed image.
    pub(crate) fn tag(&self, kind: &str) -> String {
        format!("{}{kind}", self.digest().replace(':', "-"))
    }
}

/// A push by the attacker.
#[derive(Clone)]
pub(crate) enum Push {
    Blob(Bytes),
    /// A blob in another repository than the attacked one.
    Elsewhere(Bytes),
    Manifest {
        tag: Option<String>,
        media_type: &'static str,
        bytes: Bytes,
    },
}

#[derive(Clone)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// The output of the attacker's containers, which no container of the signed image prints.
    pub(crate) message: String,
    pub(crate) pushes: Vec<Push>,
    /// The victim's pulls, in this order: `:tag` or `@digest`. It then runs the last one.
    pub(crate) pulls: Vec<String>,
    /// Whether the bytes may arrive, because no client unpacks or runs content of this type: an SBOM may contain
    /// anything.
    pub(crate) may_be_held: bool,
}

impl Attack {
    /// An attack with the attacker's own image, whose layer, config and manifest are pushed as blobs.
    pub(crate) fn new(name: &'static str, target: &Target) -> (Self, Runnable) {
        let message = format!("unsigned code by {name}");
        let image = Runnable::new(&target.busybox, &message);
        let blobs = [&image.layer, &image.config, &image.manifest].map(|it| Push::Blob(it.clone()));
        (
            Self { name, message, pushes: blobs.to_vec(), pulls: Vec::new(), may_be_held: false },
            image,
        )
    }

    pub(crate) fn blob(mut self, blob: impl Into<Bytes>) -> Self {
        self.pushes.push(Push::Blob(blob.into()));
        self
    }

    /// The same pulls, three times: after a failed pull, a user tries again with the content that arrived.
    pub(crate) fn again(mut self) -> Self {
        self.pulls = [&self.pulls[..]; 3].concat();
        self
    }

    /// Pushes an image manifest under a tag, and pulls that tag.
    pub(crate) fn tagged(self, tag: &str, manifest: &Value) -> Self {
        self.pushed(Some(tag), OCI_MANIFEST, manifest.to_string().into())
    }

    /// Pushes an index under a tag, and pulls that tag.
    pub(crate) fn list(self, tag: &str, index: &Value) -> Self {
        self.pushed(Some(tag), OCI_INDEX, index.to_string().into())
    }

    /// Pushes an image manifest only under its digest, and pulls that digest.
    pub(crate) fn by_digest(self, manifest: &Value) -> Self {
        self.pushed(None, OCI_MANIFEST, manifest.to_string().into())
    }

    pub(crate) fn pushed(
        mut self,
        tag: Option<&str>,
        media_type: &'static str,
        bytes: Bytes,
    ) -> Self {
        self.pulls.push(match tag {
            Some(tag) => format!(":{tag}"),
            None => format!("@{}", digest_of(&bytes)),
        });
        self.pushes.push(Push::Manifest { tag: tag.map(str::to_owned), media_type, bytes });
        self
    }
}

/// `content` as a descriptor with inline data.
pub(crate) fn inline(media_type: &str, content: &[u8]) -> Value {
    let mut inline = described(media_type, content);
    inline["data"] = json!(STANDARD.encode(content));
    inline
}

pub(crate) fn index(manifests: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})
}
