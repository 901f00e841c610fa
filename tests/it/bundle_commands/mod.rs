//! Carrying images to a site without a network: `bundle create`, `verify`, `import`, `inventory`.

mod attached;
mod create;
mod import;
mod judge;
mod program;
mod receiver;
mod revocation;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use countersign::app::{App, Keeping};
use countersign::bundle::Bundle;
use countersign::commands::bundle::create::{CreateError, Created, Order, create};
use countersign::oci::ImageRef;

use crate::attached::{MINE, layer, put_sig};
use crate::fake_registry::REGISTRY;
use crate::folder::Folder;
use crate::whole_gate::{APP, Setup, World, app};

const TABLES: &str = "[[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"NOTARY\"\n\
    root_keys = [\"PIN\"]\n\
    [[anchor]]\nname = \"ci\"\nscheme = \"cosign\"\nkeys = [\"mine.pub\"]\n";
const RULE: &str = "[[rule]]\nimages = [\"registry.example/**\"]\nany_of = [\"team\", \"ci\"]\n";

/// The exporting side: a registry, a Notary server and a gate, and a folder for bundles.
struct Exporter {
    world: World,
    folder: Folder,
}

impl Exporter {
    async fn new() -> Self {
        Self::with(TABLES).await
    }

    async fn with(tables: &str) -> Self {
        let rule = RULE.replace("registry.example", REGISTRY);
        Self::of(Setup::new(format!("{tables}{rule}")).file("mine.pub", MINE.pem())).await
    }

    async fn of(setup: Setup) -> Self {
        Self { world: World::of(setup).await, folder: Folder::new("carried") }
    }

    /// Pushes an image that only cosign signs.
    fn push_cosigned(&self, tag: &str, text: &str) -> Vec<u8> {
        let manifest = self.world.push(tag, text);
        put_sig(&self.world.registry, &app(), &manifest, &[layer(&manifest, &MINE)]);
        manifest
    }

    /// The path of the bundle `name`.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The order of a bundle of these tags or digests.
    fn order(&self, name: &str, references: &[&str]) -> Order {
        Order {
            output: self.path(name),
            images: references.iter().map(|reference| image(reference)).collect(),
            fold: false,
            platforms: Vec::new(),
            have: BTreeSet::new(),
            volume_size: None,
            key: None,
            valid_for: None,
            docker_compat: false,
        }
    }

    async fn create(&self, order: &Order) -> Result<Created, CreateError> {
        let config = self.world.config();
        let app = App::new(&config, self.world.clock.clone(), Keeping::OnlyRead).unwrap();
        create(&app.gate(), &config, order, &|_| ()).await
    }

    /// Writes a bundle of these images, all of which must be admitted.
    async fn bundle(&self, name: &str, references: &[&str]) -> Bundle {
        let created = self.create(&self.order(name, references)).await.unwrap();
        assert_eq!(created.exit_status(), 0, "{created}");
        open(&self.path(name))
    }
}

fn open(path: &Path) -> Bundle {
    Bundle::open(path).unwrap_or_else(|error| panic!("{error}"))
}

fn image(reference: &str) -> ImageRef {
    let before = if reference.contains(':') { '@' } else { ':' };
    format!("{REGISTRY}/{APP}{before}{reference}").parse().unwrap()
}
