//! The record of every decision that reached a client: made once, and given to the log, to the memory of
//! the last ones, and to the audit file if there is one. Knows what a decision is, and nothing of how it
//! was answered.

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

/// Where records go. Cheap to clone; the clones are one, and name no two requests alike.
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
    /// Records in the log, in memory, and in `file` if there is one.
    pub fn new(clock: Clock, file: Option<AuditFile>) -> Self {
        let shared = Shared { ids: RequestIds::new(), clock, recent: Recent::default(), file };
        Self { shared: Arc::new(shared) }
    }

    /// A name for the next request.
    pub fn name(&self) -> RequestId {
        self.shared.ids.next()
    }

    /// When a record is made.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// The decisions that were recorded lately.
    pub fn recent(&self) -> &Recent {
        &self.shared.recent
    }

    /// Logs `record`, remembers it, and has it written to the file.
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
