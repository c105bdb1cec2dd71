//! Tells the service manager how the daemon is: `Type=notify` of systemd.
//!
//! Without a service manager (`NOTIFY_SOCKET` unset) all of it does nothing. A message that cannot be
//! sent is logged and forgotten: the manager's opinion must not stop the daemon.

use std::time::Duration;

use sd_notify::NotifyState;

/// The daemon serves; start-up is over.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// The daemon reads its files again; [`ready`] ends it.
pub fn reloading() {
    // systemd wants the two in one message (sd_notify(3), since version 253).
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        send(&[
            NotifyState::Reloading,
            now,
            NotifyState::Status("reloading"),
        ]);
    }
}

/// The daemon begins to stop.
pub fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// The line that `systemctl status` shows.
pub fn status(status: &str) {
    send(&[NotifyState::Status(&one_line(status))]);
}

/// The daemon is alive. To be sent by what must not hang: the sequencer, after a commit or when idle.
pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// How often [`watchdog`] is to be called: half of what the manager allows; `None` when it does not
/// watch.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "failed to notify the service manager");
    }
}

/// A status with line breaks would be read as further messages.
fn one_line(status: &str) -> String {
    status.replace(['\n', '\r'], " ")
}
