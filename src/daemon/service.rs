//! Notifies systemd: ready, reloading, stopping, status, and the watchdog. `sd_notify(3)`.

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio::time::Interval;

/// Everything is loaded and watched.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Files are being read again.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Shutdown has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The watchdog's keep-alive, if systemd requests it (`WatchdogSec`).
///
/// The daemon's loop sends it, and only after a task has passed through the runtime's workers, where the watches live: a
/// stalled loop or stalled workers do not look alive.
pub(super) struct Watchdog {
    interval: Option<Interval>,
    errand: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Twice as often as `WatchdogSec` requires.
    pub(super) fn new() -> Self {
        let interval = sd_notify::watchdog_enabled().map(|limit| tokio::time::interval(limit / 2));
        Self { interval, errand: None }
    }

    /// Sends one keep-alive when it is due. Never resolves if none is requested. Cancel-safe.
    pub(super) async fn feed(&mut self) {
        let Some(interval) = &mut self.interval else { return std::future::pending().await };
        if self.errand.is_none() {
            interval.tick().await;
        }
        let errand = self.errand.get_or_insert_with(|| tokio::spawn(async {}));
        let _done = errand.await;
        self.errand = None;
        tell(&[NotifyState::Watchdog]);
    }
}

/// Without systemd there is no receiver, and a socket that refuses must not end the daemon.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("cannot notify the service manager: {error}");
    }
}
