//! What all watches of a daemon stand on together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use crate::ledger::{Ledger, LiveRun};
use crate::process::{Scripts, Spawner};
use crate::watch::{Action, Outcome, Reason, RunId, WatchSpec};

/// How long a start may be held up by processes that do not show their environment.
const LOOKING_FOR_RUNS: Duration = Duration::from_secs(5);

/// Shared by every watch task.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) ledger: Ledger,
    pub(super) spawner: Spawner,
    pub(super) scripts: Scripts,
    /// `max_processes`; granted in the order of asking.
    pub(super) slots: Arc<Semaphore>,
    /// This start of the daemon, in the ids of its runs.
    start: String,
    runs: AtomicU64,
    /// Actions that run now.
    pub(super) running: AtomicU64,
    /// Who waits for the first run of each watch, which is its only one.
    once: Option<mpsc::UnboundedSender<Outcome>>,
}

impl Ground {
    pub(super) fn new(
        ledger: Ledger,
        state_dir: &Path,
        max_processes: usize,
        started: jiff::Timestamp,
    ) -> Self {
        Self {
            ledger,
            spawner: Spawner::new(),
            scripts: Scripts::new(state_dir),
            slots: Arc::new(Semaphore::new(max_processes)),
            start: format!("{:x}", started.as_millisecond()),
            runs: AtomicU64::new(0),
            running: AtomicU64::new(0),
            once: None,
        }
    }

    /// Without a state directory: nothing is remembered, and no script is written. With `once` every watch
    /// retires with its first run, whose outcome is told there.
    pub(super) fn ad_hoc(started: jiff::Timestamp, once: Option<mpsc::UnboundedSender<Outcome>>) -> Self {
        let nowhere = Path::new("/nonexistent");
        let ground = Self::new(Ledger::in_memory(), nowhere, Semaphore::MAX_PERMITS, started);
        Self { once, ..ground }
    }

    /// Whether a watch is over with its first run.
    pub(super) fn is_once(&self) -> bool {
        self.once.is_some()
    }

    /// Takes note of the outcome of a run.
    pub(super) fn ended(&self, outcome: &Outcome) {
        if let Some(once) = &self.once {
            let _ = once.send(outcome.clone());
        }
    }

    /// An id that no other run of this ledger has or had.
    pub(super) fn next_run(&self) -> RunId {
        let number = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        RunId(format!("{}-{}-{number}", self.ledger.id(), self.start).into())
    }
}

impl Ground {
    /// Looks for actions of a former daemon that was killed between their start and their record, and puts them
    /// into the ledger, so that their watches adopt them (promise P3).
    pub(super) async fn find_lost_runs(&self) {
        let spawner = self.spawner.clone();
        let prefix = format!("{}-", self.ledger.id());
        // Reading another process's environment may block.
        let look = tokio::task::spawn_blocking(move || spawner.find_runs(&prefix));
        let Ok(Ok(found)) = tokio::time::timeout(LOOKING_FOR_RUNS, look).await else {
            tracing::warn!("cannot look through /proc for actions of a former daemon in time");
            return;
        };
        for run in found {
            let entry = self.ledger.entry(run.watch.as_str()).unwrap_or_default();
            let known = entry.live.iter().any(|live| live.run == run.run)
                || entry.history.iter().any(|record| record.run == run.run);
            if known {
                continue;
            }
            tracing::info!(watch = %run.watch, run = %run.run, "found process {} of a former daemon", run.identity.pid);
            let live = LiveRun {
                run: run.run,
                process: run.identity,
                started: jiff::Timestamp::now(),
                reason: Reason::Recovery,
                version: run.version,
                attempt: 1,
                coalesced: 1,
            };
            self.ledger.started(&run.watch, live);
        }
    }

    /// The private file of a watch's script, if it has one.
    pub(super) fn script_of(&self, spec: &WatchSpec) -> Option<PathBuf> {
        match &spec.action {
            Action::Script(text) => Some(self.scripts.path(text, &spec.surroundings.account)),
            Action::Shell(_) | Action::Program(_) => None,
        }
    }

    /// Changes how many actions may run at once. Those that run go on; fewer means that fewer start.
    pub(super) fn set_max_processes(&self, old: u32, new: u32) {
        let difference = usize::try_from(old.abs_diff(new)).unwrap_or(usize::MAX);
        if new > old {
            self.slots.add_permits(difference);
            return;
        }
        let slots = Arc::clone(&self.slots);
        tokio::spawn(async move {
            for _ in 0..difference {
                // Those in use are taken as they are given back.
                if let Ok(permit) = slots.acquire().await {
                    permit.forget();
                }
            }
        });
    }
}
