//! The ledger: what was applied, what runs and what is paused, on disk and safe against a crash at any moment.
//!
//! While the daemon lives, its memory is authoritative; a thread of its own writes the journal on disk, so that a
//! slow, full or read-only disk delays no action. There is no fsync: a killed daemon loses nothing that was written,
//! and after a power failure no action runs any more, so that the worst case is a repeated run.

mod entry;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod history;
mod identity;
mod journal;
mod lock;
pub mod remembered;
mod state_dir;
mod unwritten;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::watch::{Fingerprint, RunId, RunRecord, WatchName, WatchSpec};

pub use entry::{
    Applied, FleetRecord, GaveUp, LedgerEntry, LivePermit, LiveRecord, Owed, Paused, described, digest,
};
pub use history::HISTORY_BYTES;
pub use identity::random as random_id;
pub use lock::Holder;
use lock::{Lock, Refusal};
pub use unwritten::Unwritten;
use writer::Writer;

/// Why a ledger cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another daemon holds the lock.
    #[error(
        "another twitcher daemon uses the state directory {0}; stop it first, or give this one a state_dir of its own in twitcher.conf"
    )]
    InUse(PathBuf),
    /// The ledger exists but cannot be read. Starting without it would forget pauses and adopt no runs.
    #[error(
        "cannot read the ledger {path}: {error}; give it to the daemon's user, or move it away to start with an empty one"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system error.
        error: std::io::Error,
    },
    /// The directory is missing and cannot be created, or cannot be entered.
    #[error(
        "cannot use the state directory {path}: {error}; set state_dir in twitcher.conf to a directory that the daemon can use"
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system error.
        error: std::io::Error,
    },
}

/// A handle on the ledger; cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: String,
    entries: Mutex<BTreeMap<WatchName, LedgerEntry>>,
    /// `None`: only in memory.
    disk: Option<Disk>,
}

#[derive(Debug)]
struct Disk {
    writer: Writer,
    history: history::Files,
    /// For as long as the ledger lives.
    _lock: Lock,
}

impl Ledger {
    /// Locks the state directory, creating it if it is missing, and reads its journal. Damaged lines are skipped with a
    /// warning in the log; a journal that cannot be written stays in memory and is retried. Blocks for up to 5 s while
    /// another process holds the lock. A new directory gets the `fresh` id, which no other has. `holder` finds out who
    /// holds an exclusive lock on the directory.
    pub fn open(
        directory: &Path,
        fresh: &str,
        holder: impl FnMut(&File) -> Holder,
    ) -> Result<Self, LedgerError> {
        let unusable = |error| LedgerError::Directory { path: directory.to_owned(), error };
        let opened = state_dir::open(directory).map_err(unusable)?;
        let itself = opened.try_clone().map_err(unusable)?;
        let lock = lock::take(directory, opened, holder).map_err(|refusal| match refusal {
            Refusal::InUse => LedgerError::InUse(directory.to_owned()),
            Refusal::Impossible(error) => unusable(error),
        })?;
        let path = directory.join("ledger");
        let journal::Contents { id, entries, damaged } =
            journal::read(&path).map_err(|error| LedgerError::Unreadable { path: path.clone(), error })?;
        if damaged > 0 {
            tracing::warn!(
                "skipped {damaged} damaged lines in the ledger {}; their records are lost",
                path.display()
            );
        }
        let id = identity::of(directory, &itself, id, fresh);
        let history = history::Files::below(directory);
        let writer = Writer::start(path, history.clone(), &id, entries.clone());
        let disk = Some(Disk { writer, history, _lock: lock });
        Ok(Self { shared: Arc::new(Shared { id, entries: Mutex::new(entries), disk }) })
    }

    /// A ledger in memory only, for commands without a state directory.
    pub fn in_memory() -> Self {
        let id = random_id();
        Self { shared: Arc::new(Shared { id, entries: Mutex::default(), disk: None }) }
    }

    /// The first part of all run ids of this ledger.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// The entry of a watch.
    pub fn entry(&self, watch: &str) -> Option<LedgerEntry> {
        self.entries().get(watch).cloned()
    }

