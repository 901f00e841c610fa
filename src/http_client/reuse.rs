//! Knows which connections have answered before. A NAT or a firewall can forget an idle connection without closing it: a
//! request on it then gets no answer at all, while a new connection would get one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Extensions;
use hyper_util::client::legacy::connect::CaptureConnection;

/// Whether a connection has answered a request. Each connection carries one, and its requests find it there.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered(Arc<AtomicBool>);

/// Records that the connection of a request answered.
pub(super) fn answered(captured: &CaptureConnection) {
    if let Some(Answered(answered)) = of(captured) {
        answered.store(true, Ordering::Relaxed);
    }
}

/// Whether a request that has no answer waits on a connection that answered before, and that nothing else checks: HTTP/2 sends
/// pings.
pub(super) fn is_doubtful(captured: &CaptureConnection) -> bool {
    of(captured).is_some_and(|Answered(answered)| answered.load(Ordering::Relaxed))
}

/// What is known of the connection; `None` before there is one, and for HTTP/2.
fn of(captured: &CaptureConnection) -> Option<Answered> {
    let connected = captured.connection_metadata();
    let connected = connected.as_ref().filter(|connected| !connected.is_negotiated_h2())?;
    let mut extras = Extensions::new();
    connected.get_extras(&mut extras);
    extras.remove()
}
