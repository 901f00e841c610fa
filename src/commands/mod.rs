//! Operations that the command line and the admin listener share. They know the gate and the configuration, and nothing of
//! arguments or of HTTP.

pub mod why;
pub mod forget;
pub mod exempt;
pub mod replay;
pub mod learn;
