//! What all watches of a daemon stand on together.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use crate::ledger::Ledger;
use crate::process::{Scripts, Spawner};
use crate::watch::RunId;

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
}

impl Ground {
    pub(super) fn new(ledger: Ledger, state_dir: &Path, max_processes: usize, started: jiff::Timestamp) -> Self {
        Self {
            ledger,
            spawner: Spawner::new(),
            scripts: Scripts::new(state_dir),
            slots: Arc::new(Semaphore::new(max_processes)),
            start: format!("{:x}", started.as_millisecond()),
            runs: AtomicU64::new(0),
            running: AtomicU64::new(0),
        }
    }

    /// An id that no other run of this ledger has or had.
    pub(super) fn next_run(&self) -> RunId {
        let number = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        RunId(format!("{}-{}-{number}", self.ledger.id(), self.start).into())
    }
}
