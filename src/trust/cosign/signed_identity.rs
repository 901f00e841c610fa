//! The key `signed_identity`: whether a signature must have been made for the image's own repository.
//! The default is the digest alone: copies of an image in other repositories are admitted by the same
//! signature. Pure.

use crate::oci::docker_hub;
use crate::oci::{ImageRef, Registry};
use crate::toml_reader::Section;
use crate::trust::signature::Flaw;
use crate::trust::subject::Subject;

use super::claim::Claimed;
use super::flaw::{SIGNED_IDENTITY, flaw};

/// What a signature must name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignedIdentity {
    /// The digest.
    #[default]
    Digest,
    /// The digest, and the repository as users call it: in simple signing by
    /// `critical.identity.docker-reference`, in a statement by the `name` of the subject.
    Repository,
}

impl SignedIdentity {
    pub(super) fn read(section: &Section<'_>) -> Self {
        match section.text("signed_identity").as_deref() {
            None | Some("digest") => Self::Digest,
            Some("repository") => Self::Repository,
            Some(other) => {
                let message = format!("{other:?} is neither \"digest\" nor \"repository\"");
                section.wrong("signed_identity", message);
                Self::Digest
            }
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Repository => "repository",
        }
    }

    /// Checks that the signed content names the repository of `subject`, if it must.
    pub(super) fn check(self, claimed: &Claimed, subject: &Subject) -> Result<(), Flaw> {
        if self == Self::Digest {
            return Ok(());
        }
        let place = subject.repository.to_string();
        let found = match claimed.repository.as_deref() {
            None | Some("") => "the signature names no repository".to_owned(),
            Some(name) => match repository(name) {
                Some(found) if found == place => return Ok(()),
                Some(_) | None => format!("the signature was made for {name:?}"),
            },
        };
        let wanted = format!("a signature made for {place} (`signed_identity = \"repository\"`)");
        Err(flaw(SIGNED_IDENTITY, found, wanted))
    }
}

/// The repository of an image's name, as users call it: without tag and digest.
fn repository(name: &str) -> Option<String> {
    let (host, rest) = name.split_once('/')?;
    let host = if docker_hub::HOSTS.contains(&host) { docker_hub::DOCKER_HUB } else { host };
    host.parse::<Registry>().ok()?;
    let image: ImageRef = format!("{host}/{rest}").parse().ok()?;
    Some(image.repository.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_clients_read_it() {
        for (name, expected) in [
            ("registry.example.com/prod/db", Some("registry.example.com/prod/db")),
            ("registry.example.com:5000/db:v1", Some("registry.example.com:5000/db")),
            ("index.docker.io/library/alpine", Some("docker.io/library/alpine")),
            ("docker.io/alpine", Some("docker.io/library/alpine")),
            ("alpine", None),
            ("pkg:docker/alpine", None),
            ("registry.example.com/prod/../db", None),
        ] {
            assert_eq!(repository(name).as_deref(), expected, "{name}");
        }
    }
}
