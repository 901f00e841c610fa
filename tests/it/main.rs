//! The in-process tests: no network but loopback, no root, no sleeping for the right moment.

#![expect(clippy::unwrap_used, reason = "what a test's own steps need to hold")]

#[path = "../rig/fake_registry.rs"]
mod fake_registry;
#[path = "../rig/notary_repository/mod.rs"]
mod notary_repository;
#[path = "../rig/token_server.rs"]
mod token_server;

mod blob;
mod notaryv1_attacks;
mod pull_through;
mod upstream;
mod upstream_auth;
mod upstream_lists;
