//! The in-process tests: no network but loopback, no root.

#[path = "../rig/notary_repository/mod.rs"]
mod notary_repository;

mod notaryv1_attacks;
