//! The in-process tests: no network but loopback, no root, no sleeping for the right moment.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

#[path = "../rig/fake_registry.rs"]
mod fake_registry;
#[path = "../rig/notary_repository/mod.rs"]
mod notary_repository;
#[path = "../rig/token_server.rs"]
mod token_server;

mod admin;
mod blob;
mod connections;
mod demo;
mod notaryv1_attacks;
mod pull_through;
mod tls;
mod upstream;
mod upstream_auth;
mod upstream_lists;
mod wire;
