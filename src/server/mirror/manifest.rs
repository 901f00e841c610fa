//! The manifest that stands in the place of one that is denied: it names no layer and a config that
//! nobody has, and what it tells is the type of that config. Made of a message and of nothing else.

use bytes::Bytes;
use serde_json::json;

use super::message::Message;
use crate::oci::{Digest, MediaType};

/// A manifest of nothing, which tells why there is nothing.
///
/// There is no way to make one of content:
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
    /// For a tag: engines refuse an image whose config is of a type that they do not know, and say which
    /// type that is.
    pub(super) fn of_tag(message: &Message) -> Self {
        Self::new(MediaType::OciImage, message, message)
    }

    /// For a digest, which it does not have: docker looks at the type of the config before that, and
    /// others see that it is not what they asked for.
    pub(super) fn of_digest(message: &Message) -> Self {
        Self::new(MediaType::DockerImage, message, &message.no_such_process())
    }

    fn new(media_type: MediaType, message: &Message, told: &Message) -> Self {
        // A docker that has an image of this id would take it for pulled. The message bears the name of its
        // request, so that no two denials share one, and this text is no image's config.
        let config = message.as_str().as_bytes();
        let digest = Digest::of(config);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type.as_str(),
            "config": {
                "mediaType": told.as_str(),
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

    /// Of its own bytes.
    pub(in crate::server) fn digest(&self) -> Digest {
        self.digest
    }

    /// Of the config that it names.
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