    /// Every run whose end is not recorded, with its watch.
    pub fn live_runs(&self) -> Vec<(WatchName, LiveRecord)> {
        self.entries()
            .iter()
            .flat_map(|(name, entry)| entry.live.iter().map(|live| (name.clone(), live.clone())))
            .collect()
    }

    /// Records the start of a run.
    pub fn started(&self, watch: &WatchName, live: LiveRecord) {
        self.change(watch, |entry| {
            entry.newest_run = Some(live.run.clone());
            entry.live.push(live);
        });
    }

    /// A run has ended. Its whole output is kept on disk alone.
    pub fn ended(&self, watch: &WatchName, record: RunRecord, succeeded: bool) {
        let mut entries = self.entries();
        let entry = entries.entry(watch.clone()).or_default();
        let whole = self.shared.disk.as_ref().map(|_| record.clone());
        entry.end(record.shortened(), succeeded);
        self.write(watch, Some(entry), whole);
    }

    /// Changes `history_bytes`: how much is kept of the runs of each watch on disk.
    pub fn set_history_bytes(&self, bytes: u64) {
        if let Some(disk) = &self.shared.disk {
            disk.history.set_limit(bytes);
        }
    }

    /// The last runs of a watch with their whole output, oldest first. Reads files, which may block.
    pub fn history(&self, watch: &WatchName) -> Vec<RunRecord> {
        let remembered = self.read(watch.as_str(), |entry| entry.history.iter().cloned().collect());
        match &self.shared.disk {
            Some(disk) => history::merged(disk.history.read(watch), remembered),
            None => remembered,
        }
    }

    /// Records the newest state that a successful run was given.
    pub fn applied(&self, watch: &WatchName, applied: Applied) {
        self.change(watch, |entry| (entry.applied, entry.gave_up) = (Some(applied), None));
    }

    /// A run for this target, [`described`], was interrupted by the end of the daemon or the machine and has no outcome.
    pub fn interrupted(&self, watch: &WatchName, run: &RunId, target: &str) {
        self.change(watch, |entry| {
            entry.live.retain(|live| live.run != *run);
            entry.interrupted = Some(target.to_owned());
        });
    }

    /// Moves a live run to another watch: the same definition under a new name.
    pub fn renamed(&self, from: &WatchName, to: &WatchName, live: LiveRecord) {
        self.change(from, |entry| entry.live.retain(|other| other.run != live.run));
        self.change(to, |entry| entry.live.push(live));
    }

    /// The tenure in the store of its fleet's group, which the next daemon may take over.
    pub fn tenure(&self, watch: &WatchName, tenure: &str) {
        self.change(watch, |entry| entry.tenure = Some(tenure.to_owned()));
    }

    /// Records what the store holds of this host in its fleet's group; `None`: the host left the group.
    pub fn fleet_record(&self, watch: &WatchName, record: Option<FleetRecord>) {
        self.change(watch, |entry| entry.fleet_record = record);
    }

    /// Records the permit under which the next run starts.
    pub fn granted(&self, watch: &WatchName, permit: LivePermit) {
        self.change(watch, |entry| entry.granted = Some(permit));
    }

    /// Whether a change of this watch is being written; `false` if the disk refuses it.
    pub fn is_being_written(&self, watch: &WatchName) -> bool {
        self.shared.disk.as_ref().is_some_and(|disk| disk.writer.is_writing(watch))
    }

    /// Records that the watch is paused, or resumed (`None`).
    pub fn pause(&self, watch: &WatchName, paused: Option<Paused>) {
        self.change(watch, |entry| entry.paused = paused);
    }

    /// Records that the watch is stopped under the definition with this fingerprint, or no longer stopped (`None`).
    pub fn stop(&self, watch: &WatchName, stopped: Option<Fingerprint>) {
        self.change(watch, |entry| entry.stopped = stopped);
    }

    /// Records that the last retry with a state failed.
    pub fn gave_up(&self, watch: &WatchName, gave_up: GaveUp) {
        self.change(watch, |entry| entry.gave_up = Some(gave_up));
    }

