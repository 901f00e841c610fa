//! Images that are signed with cosign, with a key and keyless, and attacks on them.

use serde_json::json;

use crate::clock::Timestamp;
use crate::oci::Repository;
use crate::trust::Reason;

use super::super::cosign::Signature;
use super::super::image::Pushed;
use super::super::key::Key;
use super::{Exhibition, SetUpError, Topic};

impl Exhibition {
    pub(super) fn cosign_with_a_key(&mut self) -> Result<(), SetUpError> {
        let topic = Topic::CosignKey;
        let repository: Repository = "cosign/app".parse()?;
        let v1 = self.push(&repository, "v1")?;
        let signature = Signature::new(&repository, &v1.digest, &self.cosign)?;
        signature.put(&self.registry, &repository, &v1.digest)?;
        self.admitted(topic, "cosign/app:v1", "signed with the team's key", &v1);

        self.push(&"cosign/unsigned".parse()?, "v1")?;
        self.denied(topic, "cosign/unsigned:v1", "nobody signed this image", Reason::NoTrustData);

        let copied: Repository = "cosign/copied".parse()?;
        let other = self.push(&copied, "v1")?;
        signature.put(&self.registry, &copied, &other.digest)?;
        self.denied(
            topic,
            "cosign/copied:v1",
            "has only the signature of another image",
            Reason::NoTrustData,
        );

        let forged: Repository = "cosign/forged".parse()?;
        let other = self.push(&forged, "v1")?;
        let signature = Signature::new(&forged, &other.digest, &Key::new()?)?;
        signature.put(&self.registry, &forged, &other.digest)?;
        self.denied(topic, "cosign/forged:v1", "signed with another key", Reason::SignatureInvalid);
        Ok(())
    }

    pub(super) fn cosign_keyless(&mut self) -> Result<(), SetUpError> {
        let topic = Topic::CosignKeyless;
        let v1 = self.push_keyless("keyless/app", "alice@acme.example")?;
        self.admitted(topic, "keyless/app:v1", "signed by alice@acme.example", &v1);
        self.push_keyless("keyless/mallory", "mallory@evil.example")?;
        self.denied(
            topic,
            "keyless/mallory:v1",
            "signed by mallory@evil.example",
            Reason::SignatureInvalid,
        );
        self.push_backdated()?;
        self.denied(
            topic,
            "keyless/backdated:v1",
            "signed with an expired certificate: the time in the log was changed",
            Reason::SignatureInvalid,
        );
        Ok(())
    }

    /// Pushes an image that this person signs.
    fn push_keyless(&self, repository: &str, mail: &str) -> Result<Pushed, SetUpError> {
        let repository: Repository = repository.parse()?;
        let image = self.push(&repository, "v1")?;
        let certified = self.sigstore.certify(mail, self.now)?;
        let signature = Signature::new(&repository, &image.digest, &certified.key)?;
        let entry = signature.log(&self.sigstore, &certified, self.now)?;
        let signature = signature.keyless(&self.sigstore, &certified, &entry);
        signature.put(&self.registry, &repository, &image.digest)?;
        Ok(image)
    }

    /// Pushes an image that somebody signs with a certificate of alice that expired long ago. The log records
    /// the present time; they write a time into the entry at which the certificate was valid.
    fn push_backdated(&self) -> Result<(), SetUpError> {
        let repository: Repository = "keyless/backdated".parse()?;
        let image = self.push(&repository, "v1")?;
        let yesterday = Timestamp::from_unix(self.now.unix() - 24 * 60 * 60);
        let certified = self.sigstore.certify("alice@acme.example", yesterday)?;
        let signature = Signature::new(&repository, &image.digest, &certified.key)?;
        let mut entry = signature.log(&self.sigstore, &certified, self.now)?;
        entry["Payload"]["integratedTime"] = json!(yesterday.unix() + 60);
        let signature = signature.keyless(&self.sigstore, &certified, &entry);
        signature.put(&self.registry, &repository, &image.digest)
    }
}
