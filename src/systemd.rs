//! What the service manager is told of this process, where one asked to be told (`sd_notify`): that it
//! is ready, reads its configuration again, or stops. Elsewhere nothing is said, and nothing is wrong.

use sd_notify::NotifyState;

/// The gate accepts connections, at first or after a reload; `status` is what `systemctl status` shows.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again, until [`ready`] is called.
pub fn reloading() {
    // Asked for by `Type=notify-reload` alone.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// New connections are refused, and started answers finish.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told: look at NOTIFY_SOCKET");
    }
}
