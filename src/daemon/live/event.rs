//! The events of a live watch, its initial state, and what it leaves to its successor.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::daemon::fleet::{Handle, ToWatch};
use crate::policy::{Control, Permission};
use crate::status::{Explanation, Preview, WatchStatus};
use crate::store::Store;
use crate::watch::{Outcome, State, WatchSpec};

/// An event for a live watch.
pub(in crate::daemon) enum Event {
    /// An operator's request, answered with a sentence.
    Control(Control, oneshot::Sender<Result<String, String>>),
    /// Read the key, unless `cached`, then run the action; answered with a sentence.
    Trigger { cached: bool, permission: Permission, answer: oneshot::Sender<Result<String, String>> },
    /// Read the key, unless `cached`, and tell what a trigger would run.
    Preview { cached: bool, answer: oneshot::Sender<Result<Preview, String>> },
    /// A request for its status.
    Look(oneshot::Sender<WatchStatus>),
    /// A request for the reasons of what it does.
    Explain(oneshot::Sender<Explanation>),
    /// Its store has a new configuration.
    Store(Store),
    /// Its definition has the same meaning, but its description or file changed.
    Described { spec: Arc<WatchSpec>, file: Arc<Path> },
    /// Its definition was changed or removed. Live runs finish; those without a timeout end at the deadline.
    Retire { deadline: Option<Instant> },
    /// The daemon is stopping.
    Stop { deadline: Instant },
    /// The group of its fleet says something.
    Fleet(ToWatch),
    /// Shutdown is out of patience: KILL every run now.
    Kill,
    /// A bug in twitcher itself.
    #[cfg(test)]
    Fault,
}

/// The initial state of a watch, besides its definition.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Circumstances {
    /// From a retired watch of the same name.
    pub(in crate::daemon) handover: Option<Box<Handover>>,
    /// After a bug in twitcher: until when it ignores its store.
    pub(in crate::daemon) rest: Option<Instant>,
    /// How long a run for another target may continue if the watch has no `timeout`.
    pub(in crate::daemon) grace: Duration,
    /// Its first run, with the retries of that, is its only one, and its outcomes go here.
    pub(in crate::daemon) once: Option<mpsc::UnboundedSender<Outcome>>,
    /// Its membership of its fleet's group.
    pub(in crate::daemon) fleet: Option<Handle>,
    /// Called with its first state, before anything runs for it.
    pub(in crate::daemon) announce: Option<fn(&WatchSpec, &State)>,
}

/// What a retired watch passes to its successor with the same name.
#[derive(Debug, Clone)]
pub(in crate::daemon) struct Handover {
    pub(in crate::daemon) spec: Arc<WatchSpec>,
    /// The newest state that it saw.
    pub(in crate::daemon) newest: Option<State>,
    /// Whether that state still had to be applied.
    pub(in crate::daemon) unserved: bool,
    /// Its membership of its fleet's group.
    pub(in crate::daemon) fleet: Option<Handle>,
}
