//! Why programs cannot be started at present, for want of a resource of the daemon: told to the log once in a while, and to
//! `status` and `explain`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::process::SpawnError;
use crate::status::counted;
use crate::watch::WatchSpec;

/// How often the log is told of each watch while it lasts.
const REMINDERS: Duration = Duration::from_mins(10);

/// What the daemon lacks, for all watches.
#[derive(Debug, Clone, Default)]
pub(super) struct Shortage(Arc<Mutex<Lacking>>);

#[derive(Debug, Default)]
struct Lacking {
    /// Watches whose last start was prevented.
    watches: u64,
    /// Why, of the last one.
    why: String,
}

impl Shortage {
    fn lock(&self) -> MutexGuard<'_, Lacking> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a watch's last start was prevented.
#[derive(Debug)]
pub(in crate::daemon) struct Prevented {
    why: String,
    since: Instant,
    logged: Instant,
    shortage: Shortage,
}

impl Prevented {
    fn new(shortage: &Shortage, now: Instant) -> Self {
        let shortage = shortage.clone();
        shortage.lock().watches += 1;
        Self { why: String::new(), since: now, logged: now, shortage }
    }
}

impl Drop for Prevented {
    fn drop(&mut self) {
        self.shortage.lock().watches -= 1;
    }
}

impl Shortage {
    /// As a complaint.
    pub(super) fn complaint(&self) -> Option<String> {
        let Lacking { watches, why } = &*self.lock();
        let number = counted(*watches, "watch", "watches");
        (*watches > 0).then(|| format!("programs of {number} cannot be started: {why}"))
    }
}

impl Prevented {
    /// Another start was prevented, or the first one where `known` is `None`.
    pub(super) fn again(
        known: Option<Self>,
        shortage: &Shortage,
        spec: &WatchSpec,
        what: &str,
        error: &SpawnError,
    ) -> Self {
        let (why, now) = (error.to_string(), Instant::now());
        let is_new = known.is_none();
        let mut prevented = known.unwrap_or_else(|| Self::new(shortage, now));
        if is_new || now.duration_since(prevented.logged) >= REMINDERS {
            prevented.logged = now;
            tracing::error!(
                watch = %spec.name,
                "cannot start {what}: {why}. This is no failure of the watch and uses up none of its retries; it is tried again by itself"
            );
        }
        prevented.shortage.lock().why.clone_from(&why);
        prevented.why = why;
        prevented
    }

    /// A start was not prevented.
    pub(super) fn over(self, spec: &WatchSpec) {
        let lasted = self.since.elapsed().as_secs();
        tracing::info!(watch = %spec.name, "programs can be started again, after {lasted} s");
    }

    /// Why nothing can be started, as a sentence without its full stop.
    pub(super) fn words(&self) -> String {
        format!("the daemon cannot start it: {}; this uses up no retries", self.why)
    }
}
