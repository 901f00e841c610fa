//! All limits and timeouts of a listener. Knows protocols only by name.

use std::time::Duration;

/// The HTTP versions that a listener offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    Http1AndHttp2,
    /// For responses with a reason phrase, which HTTP/2 does not have.
    OnlyHttp1,
}

/// The limits and timeouts for the clients of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub versions: Versions,
    /// Open connections. If there are more, those that are idle longest are closed.
    pub max_connections: usize,
    /// If there are too many connections, one whose client has not read for this long counts as idle.
    pub reader_grace: Duration,
    /// Requests in progress on all listeners together. Further requests get 503, except the only request of a
    /// connection.
    pub max_requests: usize,
    /// Bytes of tag lists, lists of referrers and trust metadata that clients have not read yet, on all listeners
    /// together. Further lists get 503.
    pub max_list_bytes: usize,
    /// Concurrent requests on one HTTP/2 connection. Clients pull a few layers at once, and open another connection if
    /// they need more.
    pub max_streams: u32,
    /// Bytes of the request line and headers; a larger request gets 431. At least [`Limits::MIN_HEADER_BYTES`].
    pub max_header_bytes: u32,
    /// From the accepted connection to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the accepted connection, or from the first byte of a later request, to the end of the request's headers.
    pub header_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// How long a client may read nothing of a response.
    pub write_timeout: Duration,
    /// How often an HTTP/2 client is pinged, and how long it may take to reply.
    pub ping_interval: Duration,
    /// How long responses in progress may continue after shutdown was requested.
    pub drain_timeout: Duration,
    /// How long to wait after an error of accept(2), such as too many open files.
    pub accept_pause: Duration,
    /// How often the certificate and its key are checked for changes.
    pub tls_poll: Duration,
}

impl Limits {
    /// The smallest `max_header_bytes`, which is the size of hyper's read buffer.
    pub const MIN_HEADER_BYTES: u32 = 8 << 10;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            versions: Versions::Http1AndHttp2,
            max_connections: 4096,
            reader_grace: Duration::from_secs(5),
            max_requests: 4096,
            max_list_bytes: 64 << 20,
            max_streams: 32,
            max_header_bytes: 32 << 10,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(60),
            accept_pause: Duration::from_millis(100),
            tls_poll: Duration::from_secs(10),
        }
    }
}
