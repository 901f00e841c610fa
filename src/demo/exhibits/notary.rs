//! Images that are signed with Docker Content Trust, and attacks on them.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::oci::{MediaType, Repository, Tag};
use crate::trust::Reason;
use crate::trust::notaryv1::Gun;

use super::super::image::Pushed;
use super::super::publisher::{Signed, Statement};
use super::{Exhibition, REGISTRY, SetUpError, Topic};

const TOPIC: Topic = Topic::NotaryV1;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Exhibition {
    pub(super) fn notary_v1(&mut self) -> Result<(), SetUpError> {
        self.signed_by_a_person()?;
        self.push(&"notary/unsigned".parse()?, "v1")?;
        self.denied(
            TOPIC,
            "notary/unsigned:v1",
            "nobody signed this repository",
            Reason::NoTrustData,
        );
        self.with_expired_trust_data()?;
        self.with_other_bytes()
    }

    fn signed_by_a_person(&mut self) -> Result<(), SetUpError> {
        let repository: Repository = "notary/app".parse()?;
        let v1 = self.push(&repository, "v1")?;
        let v2 = self.push(&repository, "v2")?;
        self.push(&repository, "edge")?;
        let alice = [signed("v1", &v1)?, signed("v2", &v2)?];
        self.publish(&repository, &[], &[("alice", &alice)], self.now)?;
        // Somebody who can write to the registry moves a signed tag to an image of their own.
        let evil = self.push_printing(&repository, "v2", "All your coins are mine.\n")?;

        self.admitted(TOPIC, "notary/app:v1", "signed by alice", &v1);
        let about = "the tag was moved after signing: the signed image is served";
        self.admitted(TOPIC, "notary/app:v2", about, &v2);
        let moved = format!("notary/app@{}", evil.digest);
        self.denied(TOPIC, moved, "the image that v2 was moved to", Reason::DigestNotSigned);
        self.denied(TOPIC, "notary/app:edge", "nobody signed this tag", Reason::TagNotSigned);
        Ok(())
    }

    fn with_expired_trust_data(&mut self) -> Result<(), SetUpError> {
        let repository: Repository = "notary/expired".parse()?;
        let v1 = self.push(&repository, "v1")?;
        let a_month_ago = Timestamp::from_unix(self.now.unix() - 30 * 24 * 60 * 60);
        self.publish(&repository, &[signed("v1", &v1)?], &[], a_month_ago)?;
        self.denied(
            TOPIC,
            "notary/expired:v1",
            "signed, but the trust data has expired",
            Reason::Expired,
        );
        Ok(())
    }

    fn with_other_bytes(&mut self) -> Result<(), SetUpError> {
        let repository: Repository = "notary/tampered".parse()?;
        let v1 = self.push(&repository, "v1")?;
        self.publish(&repository, &[signed("v1", &v1)?], &[], self.now)?;
        let mut other = v1.bytes;
        other.push(b' ');
        let media_type = MediaType::OciIndex.as_str();
        self.registry.put_manifest_as(&repository, v1.digest, media_type, other);
        self.denied(
            TOPIC,
            "notary/tampered:v1",
            "signed, but the registry returns other bytes",
            Reason::ContentMismatch,
        );
        Ok(())
    }

    fn publish(
        &self,
        repository: &Repository,
        targets: &[Signed],
        signers: &[(&str, &[Signed])],
        now: Timestamp,
    ) -> Result<(), SetUpError> {
        let gun: Gun = format!("{REGISTRY}/{repository}").parse()?;
        // As long as a Notary server's.
        let timestamp_lasts = 14 * DAY;
        let statement = Statement { gun: &gun, targets, signers, now, timestamp_lasts };
        let files = self.publisher.publish(&statement)?;
        self.notary.publish(gun, files);
        Ok(())
    }
}

fn signed(tag: &str, pushed: &Pushed) -> Result<Signed, SetUpError> {
    let tag: Tag = tag.parse()?;
    Ok((tag, pushed.digest, pushed.bytes.len()))
}
