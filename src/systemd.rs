//! Notifies the service manager (`sd_notify`), if there is one, that the process is ready, reloads its configuration,
//! or stops.

use sd_notify::NotifyState;

/// The gate accepts connections, at start or after a reload; `status` is what `systemctl status` shows.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being reloaded, until [`ready`] is called.
pub fn reloading() {
    // Required only by `Type=notify-reload`.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// The gate refuses new connections and finishes responses in progress.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager: check NOTIFY_SOCKET");
    }
}
