//! The operations on processes that runs need, as a trait, so that tests can use a fake.

use std::collections::BTreeSet;

use crate::process::{FoundRun, Launch, OutputSink, Running, SpawnError, Spawner};
use crate::watch::ProcessIdentity;

/// Starts and finds processes. [`Spawner`] is the real implementation.
pub(in crate::daemon) trait Processes: Send + Sync {
    /// [`Spawner::start`].
    fn start(&self, launch: &Launch, sink: OutputSink) -> Result<Running, SpawnError>;
    /// [`Spawner::adopt`].
    fn adopt(&self, process: &ProcessIdentity, sink: OutputSink) -> Option<Running>;
    /// [`Spawner::kill_starts`].
    fn kill_starts(&self, prefixes: &[&str]) -> Vec<FoundRun>;
    /// [`Spawner::find_runs`].
    fn find_runs(&self, prefix: &str) -> Vec<FoundRun>;
    /// [`Spawner::drain_leftovers`].
    fn drain_leftovers(&self, prefix: &str, read: &BTreeSet<u64>) -> usize;
}

impl Processes for Spawner {
    fn start(&self, launch: &Launch, sink: OutputSink) -> Result<Running, SpawnError> {
        Spawner::start(self, launch, sink)
    }

    fn adopt(&self, process: &ProcessIdentity, sink: OutputSink) -> Option<Running> {
        Spawner::adopt(self, process, sink)
    }

    fn kill_starts(&self, prefixes: &[&str]) -> Vec<FoundRun> {
        Spawner::kill_starts(self, prefixes)
    }

    fn find_runs(&self, prefix: &str) -> Vec<FoundRun> {
        Spawner::find_runs(self, prefix)
    }

    fn drain_leftovers(&self, prefix: &str, read: &BTreeSet<u64>) -> usize {
        Spawner::drain_leftovers(self, prefix, read)
    }
}
