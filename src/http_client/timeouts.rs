//! The time limits of requests.

use std::time::Duration;

/// How long each step of a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS, for one connection.
    pub connect: Duration,
    /// From a request to the head of its response; also the wait for a place among the concurrent requests.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
    /// All attempts of one request together; also a body that is read as a whole.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(60),
        }
    }
}
