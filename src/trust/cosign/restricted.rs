//! How `revoked` applies to signatures of cosign: which entries an anchor may have, and which parts of a signature they
//! match. Pure.

use crate::toml_reader::Section;
use crate::trust::restrictions::{REVOKED, Restrictions, revoked_flaw};
use crate::trust::revoked::RevokedKind;
use crate::trust::signature::Flaw;

use super::config::{Signers, Tlog};
use super::flaw::flaw;
use super::key::Key;
use super::signed::Signed;

/// Reads `not_after`, `max_age` and `revoked`; reports what cannot be revoked for these signers.
pub(super) fn read(
    section: &Section<'_>,
    signers: Option<&Signers>,
    tlog: Option<Tlog>,
) -> Restrictions {
    section
        .refuse("max_timestamp_life", "it bounds the timestamp of a Notary server: notaryv1 only");
    let restrictions = Restrictions::read(section, |kind| match (kind, signers) {
        (_, None) | (RevokedKind::Key, _) => Ok(()),
        (RevokedKind::Certificate | RevokedKind::Serial, Some(Signers::Keys(_))) => Err(
            "signatures with `keys` have no certificate: write \"key:…\", or take the key out of `keys`",
        ),
        (
            RevokedKind::Certificate | RevokedKind::Serial,
            Some(Signers::Keyless { .. } | Signers::Pki { .. }),
        ) => Ok(()),
        (RevokedKind::LogEntry, Some(Signers::Keyless { .. })) if tlog == Some(Tlog::Require) => {
            Ok(())
        }
        (RevokedKind::LogEntry, Some(Signers::Keyless { .. })) => Err(
            "with `tlog = \"ignore\"` a signature counts without its entry: revoke the certificate",
        ),
        (RevokedKind::LogEntry, Some(Signers::Keys(_) | Signers::Pki { .. })) => {
            Err("anybody can log this signature once more: revoke the key or the certificate")
        }
    });
    match signers {
        Some(Signers::Keys(keys)) => {
            let revoked = |key: &Key| restrictions.revoked.key(key.spki()).is_some();
            if !keys.is_empty() && keys.iter().all(revoked) {
                section.wrong("revoked", "all of `keys` are revoked, so no signature counts");
            }
        }
        Some(Signers::Pki { chain, .. }) => {
            if chain.iter().any(|one| restrictions.revoked.certificate(one).is_some()) {
                section.wrong(
                    "revoked",
                    "it names a certificate of `certificate_chain`: take it out of that file instead",
                );
            }
        }
        Some(Signers::Keyless { .. }) | None => {}
    }
    restrictions
}

/// Refuses a key that the anchor revokes.
pub(super) fn key(restrictions: &Restrictions, key: &Key) -> Result<(), Flaw> {
    match restrictions.revoked.key(key.spki()) {
        Some(revoked) => Err(revoked_flaw("the key that signed", revoked)),
        None => Ok(()),
    }
}

/// Refuses a signature one of whose certificates or log entries the anchor revokes.
pub(super) fn certified(restrictions: &Restrictions, signed: &Signed) -> Result<(), Flaw> {
    let revoked = &restrictions.revoked;
    if revoked.is_empty() {
        return Ok(());
    }
    if let Some(found) = signed.certificates()?.iter().find_map(|der| revoked.certificate(der)) {
        return Err(revoked_flaw("a certificate of the signature", found));
    }
    // Unreadable entries are refused where an entry is required.
    for entry in signed.entries().unwrap_or_default() {
        let (log, body) = (entry.log_id.key_id.as_bytes(), entry.canonicalized_body.as_bytes());
        let shard = entry.inclusion_proof.as_ref().map(|proof| proof.log_index);
        let mut indices = std::iter::once(entry.log_index).chain(shard);
        if let Some(found) = indices.find_map(|index| revoked.entry(log, index.get(), body)) {
            return Err(revoked_flaw("the log entry of the signature", found));
        }
        if revoked.names_indices() && entry.inclusion_promise.is_none() {
            let found = "`revoked` names log entries by index, and the log has not signed the index of this \
                         entry";
            let wanted =
                "an entry with the log's promise (SET); or write the UUIDs of the revoked entries";
            return Err(flaw(REVOKED, found, wanted));
        }
    }
    Ok(())
}
