//! The commands for bundles. `create` makes the same decisions as the serving gate and writes only what the gate admits.
//! `verify` and `import` judge everything again with the configuration of this side and without any connection.

pub mod calendar;
pub mod create;
pub mod import;
mod inspect;
pub mod judge;
mod platform;
mod verify;

pub use calendar::Expiry;
pub use inspect::Inspected;
pub use platform::{InvalidPlatform, Platform};
pub use verify::Verified;
