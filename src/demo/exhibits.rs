//! What the demo shows: images of every kind, and what the gate must say of each.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::oci::name::InvalidName;
use crate::oci::{Digest, MediaType, Repository, Tag};
use crate::trust::Reason;
use crate::trust::notaryv1::{Gun, KeyId};

use super::image::{self, Pushed};
use super::notary::MemoryNotary;
use super::publisher::{Publisher, Signed, SigningError, Statement};
use super::registry::MemoryRegistry;

/// The name that the demo's registry has, and its images bear.
pub(super) const REGISTRY: &str = "demo.example";

/// How long the timestamps that Notary makes are good for.
const TIMESTAMP_LASTS: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// One image, by tag or digest, and what the gate must say of it.
#[derive(Clone, Debug)]
pub(super) struct Exhibit {
    /// `repository:tag` or `repository@digest`.
    pub(super) image: String,
    pub(super) about: &'static str,
    pub(super) expected: Expected,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// This digest is served.
    Admitted(Digest),
    Denied(Reason),
}

/// The registry and the Notary server of the demo, filled.
pub(super) struct Exhibition {
    pub(super) registry: Arc<MemoryRegistry>,
    pub(super) notary: Arc<MemoryNotary>,
    pub(super) root_key_id: KeyId,
    pub(super) exhibits: Vec<Exhibit>,
    publisher: Publisher,
    now: Timestamp,
}

