//! What requests are answered with, which is replaced as a whole when the configuration is read again: a
//! request that has begun goes on with what it began with.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::access::Clients;
use crate::gate::Gate;

use super::config::DenialStatus;
use super::route::Names;

/// What one reading of the configuration made.
#[derive(Debug)]
pub struct Generation {
    /// Which reading it was, counted from 1.
    pub number: u64,
    pub gate: Gate,
    pub clients: Clients,
    pub names: Names,
    pub denial_status: DenialStatus,
}

/// The generation that answers now. The clones are one.
#[derive(Clone, Debug)]
pub struct Generations(Arc<ArcSwap<Generation>>);

impl Generations {
    pub fn new(first: Generation) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(first)))
    }

    /// For one request.
    pub fn current(&self) -> Arc<Generation> {
        self.0.load_full()
    }

    /// Answers what comes from now on with `next`.
    pub fn replace(&self, next: Generation) {
        self.0.store(Arc::new(next));
    }
}
