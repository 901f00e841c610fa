//! Readiness: the named parts that must work before the gate can receive requests.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::MemoryHealth;

/// One part that must work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Config,
    Store,
    Listener,
}

impl Part {
    const ALL: [Self; 3] = [Self::Config, Self::Store, Self::Listener];

    const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Store => "store",
            Self::Listener => "listener",
        }
    }
}

/// The state of each part. None depends on an upstream: an outage there is no reason to send clients elsewhere.
#[derive(Debug, Default)]
pub struct Readiness {
    config: AtomicBool,
    store: AtomicBool,
    listener: AtomicBool,
    /// Whether trust memory can be written.
    memory: OnceLock<MemoryHealth>,
}

impl Readiness {
    /// Sets whether `part` works; the listener is not ready while it drains.
    pub fn set(&self, part: Part, ready: bool) {
        self.latch(part).store(ready, Ordering::Release);
    }

    /// Reports failed writes of trust memory, too. The gate stays ready: it serves what it has verified.
    pub fn watch(&self, memory: MemoryHealth) {
        // Set once, at the start.
        let _ = self.memory.set(memory);
    }

    /// Why trust memory cannot be written, if so.
    pub(super) fn memory_failure(&self) -> Option<String> {
        self.memory.get().and_then(MemoryHealth::failure)
    }

    /// The names of the parts that are not ready.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let missing =
            Part::ALL.into_iter().filter(|part| !self.latch(*part).load(Ordering::Acquire));
        missing.map(Part::name).collect()
    }

    fn latch(&self, part: Part) -> &AtomicBool {
        match part {
            Part::Config => &self.config,
            Part::Store => &self.store,
            Part::Listener => &self.listener,
        }
    }
}