/// Why the demo cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetUpError {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl Exhibition {
    /// Makes keys and images, signs what is to be signed, and breaks what is to be broken.
    pub(super) fn set_up(now: Timestamp) -> Result<Self, SetUpError> {
        let publisher = Publisher::new()?;
        let mut exhibition = Self {
            registry: Arc::new(MemoryRegistry::new()),
            notary: Arc::new(MemoryNotary::new()),
            root_key_id: publisher.root_key_id(),
            exhibits: Vec::new(),
            publisher,
            now,
        };
        exhibition.signed_by_the_repository()?;
        exhibition.signed_by_people()?;
        exhibition.signed_for_many_platforms()?;
        exhibition.without_trust_data()?;
        exhibition.with_expired_trust_data()?;
        exhibition.tampered_with()?;
        exhibition.by_rule()?;
        Ok(exhibition)
    }

    fn signed_by_the_repository(&mut self) -> Result<(), SetUpError> {
        let repository: Repository = "hello".parse()?;
        let v1 = self.push(&repository, "v1", "Hello from a signed image.\n")?;
        self.sign(&repository, &[signed("v1", &v1)?], &[])?;
        self.admitted("hello:v1", "signed with the repository's own key", &v1);
        Ok(())
    }

    fn signed_by_people(&mut self) -> Result<(), SetUpError> {
        let repository: Repository = "shop/cart".parse()?;
        let v1 = self.push(&repository, "v1", "The shopping cart, as alice released it.\n")?;
        let v2 = self.push(&repository, "v2", "The shopping cart, second release.\n")?;
        self.push(&repository, "edge", "The shopping cart, as it was built last night.\n")?;
        let alice = [signed("v1", &v1)?, signed("v2", &v2)?];
        self.sign(&repository, &[], &[("alice", &alice)])?;
        // Whoever can write to the registry moves a signed tag to an image of their own.
        let evil = self.push(&repository, "v2", "The shopping cart, and a coin miner.\n")?;

        self.admitted("shop/cart:v1", "signed by alice, through targets/releases", &v1);
        self.admitted("shop/cart:v2", "moved after it was signed: the signed one arrives", &v2);
        let moved = format!("shop/cart@{}", evil.digest);
        self.denied(moved, "the image that v2 was moved to", Reason::DigestNotSigned);
        self.denied(
            "shop/cart:edge",
            "a tag that nobody signed, beside signed ones",
            Reason::TagNotSigned,
        );
        Ok(())
    }

    fn signed_for_many_platforms(&mut self) -> Result<(), SetUpError> {
        let repository: Repository = "multi".parse()?;
        let [amd64, arm64] = ["amd64", "arm64"].map(|architecture| {
            let text = format!("Hello from a signed index, on {architecture}.\n");
            image::push(&self.registry, &repository, architecture, &text)
        });
        let images = [("amd64", &amd64), ("arm64", &arm64)];
        let index = image::push_index(&self.registry, &repository, &images);
        self.registry.put_tag(&repository, "v1".parse()?, index.digest);
        self.sign(&repository, &[signed("v1", &index)?], &[])?;
        self.admitted("multi:v1", "a signed index of two platforms", &index);
        let child = format!("multi@{}", arm64.digest);
        self.admitted(child, "one of them, by digest: the index lists it", &arm64);
        Ok(())
    }

    fn without_trust_data(&mut self) -> Result<(), SetUpError> {
        self.push(&"unsigned".parse()?, "latest", "Nobody vouches for me.\n")?;
        self.denied("unsigned:latest", "a repository that nobody ever signed", Reason::NoTrustData);
        Ok(())
    }

    fn with_expired_trust_data(&mut self) -> Result<(), SetUpError> {
        let repository: Repository = "forgotten".parse()?;
        let v1 = self.push(&repository, "v1", "Signed once, and then forgotten.\n")?;
        let gun = gun(&repository)?;
        let a_month_ago = Timestamp::from_unix(self.now.unix() - 30 * 24 * 60 * 60);
        let files = self.publisher.publish(&Statement {
            gun: &gun,
            targets: &[signed("v1", &v1)?],
            signers: &[],
            now: a_month_ago,
            timestamp_lasts: TIMESTAMP_LASTS,
        })?;
        self.notary.publish(gun, files);
        self.denied("forgotten:v1", "signed, but the trust data ran out", Reason::Expired);
        Ok(())
    }

    fn tampered_with(&mut self) -> Result<(), SetUpError> {
        let repository: Repository = "tampered".parse()?;
        let v1 = self.push(&repository, "v1", "The image that was signed.\n")?;
        self.sign(&repository, &[signed("v1", &v1)?], &[])?;
        let mut other = v1.bytes;
        other.push(b' ');
        let media_type = MediaType::OciImage.as_str();
        self.registry.put_manifest_as(&repository, v1.digest, media_type, other);
        self.denied(
            "tampered:v1",
            "signed, but the registry gives other bytes for it",
            Reason::ContentMismatch,
        );
        Ok(())
    }

    fn by_rule(&mut self) -> Result<(), SetUpError> {
        let try_out = self.push(&"sandbox/try".parse()?, "latest", "Try me.\n")?;
        self.admitted("sandbox/try:latest", "not signed, but a rule lets it pass", &try_out);
        self.push(&"retired/app".parse()?, "v1", "I had my time.\n")?;
        self.denied("retired/app:v1", "a rule denies it", Reason::DeniedByRule);
        Ok(())
    }

    fn push(&self, repository: &Repository, tag: &str, text: &str) -> Result<Pushed, SetUpError> {
        let pushed = image::push(&self.registry, repository, architecture(), text);
        self.registry.put_tag(repository, tag.parse()?, pushed.digest);
        Ok(pushed)
    }

    fn sign(
        &self,
        repository: &Repository,
        targets: &[Signed],
        signers: &[(&str, &[Signed])],
    ) -> Result<(), SetUpError> {
        let gun = gun(repository)?;
        let (now, timestamp_lasts) = (self.now, TIMESTAMP_LASTS);
        let statement = Statement { gun: &gun, targets, signers, now, timestamp_lasts };
        let files = self.publisher.publish(&statement)?;
        self.notary.publish(gun, files);
        Ok(())
    }

    fn admitted(&mut self, image: impl Into<String>, about: &'static str, pushed: &Pushed) {
        let expected = Expected::Admitted(pushed.digest);
        self.exhibits.push(Exhibit { image: image.into(), about, expected });
    }

    fn denied(&mut self, image: impl Into<String>, about: &'static str, reason: Reason) {
        let expected = Expected::Denied(reason);
        self.exhibits.push(Exhibit { image: image.into(), about, expected });
    }
}

fn gun(repository: &Repository) -> Result<Gun, SetUpError> {
    Ok(format!("{REGISTRY}/{repository}").parse()?)
}

fn signed(tag: &str, pushed: &Pushed) -> Result<Signed, SetUpError> {
    let tag: Tag = tag.parse()?;
    Ok((tag, pushed.digest, pushed.length))
}

/// This machine's architecture by its name in images, so that docker here takes them for its own.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
