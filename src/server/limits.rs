//! Every ceiling and time limit of a listener, in one place. Knows of protocols only their names.

use std::time::Duration;

/// Which versions of HTTP a listener offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    Http1AndHttp2,
    /// For answers with a reason phrase, which HTTP/2 has not.
    OnlyHttp1,
}

/// How much, how many and how long a listener allows its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub versions: Versions,
    /// Connections at once. If there are more, the idlest are closed.
    pub max_connections: usize,
    /// How long the client of a connection may not read before the connection counts as idle where there are
    /// too many.
    pub reader_grace: Duration,
    /// Requests in progress on all listeners together. More are answered with 503, but for the only one of a
    /// connection.
    pub max_requests: usize,
    /// Bytes of tag lists, lists of referrers and trust metadata that clients have not taken yet, of all
    /// listeners together. More are answered with 503.
    pub max_list_bytes: usize,
    /// Requests at once on one HTTP/2 connection. Clients pull a few layers at once, and open another
    /// connection where they need more.
    pub max_streams: u32,
    /// Bytes of one request's line and headers; more is answered with 431. At least
    /// [`Limits::MIN_HEADER_BYTES`].
    pub max_header_bytes: u32,
    /// From the accepted connection to its last TLS handshake message.
    pub handshake_timeout: Duration,
    /// From the accepted connection, or from the first byte of a later request, to the end of that
    /// request's headers.
    pub header_timeout: Duration,
    /// How long a connection may stay open with no request on it.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer.
    pub write_timeout: Duration,
    /// How often an HTTP/2 client is asked whether it is still there, and how long it may take to
    /// say so.
    pub ping_interval: Duration,
    /// How long started answers may go on after the order to stop.
    pub drain_timeout: Duration,
    /// How long to wait after an error of accept(2), such as too many open files.
    pub accept_pause: Duration,
    /// How often the certificate and its key are looked at for changes.
    pub tls_poll: Duration,
}

impl Limits {
    /// The smallest `max_header_bytes`: hyper's read buffer is never less.
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
