//! The bundles that answer instead of, or besides, the servers of a configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::archive::BundleArchive;
use super::file::Bundle;
use super::registry::BundleRegistry;
use super::revocation::BundleRevocation;
use super::set::BundleSet;
use crate::http_client::LocalServer;
use crate::registry_client::{BundleFiles, Config, ConfigError, Metrics, Upstream};
use crate::trust::notaryv1::Archive;

/// Where the gate finds its bundles. Cheap to clone; clones share the open files.
#[derive(Clone, Debug)]
pub struct Bundles(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// The sets of bundles that the configuration names, opened when first used.
    Configured(Arc<Mutex<BTreeMap<BundleFiles, Arc<BundleSet>>>>),
    /// One bundle instead of all servers.
    Only(Arc<BundleSet>),
}

impl Default for Bundles {
    fn default() -> Self {
        Self(Kind::Configured(Arc::default()))
    }
}

impl Bundles {
    /// `bundle` answers for all servers: nothing that is built with it has a network.
    pub fn only(bundle: Arc<Bundle>) -> Self {
        Self(Kind::Only(Arc::new(BundleSet::of(bundle))))
    }

    /// The bundles that `files` names.
    pub fn set(&self, files: &BundleFiles) -> Arc<BundleSet> {
        match &self.0 {
            Kind::Only(set) => set.clone(),
            Kind::Configured(sets) => {
                let mut sets = sets.lock().unwrap_or_else(PoisonError::into_inner);
                let set = sets.entry(files.clone());
                set.or_insert_with(|| Arc::new(BundleSet::new(files.clone()))).clone()
            }
        }
    }

    /// The Notary v1 trust data in the bundles of `upstreams`, or in the bundle that replaces all servers. `None` if there
    /// are no bundles.
    pub fn archive(&self, upstreams: &[Config]) -> Option<Arc<dyn Archive>> {
        let (sets, name) = match &self.0 {
            Kind::Only(set) => (vec![set.clone()], "the bundle".to_owned()),
            Kind::Configured(_) => {
                let files: BTreeSet<&BundleFiles> =
                    upstreams.iter().filter_map(|upstream| upstream.bundles.as_ref()).collect();
                let names: Vec<String> = files.iter().map(ToString::to_string).collect();
                let sets = files.into_iter().map(|files| self.set(files)).collect();
                (sets, format!("the bundles {}", names.join(", ")))
            }
        };
        (!sets.is_empty()).then(|| Arc::new(BundleArchive::new(sets, name)) as Arc<dyn Archive>)
    }

    /// The revocation data for images of the registry that `config` describes, if it has no network.
    pub fn revocation(&self, config: &Config) -> Option<Arc<dyn LocalServer>> {
        let set = match (&self.0, &config.bundles) {
            (Kind::Only(set), _) => set.clone(),
            (Kind::Configured(_), Some(files)) if config.is_offline => self.set(files),
            (Kind::Configured(_), _) => return None,
        };
        Some(Arc::new(BundleRevocation::new(set)))
    }

    /// The registry that `config` describes, with its bundles. Opens no files yet.
    pub fn upstream(&self, config: &Config, metrics: &Metrics) -> Result<Upstream, ConfigError> {
        let set = match (&self.0, &config.bundles) {
            (Kind::Only(set), _) => set.clone(),
            (Kind::Configured(_), None) => return Upstream::new(config, metrics),
            (Kind::Configured(_), Some(files)) => self.set(files),
        };
        let registry = BundleRegistry::new(config.registry.clone(), &config.url, set);
        let server: Arc<dyn LocalServer> = Arc::new(registry);
        match &self.0 {
            Kind::Only(_) => Upstream::local(config, server, metrics),
            Kind::Configured(_) => Upstream::beside(config, server, metrics),
        }
    }
}
