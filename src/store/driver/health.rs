//! The state of a store's connection: since when, and why it is down.

use std::time::SystemTime;

use tokio::sync::watch;

use crate::store::StoreError;

/// State of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkState {
    /// A session is open and serving.
    Connected,
    /// Nothing is subscribed yet, or the first connection is being made.
    Connecting,
    /// The last attempt failed or the session was lost; it is retried with back-off.
    Down,
}

/// A store's state for `status`, metrics and the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The state of the connection.
    pub state: LinkState,
    /// Since when.
    pub since: SystemTime,
    /// Why it is down.
    pub error: Option<String>,
    /// How often a session was opened again after an earlier one.
    pub reconnects: u64,
    /// The server of the open session.
    pub server: Option<String>,
    /// Why some keys are polled, if any is.
    pub polls: Option<String>,
}

#[cfg(feature = "daemon")]
impl Health {
    /// Since when, for display. A clock beyond the year 9999 counts as that.
    pub(crate) fn since(&self) -> jiff::Timestamp {
        self.since.try_into().unwrap_or(jiff::Timestamp::MAX)
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: LinkState::Connecting,
            since: SystemTime::now(),
            error: None,
            reconnects: 0,
            server: None,
            polls: None,
        }
    }
}

/// The driver's end of its store's health: publishes it, and logs each change once.
#[derive(Debug)]
pub(super) struct HealthKeeper {
    store: String,
    entered: bool,
    health: watch::Sender<Health>,
}

impl HealthKeeper {
    pub(super) fn new(store: String, health: watch::Sender<Health>) -> Self {
        Self { store, entered: false, health }
    }

    pub(super) fn connected(&mut self, server: String) {
        tracing::info!(store = self.store, server, "connected to the store");
        let again = std::mem::replace(&mut self.entered, true);
        self.health.send_modify(|health| {
            *health = Health {
                state: LinkState::Connected,
                since: SystemTime::now(),
                error: None,
                reconnects: health.reconnects + u64::from(again),
                server: Some(server),
                polls: None,
            };
        });
    }

    pub(super) fn down(&mut self, error: &StoreError) {
        let error = error.to_string();
        self.health.send_modify(|health| {
            if health.state != LinkState::Down {
                tracing::warn!(
                    store = self.store,
                    "the store cannot be reached, its watches wait for it: {error}"
                );
                health.state = LinkState::Down;
                health.since = SystemTime::now();
                health.server = None;
                health.polls = None;
            }
            health.error = Some(error);
        });
    }

    /// Some keys are polled, for this reason; `None`: no key is any more.
    pub(super) fn polls(&mut self, why: Option<String>) {
        if let Some(why) = &why {
            tracing::warn!(store = self.store, "{why}");
        } else {
            tracing::info!(store = self.store, "all keys are followed by events again");
        }
        self.health.send_modify(|health| health.polls = why);
    }

    /// The session was closed because there are no subscriptions.
    pub(super) fn closed(&mut self) {
        self.entered = false;
        self.health.send_modify(|health| {
            *health = Health { reconnects: health.reconnects, ..Health::default() };
        });
    }
}
