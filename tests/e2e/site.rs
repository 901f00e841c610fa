//! A site: a registry, a Notary server, a signer, and the gate through which clients pull.

use crate::engines::{Engines, engines};
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::notary::{Keys, Notary};
use crate::registry::Registry;
use crate::signer::Signer;
use std::sync::Arc;

/// The anchor keys of most tests, in addition to the pinned root key.
pub(crate) const PROMPT: &str = "refresh = \"1s\"";

pub(crate) struct Site {
    pub(crate) registry: Registry,
    pub(crate) notary: Notary,
    /// The registry's content.
    pub(crate) content: Folder,
    engines: Arc<Engines>,
}

impl Site {
    pub(crate) fn new(keys: Keys) -> Self {
        let content = Folder::new("content");
        let registry = Registry::start(content.path());
        Self { registry, notary: Notary::start(keys), engines: engines(), content }
    }

    pub(crate) fn signer(&self) -> Signer<'_> {
        Signer::new(&self.engines.docker, &self.notary)
    }

    /// The name under which an image is signed and pulled.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.name())
    }

    /// A gate for the registry that pins the signer's root key.
    pub(crate) fn gate(&self, signer: &Signer<'_>, anchor: &str) -> Gate {
        Gate::start(0, "", &self.config(&[&signer.root_key_id()], anchor), Clock::Machine)
    }

    pub(crate) fn config(&self, root_keys: &[&str], anchor: &str) -> String {
        self.config_as(&self.registry.name(), root_keys, anchor)
    }

    /// The same for images whose name differs from the registry's address.
    pub(crate) fn config_as(&self, name: &str, root_keys: &[&str], anchor: &str) -> String {
        format!(
            "[[upstream]]\nregistry = \"{name}\"\nurl = \"{}\"\ndefault = true\n\n\
             [[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"{}\"\nca = \"{}\"\n\
             root_keys = {root_keys:?}\n{anchor}\n\n\
             [[rule]]\nimages = [\"{name}/**\"]\nrequire = [\"team\"]\n",
            self.registry.url(),
            self.notary.url(),
            self.notary.ca().display(),
        )
    }
}

/// A registry without signatures and a gate that allows everything: for tests about bytes instead of trust.
pub(crate) struct OpenSite {
    pub(crate) registry: Registry,
    _content: Folder,
}

impl OpenSite {
    pub(crate) fn new() -> Self {
        let content = Folder::new("content");
        Self { registry: Registry::start(content.path()), _content: content }
    }

    /// A gate for the registry with these keys in `[store]`.
    pub(crate) fn gate(&self, store: &str) -> Gate {
        Gate::start_keeping(0, store, &self.config())
    }

    pub(crate) fn config(&self) -> String {
        let (name, url) = (self.registry.name(), self.registry.url());
        format!(
            "[[upstream]]\nregistry = \"{name}\"\nurl = \"{url}\"\ndefault = true\n\n\
             [[rule]]\nimages = [\"{name}/**\"]\nmode = \"allow\"\nreason = \"the test is about bytes only\"\n"
        )
    }
}
