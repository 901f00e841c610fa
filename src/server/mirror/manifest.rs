//! The manifest that represents a denial. It names no layers and a config that does not exist, and the media type of
//! that config is the message. Built from a message only.

use bytes::Bytes;
use serde_json::json;

use super::message::Message;
use crate::oci::{Digest, MediaType};

/// A manifest without content; its config's media type is the denial's message.
///
/// It cannot be built from content:
///
/// ```compile_fail,E0277
/// use bytes::Bytes;
/// use countersign::server::DenialManifest;
/// fn forge(bytes: Bytes) -> DenialManifest {
///     bytes.into()
/// }
/// ```
///
/// ```compile_fail,E0451
/// use bytes::Bytes;
/// use countersign::oci::{Digest, MediaType};
/// use countersign::server::DenialManifest;
/// fn forge(bytes: Bytes, media_type: MediaType, digest: Digest, config: Digest) -> DenialManifest {
///     DenialManifest { bytes, media_type, digest, config }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenialManifest {
    bytes: Bytes,
    media_type: MediaType,
    digest: Digest,
    config: Digest,
}

impl DenialManifest {
    /// For a tag: engines reject an image whose config has an unknown media type, and show that type.
    pub(super) fn of_tag(message: &Message) -> Self {
        Self::new(MediaType::OciImage, message, message)
    }

    /// For a digest that this manifest does not have: docker checks the config's media type first, and other clients
    /// see that the digest does not match.
    pub(super) fn of_digest(message: &Message) -> Self {
        Self::new(MediaType::DockerImage, message, &message.no_such_process())
    }

    fn new(media_type: MediaType, message: &Message, config_type: &Message) -> Self {
        // A docker that already has an image with this id would consider the pull done. The message contains the request
        // id, so no two denials share a config, and this text is not the config of any image.
        let config = message.as_str().as_bytes();
        let digest = Digest::of(config);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type.as_str(),
            "config": {
                "mediaType": config_type.as_str(),
                "digest": digest.to_string(),
                "size": config.len(),
            },
            "layers": [],
        });
        let bytes = Bytes::from(manifest.to_string());
        Self { digest: Digest::of(&bytes), bytes, media_type, config: digest }
    }

    pub(in crate::server) fn media_type(&self) -> MediaType {
        self.media_type
    }

    /// The digest of the manifest itself.
    pub(in crate::server) fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of the config that it names.
    pub(super) fn config(&self) -> Digest {
        self.config
    }

    pub(in crate::server) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(in crate::server) fn into_bytes(self) -> Bytes {
        self.bytes
    }
}
