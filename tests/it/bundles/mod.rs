//! Gates that are served from bundles.

#![expect(clippy::unwrap_used, reason = "shared code is not in the body of a test")]

mod again;
mod attacks;
mod hostile;
mod served;
mod wrong;

use std::path::PathBuf;

use crate::carried::Carried;
use crate::fake_registry::REGISTRY;
use crate::whole_gate::{Answer, Setup, World};

/// Checks that no bundle contains the image: an answer about the registry, not about signatures.
#[track_caller]
fn is_unknown(answer: &Answer) {
    assert_eq!(answer.denied(), (404, String::new(), String::new()));
    assert!(String::from_utf8_lossy(&answer.body).contains("MANIFEST_UNKNOWN"), "{answer:?}");
}

/// A gate whose images need a signature by a key, and whose upstream is a folder of bundles; `url`: also the registry.
struct Site {
    world: World,
}

impl Site {
    async fn new(url: bool) -> Self {
        let tables = format!(
            "[[anchor]]\nname = \"ci\"\nscheme = \"cosign\"\nkeys = [\"mine.pub\"]\n\
             [[rule]]\nimages = [\"{REGISTRY}/**\"]\nrequire = [\"ci\"]\n"
        );
        let setup = Setup::new(tables).file("mine.pub", crate::attached::MINE.pem());
        let setup = Setup { bundles: Some(url), ..setup };
        Self { world: World::of(setup).await }
    }

    /// A gate whose images need a signed name, and that has only bundles.
    async fn of_notary() -> Self {
        let tables = format!(
            "[[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nroot_keys = [\"PIN\"]\n\
             refresh = \"5m\"\n\
             [[rule]]\nimages = [\"{REGISTRY}/**\"]\nrequire = [\"team\"]\n"
        );
        let setup = Setup { bundles: Some(false), ..Setup::new(tables) };
        Self { world: World::of(setup).await }
    }

    /// Pushes an image to the registry that is not yet in a bundle.
    fn push_signed(&self, tag: &str, text: &str) -> Vec<u8> {
        let manifest = self.world.push(tag, text);
        let layer = crate::attached::layer(&manifest, &crate::attached::MINE);
        let registry = &self.world.registry;
        crate::attached::put_sig(registry, &crate::whole_gate::app(), &manifest, &[layer]);
        manifest
    }

    /// What a bundle of the registry contains now.
    fn carried(&self) -> Carried {
        Carried::of(self.world.registry.registry(), &self.world.notary.published())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.incoming().join(name)
    }

    /// Writes what the registry has now as a bundle.
    fn carry(&self, name: &str) {
        self.carried().write(&self.path(name));
    }
}
