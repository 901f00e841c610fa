//! The configuration-dependent state for requests. A reload replaces it as a whole; requests in progress finish with
//! the state that they started with.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::access::Clients;
use crate::gate::Gate;

use super::config::DenialStatus;
use super::route::Names;

/// The state built from one version of the configuration.
#[derive(Debug)]
pub struct Generation {
    /// The number of the version, starting at 1.
    pub number: u64,
    pub gate: Gate,
    pub clients: Clients,
    pub names: Names,
    pub denial_status: DenialStatus,
}

/// The current generation. Clones share it.
#[derive(Clone, Debug)]
pub struct Generations(Arc<ArcSwap<Generation>>);

impl Generations {
    pub fn new(first: Generation) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(first)))
    }

    /// The generation for one request.
    pub fn current(&self) -> Arc<Generation> {
        self.0.load_full()
    }

    /// Uses `next` for all new requests.
    pub fn replace(&self, next: Generation) {
        self.0.store(Arc::new(next));
    }
}
