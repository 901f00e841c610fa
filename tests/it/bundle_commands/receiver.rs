//! The side that receives a bundle.

use std::path::Path;
use std::time::Duration;

use countersign::app::import::{import, verify};
use countersign::commands::bundle::Verified;
use countersign::commands::bundle::import::Imported;
use countersign::oci::Digest;

use super::{Exporter, RULE, TABLES};
use crate::attached::MINE;
use crate::fake_registry::{Fault, REGISTRY};
use crate::whole_gate::{Setup, World};

/// The receiving side: the same configuration with a store of its own, servers that hold nothing, and the exporter's
/// root key.
pub(super) struct Receiver {
    pub(super) world: World,
}

impl Receiver {
    pub(super) async fn new(exporter: &Exporter) -> Self {
        Self::with(exporter, TABLES, MINE.pem()).await
    }

    pub(super) async fn with(exporter: &Exporter, tables: &str, key: String) -> Self {
        let pin = exporter.world.signer.role("root").keys[0].canonical_id();
        let rule = RULE.replace("registry.example", REGISTRY);
        let tables = format!("{tables}{rule}").replace("PIN", &pin);
        let setup = Setup { now: exporter.world.clock.now().unix(), ..Setup::new(tables) };
        Self::of(setup.file("mine.pub", key)).await
    }

    pub(super) async fn of(setup: Setup) -> Self {
        let mut world = World::of(setup).await;
        world.stop().await;
        let receiver = Self { world };
        receiver.world.registry.hook(|_| Some(Fault::Drop));
        receiver.world.notary.goes_down();
        receiver
    }

    pub(super) async fn verify(&self, path: &Path, warn: Option<Duration>) -> Verified {
        let (config, clock) = (self.world.config(), self.world.clock.clone());
        let verified = verify(&config, clock, path, warn, &|_| ()).await;
        verified.unwrap_or_else(|error| panic!("{error:#}"))
    }

    pub(super) async fn import(&self, path: &Path) -> Imported {
        let (config, clock) = (self.world.config(), self.world.clock.clone());
        let imported = import(&config, clock, path, &|_| ()).await;
        imported.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Checks that no server was asked since the gate stopped.
    pub(super) fn asked_nobody(&self) {
        assert!(self.world.registry.asked().is_empty(), "{:?}", self.world.registry.asked());
        assert!(self.world.notary.asked().is_empty(), "{:?}", self.world.notary.asked());
    }

    pub(super) fn has(&self, content: &[u8]) -> bool {
        let hex = Digest::of(content).hex();
        !self.world.files(&hex).is_empty()
    }
}
