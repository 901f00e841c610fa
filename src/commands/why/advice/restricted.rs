//! Advice for a valid signature that a key of the anchor excludes.

use crate::trust::{Anchor, Restriction, findings};

use super::Case;

impl Case<'_> {
    /// Names the key, who can satisfy it, and who can change it.
    pub(super) fn restricted(&self, key: Restriction, anchor: Option<&Anchor>) -> String {
        let name = anchor.map_or("", |anchor| &**anchor.name());
        match key {
            Restriction::MaxTimestampLife => format!(
                "operator of the Notary server{}: issue timestamps for a shorter time (Notary's own are for 14 \
                 days); operator of the gate: if the long time is intended, raise `max_timestamp_life` of the \
                 anchor {name}",
                match anchor {
                    Some(Anchor::NotaryV1(anchor)) => format!(" {}", anchor.config().place()),
                    Some(Anchor::Content(_)) | None => String::new(),
                }
            ),
            Restriction::MaxAge if let Some(Anchor::NotaryV1(_)) = anchor => format!(
                "operator of the gate: carry a newer bundle in, signed by an exporter of the anchor {name}, or raise \
                 its `max_age`"
            ),
            Restriction::MaxAge => format!(
                "publisher: sign the image again ({}), with a time that a log or a timestamp authority proves{}; \
                 operator of the gate: if older signatures may count, raise `max_age` of the anchor {name}",
                self.command(anchor),
                match anchor {
                    Some(Anchor::Content(findings::Anchor::Notation(..))) => "",
                    Some(Anchor::Content(findings::Anchor::Cosign(_)) | Anchor::NotaryV1(_))
                    | None => {
                        "; with a cosign key or a long-lived certificate, add `-a timestamp=$(date +%s)`"
                    }
                }
            ),
            Restriction::NotAfter => format!(
                "publisher: sign the image with the key or identity that replaces the one of the anchor {name}; \
                 operator of the gate: name the new one in an anchor of its own, or, if this signature should \
                 count, set `not_after` of the anchor {name} to a later time"
            ),
            Restriction::Revoked => match anchor {
                Some(Anchor::NotaryV1(anchor)) => format!(
                    "owner of {}: replace the key that `revoked` of the anchor {name} names, and publish again; \
                     operator of the gate: if the key is still good, remove it from `revoked`",
                    self.gun(anchor)
                ),
                Some(Anchor::Content(_)) | None => format!(
                    "publisher: sign the image with a key or certificate that `revoked` of the anchor {name} does \
                     not name; operator of the gate: if the named one is still good, remove it from `revoked`"
                ),
            },
            Restriction::SignedIdentity => format!(
                "publisher: sign the image under the name {} ({}); operator of the gate: if signatures made \
                 for other repositories may count, set `signed_identity = \"digest\"` in the anchor {name}",
                self.image.repository,
                self.command(anchor)
            ),
        }
    }
}
