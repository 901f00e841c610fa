//! The public listener.

pub mod route;
