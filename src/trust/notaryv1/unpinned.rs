//! Describes a root that is not pinned: either its root key is new, or the pins name the key by another certificate.
//! Docker creates one root certificate for each repository, all for the same root key.
//!
//! Only describes the refusal. The root remains refused.

use crate::trust::refusal::{Reason, Refusal, UnpinnedRoot};

use super::anchor::Anchor;
use super::role::Role;
use super::root_of_trust::{Pin, Pins};
use super::signed::Signed;
use super::tuf_key::{KeyId, TufKey};

/// How many remembered roots are compared with a refused one.
const MAX_ROOTS: usize = 256;

/// The refusal of root `version`. `signers` has the id and the canonical id of each key that signed it.
pub(super) fn refusal(version: u64, signers: &[(KeyId, KeyId)], same: Option<KeyId>) -> Refusal {
    let ids: Vec<String> = signers
        .iter()
        .map(|(id, canonical)| format!("{canonical} (its certificate: {id})"))
        .collect();
    let because = format!(
        "root {version} is signed by the root key {}, and `root_keys` names neither the key nor its certificate",
        ids.join(", ")
    );
    let root = UnpinnedRoot {
        canonical_ids: signers.iter().map(|(_, canonical)| canonical.to_string()).collect(),
        same_key: None,
    };
    let refusal =
        Refusal { unpinned: Some(Box::new(root)), ..Refusal::new(Reason::RootNotPinned, because) };
    match same {
        Some(canonical) => with_same_key(refusal, &canonical.to_string()),
        None => refusal,
    }
}

fn with_same_key(refusal: Refusal, canonical: &str) -> Refusal {
    let Some(root) = refusal.unpinned else { return refusal };
    let because =
        format!("same root key, different certificate: pin {canonical} ({})", refusal.because);
    let root = UnpinnedRoot { same_key: Some(canonical.to_owned()), ..*root };
    Refusal { because, unpinned: Some(Box::new(root)), ..refusal }
}

impl Anchor {
    /// Adds to `refusal` that a pin names the same root key by the certificate of another repository. A pinned certificate
    /// id is only a hash, so the key is found in the roots that this anchor remembers.
    pub(super) async fn recognize_root(&self, refusal: Refusal) -> Refusal {
        let unrecognized = |root: &UnpinnedRoot| root.same_key.is_none();
        let Some(root) = refusal.unpinned.clone().filter(|root| unrecognized(root)) else {
            return refusal;
        };
        let pins = self.config.pins.clone();
        let found = self.state.in_roots(MAX_ROOTS, move |bytes| {
            let keys = pinned_keys(&bytes, &pins).map(|id| id.to_string());
            let mut keys = keys.filter(|id| root.canonical_ids.contains(id));
            keys.next()
        });
        match found.await {
            Ok(Some(canonical)) => with_same_key(refusal, &canonical),
            // Without the addition, the refusal is less helpful but still correct.
            Ok(None) | Err(_) => refusal,
        }
    }
}

/// The canonical ids of the keys in `root` that a pin names by their certificate. A certificate's id is its hash, so that
/// it cannot name another key.
fn pinned_keys<'a>(root: &[u8], pins: &'a Pins) -> impl Iterator<Item = KeyId> + use<'a> {
    let pins: &[Pin] = match pins {
        Pins::FirstUse => &[],
        Pins::Keys(pins) => pins,
    };
    let root = Signed::parse(Role::Root, root)
        .and_then(|signed| signed.verify_by_itself(|_| Ok(()), |_| true, |refusal, _| refusal));
    let keys = root.map(|root| root.into_metadata().root.keys).unwrap_or_default();
    keys.into_iter().filter_map(|(id, key)| match key {
        TufKey::Certified(certificates) if pins.contains(&Pin::Id(id)) => {
            Some(certificates.canonical_id())
        }
        TufKey::Certified(_) | TufKey::Plain(_) | TufKey::Unusable => None,
    })
}
