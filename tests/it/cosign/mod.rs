//! The judge of cosign's signatures, with a Sigstore of the tests' own making: what it takes, and each
//! known failure of other verifiers as a test that is named after it. No network, no clock.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "what tests share is no part of a test's body"
)]

mod bench;

mod bounds;
mod config;
mod entries;
mod keyless;
mod keys;
mod kinds;
mod patterns;
mod pki;
mod recorded;
mod restrictions;