    /// Records an `on_give_up` that waits for a free slot; `None`: it will not be run any more.
    pub fn owe(&self, watch: &WatchName, owed: Option<Owed>) {
        self.change(watch, |entry| entry.owed = owed);
    }

    /// Records that the `on_give_up` for this state is run now. One for a newer state stays owed.
    pub fn reported(&self, watch: &WatchName, state: Applied) {
        self.change(watch, |entry| {
            entry.owed.take_if(|owed| owed.state == state);
            entry.reported = Some(state);
        });
    }

    /// Replaces the fingerprints of version 0.1.0 by that of the current definition. The two cannot be compared, and an
    /// upgrade must not lift a stop, so the definition counts as unchanged.
    pub fn renew_fingerprints(&self, spec: &WatchSpec) {
        let target = described(&spec.target);
        let old_stop = |stopped: &Fingerprint| stopped.is_of_version_0_1_0();
        let old_run = |live: &LiveRecord| live.definition.is_of_version_0_1_0() && live.target == target;
        let any_old = self.read(spec.name.as_str(), |entry| {
            entry.stopped.as_ref().is_some_and(old_stop) || entry.live.iter().any(old_run)
        });
        if !any_old {
            return;
        }
        let fingerprint = spec.fingerprint();
        self.change(&spec.name, |entry| {
            if let Some(stopped) = entry.stopped.as_mut().filter(|stopped| old_stop(stopped)) {
                *stopped = fingerprint.clone();
            }
            for live in entry.live.iter_mut().filter(|live| old_run(live)) {
                live.definition = fingerprint.clone();
            }
        });
    }

    /// Reads the entry of a watch without copying it; an empty one if there is none.
    pub fn read<T>(&self, watch: &str, look: impl FnOnce(&LedgerEntry) -> T) -> T {
        match self.entries().get(watch) {
            Some(entry) => look(entry),
            None => look(&LedgerEntry::default()),
        }
    }

    /// Removes watches that are not `configured`, have no live run and did not run since `since`, so that a file that is
    /// missing for a day loses neither a pause nor the record of what was applied.
    pub fn forget(&self, configured: impl Fn(&WatchName) -> bool, since: jiff::Timestamp) {
        let mut entries = self.entries();
        let recent = |entry: &LedgerEntry| entry.history.back().is_some_and(|last| last.started >= since);
        let old = |entry: &LedgerEntry| entry.live.is_empty() && !recent(entry);
        let gone: Vec<WatchName> = entries
            .iter()
            .filter(|(name, entry)| !configured(name) && old(entry))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            entries.remove(&name);
            self.write(&name, None, None);
        }
    }

    /// Why the ledger cannot be written at present, if so.
    pub fn complaint(&self) -> Option<String> {
        self.shared.disk.as_ref().and_then(|disk| disk.writer.complaint())
    }

    /// On shutdown: waits at most `patience` until every change so far is in the journal, but not for a disk that returns
    /// errors. If it fails, dropping the ledger does not wait again.
    pub fn flush(&self, patience: Duration) -> Result<(), Unwritten> {
        let Some(disk) = &self.shared.disk else { return Ok(()) };
        disk.writer.flush(patience).inspect_err(|_| disk.writer.give_up())
    }

    /// The same while the ledger stays in use, for a command that promises that its change is kept.
    pub fn wait_until_written(&self, patience: Duration) -> Result<(), Unwritten> {
        self.shared.disk.as_ref().map_or(Ok(()), |disk| disk.writer.flush(patience))
    }

    fn change(&self, watch: &WatchName, change: impl FnOnce(&mut LedgerEntry)) {
        let mut entries = self.entries();
        let entry = entries.entry(watch.clone()).or_default();
        change(entry);
        self.write(watch, Some(entry), None);
    }

    fn write(&self, watch: &WatchName, entry: Option<&LedgerEntry>, record: Option<RunRecord>) {
        if let Some(disk) = &self.shared.disk {
            disk.writer.write(watch, entry, record);
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<WatchName, LedgerEntry>> {
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
