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

/// A media type as permissive clients compare it: without parameters, white space and control characters, in lower
/// case.
///
/// Only for the question whether content could be dangerous. To permit content, compare the exact text.
pub fn essence(text: &str) -> String {
    let essence = text.split([';', ',']).next().unwrap_or_default();
    let blank = |c: char| c.is_whitespace() || c.is_control();
    essence.chars().filter(|c| !blank(*c)).flat_map(char::to_lowercase).collect()
}

/// Whether some client could take content of the media type `text` for a manifest or an index. Compares as
/// [`essence`] does, and takes every version and suffix of the formats that it knows.
pub fn names_manifest(text: &str) -> bool {
    const BEGINNINGS: [&str; 6] = [
        "application/vnd.oci.image.index",
        "application/vnd.oci.image.manifest",
        "application/vnd.oci.artifact.manifest",
        "application/vnd.oci.descriptor",
        "application/vnd.docker.distribution.manifest",
        "application/vnd.cncf.oras.artifact.manifest",
    ];
    let essence = essence(text);
    BEGINNINGS.iter().any(|beginning| essence.starts_with(beginning))
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

    #[test]
    fn a_manifest_type_is_recognized_however_it_is_spelled() {
        for text in [
            "application/vnd.oci.image.index.v1+json",
            "Application/vnd.OCI.image.manifest.v1+json",
            " application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8",
            "application/vnd.docker.distribution.manifest.list.v2+json\u{a0}",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "application/vnd.docker.distribution.manifest.v1+json",
            "application/vnd.cncf.oras.artifact.manifest.v1+json",
            "application/vnd.oci.artifact.manifest.v1+json",
        ] {
            assert!(names_manifest(text), "{text:?}");
        }
        for text in ["application/vnd.oci.image.config.v1+json", "application/json", ""] {
            assert!(!names_manifest(text), "{text:?}");
        }
    }
}
