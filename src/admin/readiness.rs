//! What must be in place before clients are sent here. Knows what it is called, not what it does.

use std::sync::atomic::{AtomicBool, Ordering};

/// One thing that must be in place.
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

/// Which parts are in place. None of them depends on an upstream: an outage there is no reason to
/// send clients elsewhere.
#[derive(Debug, Default)]
pub struct Readiness {
    config: AtomicBool,
    store: AtomicBool,
    listener: AtomicBool,
}

impl Readiness {
    /// Says whether `part` is in place; the listener is not any more once it drains.
    pub fn set(&self, part: Part, ready: bool) {
        self.latch(part).store(ready, Ordering::Release);
    }

    /// The names of the parts that are not in place.
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
