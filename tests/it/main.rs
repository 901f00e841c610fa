//! The tests that need no other program: everything in process, over loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod proxy;
mod wire;

mod admin;
mod audit;
mod connections;
mod routes;
mod tls;
