//! The media types of manifests, and the `Accept` header for upstreams.

use std::fmt;

use oci_spec::image::MediaType as Spec;

/// The media type of a manifest: the four that registries serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaType {
    DockerImage,
    DockerIndex,
    OciImage,
    OciIndex,
}

impl MediaType {
    /// All manifest types that we can judge, for `Accept`: some registries answer 404 for an OCI manifest if the
    /// request does not accept its type.
    pub const ACCEPT: &'static str = "application/vnd.oci.image.index.v1+json, \
         application/vnd.oci.image.manifest.v1+json, \
         application/vnd.docker.distribution.manifest.list.v2+json, \
         application/vnd.docker.distribution.manifest.v2+json";

    /// Parses a `Content-Type` header or a `mediaType` member. Ignores parameters. Returns `None` for any other
    /// type.
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
/// Use this only to decide whether content could be dangerous. To permit content, compare the exact text.
pub fn essence(text: &str) -> String {
    let essence = text.split([';', ',']).next().unwrap_or_default();
    let blank = |c: char| c.is_whitespace() || c.is_control();
    essence.chars().filter(|c| !blank(*c)).flat_map(char::to_lowercase).collect()
}

/// Whether a client could read content of the media type `text` as a manifest or an index. Compares the
/// [`essence`], and matches every version and suffix of the known formats.
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
    fn each_type_parses_back_to_itself() {
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
    fn a_manifest_type_is_recognized_in_every_spelling() {
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
