//! Images that are signed with notation, and attacks on them.

use crate::oci::Repository;
use crate::trust::Reason;

use super::super::notation::{Signer, put_signature};
use super::{Exhibition, SetUpError, Topic};

const TOPIC: Topic = Topic::Notation;

impl Exhibition {
    pub(super) fn notation(&mut self) -> Result<(), SetUpError> {
        let repository: Repository = "notation/app".parse()?;
        let v1 = self.push(&repository, "v1")?;
        let envelope = self.notation.sign(&v1, self.now)?;
        put_signature(&self.registry, &repository, &v1, envelope.clone());
        self.admitted(
            TOPIC,
            "notation/app:v1",
            "signed with a certificate of the trusted authority",
            &v1,
        );

        let copied: Repository = "notation/copied".parse()?;
        let other = self.push(&copied, "v1")?;
        put_signature(&self.registry, &copied, &other, envelope);
        self.denied(
            TOPIC,
            "notation/copied:v1",
            "has only the signature of another image",
            Reason::NoTrustData,
        );

        let forged: Repository = "notation/forged".parse()?;
        let other = self.push(&forged, "v1")?;
        let stranger = Signer::new("Mallory's root", self.now)?;
        put_signature(&self.registry, &forged, &other, stranger.sign(&other, self.now)?);
        self.denied(
            TOPIC,
            "notation/forged:v1",
            "signed with a certificate of another authority",
            Reason::SignatureInvalid,
        );
        Ok(())
    }
}
