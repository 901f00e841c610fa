//! Records every decision that reached a client, once: in the log, in memory, and in the audit file if there is one.
//! Knows decisions, not HTTP responses.

pub mod config;
pub mod file;
pub mod reader;
pub mod recent;
pub mod record;
pub mod request_id;
mod rotated;

use std::sync::Arc;

pub use config::Config;
pub use file::{AuditFile, AuditFileError, Metrics};
pub use recent::Recent;
pub use record::{DeniedBy, Record, RequestInfo};
pub use request_id::RequestId;

use request_id::RequestIds;

use crate::clock::{Clock, Timestamp};

/// Records decisions. Clones are cheap and share one state; request ids are unique across clones.
#[derive(Clone, Debug)]
pub struct Audit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ids: RequestIds,
    clock: Clock,
    recent: Recent,
    file: Option<AuditFile>,
}

impl Audit {
    /// Records in the log, in memory, and in `file`, if given.
    pub fn new(clock: Clock, file: Option<AuditFile>) -> Self {
        let shared = Shared { ids: RequestIds::new(), clock, recent: Recent::default(), file };
        Self { shared: Arc::new(shared) }
    }

    /// An id for the next request.
    pub fn name(&self) -> RequestId {
        self.shared.ids.next()
    }

    /// The current time, for a record.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// The recent decisions.
    pub fn recent(&self) -> &Recent {
        &self.shared.recent
    }

    /// Logs `record`, remembers it, and queues it for the file.
    pub fn record(&self, record: Record) {
        record.log();
        let record = Arc::new(record);
        if let Some(file) = &self.shared.file {
            file.write(record.clone());
        }
        self.shared.recent.keep(record);
    }

    /// The audit file, if there is one.
    pub fn file(&self) -> Option<&AuditFile> {
        self.shared.file.as_ref()
    }
}
