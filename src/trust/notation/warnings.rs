//! Warnings of `check` about valid anchors that accept less than their keys suggest. Pure.

use super::config::Config;
use super::statement::Statement;
use super::trust_store::StoreKind;

/// The kinds of roots for signing certificates.
const SIGNERS: [StoreKind; 2] = [StoreKind::Ca, StoreKind::SigningAuthority];

/// Whether no signature that `statement` accepts can have a proven time.
pub(super) fn never_proves_a_time(statement: &Statement) -> bool {
    statement.store.of(StoreKind::SigningAuthority).is_empty()
        && statement.store.of(StoreKind::Tsa).is_empty()
}

impl Config {
    /// Effects that the operator may not expect, one sentence each.
    pub(in crate::trust) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.restrictions.max_age.is_some() && self.statements.iter().any(is_without_tsa) {
            warnings.push(
                "`max_age` leaves out every signature of a `ca:` store, because they have no proven time \
                 without `tsa`"
                    .to_owned(),
            );
        }
        for statement in &self.statements {
            let roots = SIGNERS.into_iter().flat_map(|kind| statement.store.of(kind));
            let revoked = |der: &[u8]| self.restrictions.revoked.certificate(der).is_some();
            let named: Vec<&str> =
                roots.clone().filter(|root| revoked(&root.der)).map(|root| root.name()).collect();
            let warning = match named.as_slice() {
                [] => continue,
                named if named.len() == roots.count() => {
                    "`revoked` names its only root, so no signature counts: remove the root from the trust \
                     store, or the anchor"
                        .to_owned()
                }
                named => format!(
                    "`revoked` names the root {:?}: remove it from the trust store instead",
                    named.join(", ")
                ),
            };
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        warnings
    }
}

/// Whether it accepts signatures whose only proof of time would be a timestamp, and trusts no authority for that.
fn is_without_tsa(statement: &Statement) -> bool {
    !statement.store.of(StoreKind::Ca).is_empty() && statement.store.of(StoreKind::Tsa).is_empty()
}
