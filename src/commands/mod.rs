//! The operations behind the command line; the admin listener uses [`why`]. They know the gate and the configuration, but
//! neither arguments nor HTTP.

pub mod bundle;
pub mod check;
pub mod why;
pub mod attest;
pub mod forget;
pub mod freeze;
pub mod exempt;
pub mod replay;
pub mod inventory;
pub mod learn;
pub mod content_trust;
