//! Checks that the trusted root of an anchor fits its signers. Reports problems of a configuration; verifies no signature.

use crate::toml_reader::Section;

use super::config::{Signers, Tlog};
use super::roots::{Roots, certifies_everyone};

/// Reports what the trusted root cannot do for these signers.
pub(super) fn fits(section: &Section<'_>, signers: &Signers, tlog: Tlog, roots: &Roots) {
    if tlog == Tlog::Require && !roots.has_logs() {
        section.wrong("trusted_root", "it names no transparency log (`tlogs`) to require");
    }
    match signers {
        Signers::Keys(_) => {}
        Signers::Keyless { identity, .. } => {
            if roots.certifies_everyone()
                && let Err(message) = identity.has_fixed_owner()
            {
                section.wrong("identity", format!("\"{identity}\": {message}"));
            }
            if !roots.has_authorities() {
                section.wrong(
                    "trusted_root",
                    "keyless signatures need `certificateAuthorities` and `ctlogs` in it; for \
                     certificates of a PKI of your own write `certificate_chain`",
                );
            }
            if !roots.has_logs() && !roots.has_timestamp_authorities() {
                section.wrong(
                    "trusted_root",
                    "it names no log and no timestamp authority, so no time of signing can be \
                     proven, and a keyless certificate is valid for minutes",
                );
            }
        }
        Signers::Pki { chain, identity, issuer } => {
            if !certifies_everyone(chain.iter().map(AsRef::as_ref)) {
                return;
            }
            if let Err(message) = identity.has_fixed_owner() {
                section.wrong("identity", format!("\"{identity}\": {message}"));
            }
            if issuer.is_none() {
                section.wrong(
                    "certificate_chain",
                    "it contains an authority of the public Sigstore, which is not a private PKI: add `issuer`, \
                     such as \"https://token.actions.githubusercontent.com\", and remove \
                     `certificate_chain`",
                );
            }
        }
    }
}
