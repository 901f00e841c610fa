//! The commands for bundles. `create` makes the same decisions as the serving gate and writes only what the gate admits.
//! `verify` and `import` judge everything again with the configuration of this side and without any connection.

pub mod calendar;
mod collect;
pub mod create;
pub mod import;
mod inspect;
pub mod judge;
mod platform;
mod progress;
mod proposals;
mod verify;

pub use calendar::Expiry;
pub use collect::LeftOut;
pub use inspect::Inspected;
pub use platform::{InvalidPlatform, Platform};
pub use progress::Progress;
pub use verify::Verified;
