//! Countersign: a pull-through registry proxy that serves only signed container images.
//!
//! *A request is parsed into a name, the name is judged into a proof, the proof is turned into a
//! response*: `Request → Route → Admitted → Response`.
//!
//! The modules below are the layers, lowest first: a module uses only modules above it in this list.

pub mod clock;
pub mod json;
pub mod settings;
pub mod oci;
pub mod net;
pub mod store;
pub mod upstream;
pub mod pull_through;
pub mod trust;
pub mod policy;
pub mod gate;
pub mod server;
pub mod admin;
pub mod config;
pub mod app;
pub mod explain;
pub mod demo;
pub mod telemetry;
pub mod cli;
