//! Docker Content Trust: verifies the variant of TUF that Notary 0.7 uses.
//!
//! `update` fetches one file after the other and verifies each, which results in a [`SignedRepository`]:
//!
//! ```text
//! root (pinned, or remembered and rotated) ─► timestamp ─► snapshot ─► targets ─► targets/releases, signers
//! ```
//!
//! The verification is pure: files, pins, memory and `now` in; signed names and the new memory out.

mod again;
mod anchor;
mod archive;
mod archived;
mod awaited;
mod cache;
mod certificate;
mod chain;
mod copied;
mod delegations;
mod disk;
mod entry;
mod exporters;
mod fields;
mod frozen;
mod frozen_anchors;
mod fingerprint;
mod kept;
mod memory;
mod notary;
mod recorded;
mod remembered;
mod repository;
mod role;
mod root_of_trust;
mod schema;
mod shutdown;
mod signed;
mod silence;
mod source_config;
mod trust_source;
mod tuf_key;
mod cached_trust;
mod captured_at;
mod state;
mod stored;
mod survey;
mod unpinned;
mod update;
mod versions;

pub mod canonical;
pub mod gun;

pub use anchor::{Anchor, AnchorError, Config, TIMESTAMP_LIFE};
pub use archive::{Archive, ArchiveError, Capture, Captured, Evidence, TrustFiles};
pub use cache::TrustCache;
pub use cached_trust::Freshness;
pub use captured_at::{CapturedAt, NotProven, Witness};
pub use copied::CopiedTrust;
pub use exporters::{BUNDLE_ARTIFACT, BUNDLE_PREDICATE, Exporters, document_folder};
pub use frozen::{
    FROZEN_ENDS_SOON, FrozenArchive, FrozenFile, FrozenGun, MAX_FROZEN, MAX_FROZEN_LIFE,
    ReadBundle, Unusable, WrongHash, day_before,
};
pub use gun::{Gun, Template};
pub use memory::Memory;
pub use notary::Notary;
pub use remembered::{KnownRepositories, MAX_LISTED};
pub use repository::{Found, RoleSummary, SignedRepository};
pub use role::{Delegated, File, Role};
pub use root_of_trust::{Pin, Pins, Terms};
pub use schema::Entry;
pub use shutdown::{DOCKER_NOTARY, GUIDE, SHUTDOWN_DAY};
pub use source_config::{SOURCE_KEYS, Surroundings};
pub use state::{Remembered, State, StateError};
pub use survey::Survey;
pub use tuf_key::KeyId;
pub use update::{NotUpdated, Updated, update, update_captured};
pub use versions::SeenVersions;
