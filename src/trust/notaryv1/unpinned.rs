//! A root that no pin names: either a root key that is new, or a root key that the pins already name by another
//! certificate. Docker makes one root certificate for each repository, and all of them hold the same root key.
//!
//! Only describes the refusal. A root that is described here stays refused.

use crate::trust::refusal::{Reason, Refusal, UnpinnedRoot};

use super::anchor::Anchor;
use super::role::Role;
use super::root_of_trust::{Pin, Pins};
use super::signed::Signed;
use super::tuf_key::{KeyId, TufKey};

/// How many remembered roots are compared with a refused one.
const MAX_ROOTS: usize = 256;

/// The refusal of root `version`, which `signers` have signed: each key's own id and its canonical id.
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
    /// `refusal`, which says so if a pin names the refused root key by the certificate of another repository that this
    /// anchor remembers. A pin with a certificate's id is a hash and does not show the key; the remembered root does.
    pub(super) async fn recognize_root(&self, refusal: Refusal) -> Refusal {
        let unrecognized = |root: &UnpinnedRoot| root.same_key.is_none();
        let Some(root) = refusal.unpinned.clone().filter(|root| unrecognized(root)) else {
            return refusal;
        };
        let (state, pins) = (self.state.clone(), self.config.pins.clone());
        let found = tokio::task::spawn_blocking(move || {
            state.roots(MAX_ROOTS).find_map(|bytes| {
                let keys = pinned_keys(&bytes, &pins).map(|id| id.to_string());
                let mut keys = keys.filter(|id| root.canonical_ids.contains(id));
                keys.next()
            })
        });
        match found.await {
            Ok(Some(canonical)) => with_same_key(refusal, &canonical),
            // Without it, the refusal is less helpful, and still correct.
            Ok(None) | Err(_) => refusal,
        }
    }
}

/// The canonical ids of the keys in `root` that a pin names by their certificate. The id of a
/// certificate is its hash, so it cannot stand for another key.
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
