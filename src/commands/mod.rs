//! The operations behind the command line; the admin listener and the demo use `why`, too. They know the gate and the
//! configuration, and nothing of arguments or of HTTP.

pub mod why;
pub mod forget;
pub mod exempt;
pub mod replay;
pub mod learn;
