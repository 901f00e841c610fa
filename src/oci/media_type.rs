//! The media types of manifests, and what we ask an upstream for.

use std::fmt;

use oci_spec::image::MediaType as Spec;

/// A manifest's media type: the four that registries serve today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    DockerImage,
    DockerIndex,
    OciImage,
    OciIndex,
}

impl MediaType {
    /// Every manifest type we can judge, for `Accept`: some registries answer 404 for an OCI manifest
    /// that was not asked for by its type.
    pub const ACCEPT: &'static str = "application/vnd.oci.image.index.v1+json, \
         application/vnd.oci.image.manifest.v1+json, \
         application/vnd.docker.distribution.manifest.list.v2+json, \
         application/vnd.docker.distribution.manifest.v2+json";

    /// Reads a `Content-Type` or a `mediaType` member; parameters are ignored, and what is no
    /// manifest type of today is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or_default().trim();
        let spec = Spec::from(essence);
        if spec == Spec::ImageIndex {
            return Some(Self::OciIndex);
        }
        if spec == Spec::ImageManifest {
            return Some(Self::OciImage);
        }
        [Self::DockerImage, Self::DockerIndex].into_iter().find(|docker| docker.as_str() == essence)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DockerImage => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerIndex => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::OciImage => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
        }
    }

    pub const fn is_index(self) -> bool {
        matches!(self, Self::DockerIndex | Self::OciIndex)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_reads_back_as_itself() {
        for media_type in [
            MediaType::DockerImage,
            MediaType::DockerIndex,
            MediaType::OciImage,
            MediaType::OciIndex,
        ] {
            assert_eq!(MediaType::parse(media_type.as_str()), Some(media_type));
            assert_eq!(MediaType::parse(&format!("{media_type}; charset=utf-8")), Some(media_type));
            assert!(MediaType::ACCEPT.contains(media_type.as_str()));
        }
        assert_eq!(MediaType::parse("application/vnd.oci.image.config.v1+json"), None);
        assert_eq!(MediaType::parse("text/html"), None);
    }
}
