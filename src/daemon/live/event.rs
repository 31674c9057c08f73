//! What a live watch is told, what it begins with, and what it leaves behind.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::policy::Control;
use crate::status::{Explanation, WatchStatus};
use crate::store::Store;
use crate::watch::{Outcome, State, WatchSpec};

/// What a live watch is told.
pub(in crate::daemon) enum Event {
    /// An operator's request, answered with a sentence.
    Control(Control, oneshot::Sender<Result<String, String>>),
    /// Read the key, then run the action; answered with a sentence.
    Trigger(oneshot::Sender<Result<String, String>>),
    /// Run the action with the last known state; answered with a sentence.
    TriggerCached(oneshot::Sender<Result<String, String>>),
    /// A request for its status.
    Look(oneshot::Sender<WatchStatus>),
    /// A request for the reasons of what it does.
    Explain(oneshot::Sender<Explanation>),
    /// Its store has a new configuration.
    Store(Store),
    /// Its meaning is the same, but its description or its file changed.
    Described { spec: Arc<WatchSpec>, file: Arc<Path> },
    /// Its definition was changed or removed. Live runs finish; those without a timeout end at the deadline.
    Retire { deadline: Option<Instant> },
    /// The daemon stops.
    Stop { deadline: Instant },
    /// Shutdown is out of patience: KILL every run now.
    Kill,
    /// A fault in twitcher itself.
    #[cfg(test)]
    Fault,
}

/// What a watch begins with, besides its definition.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Circumstances {
    /// From a retired watch of the same name.
    pub(in crate::daemon) handover: Option<Box<Handover>>,
    /// After a fault in twitcher: until when it does not look at its store.
    pub(in crate::daemon) rest: Option<Instant>,
    /// How long a run for another target may go on if the watch has no `timeout`.
    pub(in crate::daemon) grace: Duration,
    /// Its first run, with the retries of that, is its only one, and its outcomes go here.
    pub(in crate::daemon) once: Option<mpsc::UnboundedSender<Outcome>>,
    /// Called with its first state, before anything runs for it.
    pub(in crate::daemon) announce: Option<fn(&WatchSpec, &State)>,
}

/// What a retired watch leaves to its successor of the same name.
#[derive(Debug, Clone)]
pub(in crate::daemon) struct Handover {
    pub(in crate::daemon) spec: Arc<WatchSpec>,
    /// The newest state that it saw.
    pub(in crate::daemon) newest: Option<State>,
    /// Whether that state was still to be applied.
    pub(in crate::daemon) unserved: bool,
}
