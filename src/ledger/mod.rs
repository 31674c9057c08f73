//! The ledger: what was applied, what runs, what is paused, on disk and safe against a crash at any moment.
//!
//! The memory of it is the truth while the daemon lives; the journal on disk follows on a thread of its own,
//! so that a slow, full or read-only disk delays no action. It is written without fsync: a killed daemon
//! loses nothing that was written, and after a loss of power nothing runs any more, so that the worst is a
//! run that is repeated.

mod entry;
mod journal;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::watch::{RunId, RunRecord, WatchName};

pub use entry::{Applied, Entry, LiveRun, Paused, described, digest};
use writer::Writer;

/// How many ended runs are remembered for each watch.
pub const HISTORY: usize = 10;

/// How long the state directory may still be locked at a start. An action that a killed daemon was just starting
/// holds the daemon's lock until its program is executed; once it is free, all such actions can be found.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts.
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// Why a ledger cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another daemon holds it.
    #[error(
        "another twitcher daemon uses the state directory {0}; stop it first, or give this one a state_dir of its own in twitcher.conf"
    )]
    InUse(PathBuf),
    /// There is a ledger that cannot be read. To begin anew would forget pauses and adopt nothing.
    #[error(
        "cannot read the ledger {path}: {error}; give it to the daemon's user, or move it away to begin anew"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The directory is not there and cannot be made, or cannot be entered.
    #[error(
        "cannot use the state directory {path}: {error}; set state_dir in twitcher.conf to a directory that the daemon can use"
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

/// What is said only in memory.
#[derive(Debug, thiserror::Error)]
#[error("what was last known of {} watches ({}) is not in the ledger {}: {why}", watches.len(), shown(watches), path.display())]
pub struct Unwritten {
    watches: Vec<WatchName>,
    path: PathBuf,
    why: String,
}

/// The first few names.
fn shown(watches: &[WatchName]) -> String {
    let few: Vec<&str> = watches.iter().take(5).map(WatchName::as_str).collect();
    let more = if watches.len() > few.len() { ", …" } else { "" };
    few.join(", ") + more
}

/// A handle on the ledger; cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: String,
    entries: Mutex<BTreeMap<WatchName, Entry>>,
    /// `None`: it is kept in memory alone.
    disk: Option<Disk>,
}

#[derive(Debug)]
struct Disk {
    writer: Writer,
    /// Holds the lock on the state directory as long as the ledger lives.
    _lock: File,
}

impl Ledger {
    /// Locks the state directory, made if it is missing, and reads what is in it. A journal that is damaged
    /// costs the damaged lines and a warning in the log; one that cannot be written is kept in memory and retried.
    /// Blocks for a few seconds where another process holds the lock.
    pub fn open(state_dir: &Path) -> Result<Self, LedgerError> {
        let unusable = |error| LedgerError::Directory { path: state_dir.to_owned(), error };
        std::fs::create_dir_all(state_dir).map_err(unusable)?;
        // The directory itself is locked, not a file in it: that works on a read-only file system too.
        let lock = File::open(state_dir).map_err(unusable)?;
        if let Err(errno) = lock_exclusively(&lock) {
            let in_use = errno == nix::errno::Errno::EWOULDBLOCK;
            return Err(if in_use {
                LedgerError::InUse(state_dir.to_owned())
            } else {
                unusable(errno.into())
            });
        }
        let path = state_dir.join("ledger");
        let journal::Contents { id, entries, damaged } =
            journal::read(&path).map_err(|error| LedgerError::Unreadable { path: path.clone(), error })?;
        if damaged > 0 {
            tracing::warn!(
                "{damaged} damaged lines in {} were passed over; what they said is forgotten",
                path.display()
            );
        }
        let id = id.unwrap_or_else(|| first_id(&lock));
        let writer = Writer::start(path, &id, entries.clone());
        let disk = Some(Disk { writer, _lock: lock });
        Ok(Self { shared: Arc::new(Shared { id, entries: Mutex::new(entries), disk }) })
    }

    /// A ledger that remembers as long as the process lives, for what runs without a state directory.
    pub fn in_memory() -> Self {
        let id = format!("{:08x}", fastrand::u32(..));
        Self { shared: Arc::new(Shared { id, entries: Mutex::default(), disk: None }) }
    }

    /// The first part of the ids of all runs that belong to this ledger.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// What is remembered of a watch.
    pub fn entry(&self, watch: &str) -> Option<Entry> {
        self.entries().get(watch).cloned()
    }

    /// Every watch that is remembered, with the runs that had not ended.
    pub fn live_runs(&self) -> Vec<(WatchName, LiveRun)> {
        self.entries()
            .iter()
            .flat_map(|(name, entry)| entry.live.iter().map(|live| (name.clone(), live.clone())))
            .collect()
    }

    /// A run has begun.
    pub fn started(&self, watch: &WatchName, live: LiveRun) {
        self.change(watch, |entry| {
            entry.newest_run = Some(live.run.clone());
            entry.live.push(live);
        });
    }

    /// A run has ended.
    pub fn ended(&self, watch: &WatchName, record: RunRecord, succeeded: bool) {
        self.change(watch, |entry| entry.end(record, succeeded));
    }

    /// This is the newest state that was given to a run that succeeded.
    pub fn applied(&self, watch: &WatchName, applied: Applied) {
        self.change(watch, |entry| entry.applied = Some(applied));
    }

    /// A run for this target, [`described`], is over and left no outcome: it was interrupted together with the
    /// daemon or the machine.
    pub fn interrupted(&self, watch: &WatchName, run: &RunId, target: &str) {
        self.change(watch, |entry| {
            entry.live.retain(|live| live.run != *run);
            entry.interrupted = Some(target.to_owned());
        });
    }

    /// A run of a watch goes on as that of another, which it was renamed to.
    pub fn renamed(&self, from: &WatchName, to: &WatchName, live: LiveRun) {
        self.change(from, |entry| entry.live.retain(|other| other.run != live.run));
        self.change(to, |entry| entry.live.push(live));
    }

    /// The watch is paused, or not any more.
    pub fn pause(&self, watch: &WatchName, paused: Option<Paused>) {
        self.change(watch, |entry| entry.paused = paused);
    }

    /// The watch is stopped under the definition with this fingerprint, or not any more.
    pub fn stop(&self, watch: &WatchName, stopped: Option<String>) {
        self.change(watch, |entry| entry.stopped = stopped);
    }

    /// Looks at what is remembered of a watch without copying it; nothing is remembered of most.
    pub fn read<T>(&self, watch: &str, look: impl FnOnce(&Entry) -> T) -> T {
        match self.entries().get(watch) {
            Some(entry) => look(entry),
            None => look(&Entry::default()),
        }
    }

    /// Forgets watches that are not `configured`, have nothing alive and did not run since `since`: a file that
    /// is broken or missing for a day costs no pause and no memory of what was applied.
    pub fn forget(&self, configured: impl Fn(&WatchName) -> bool, since: jiff::Timestamp) {
        let mut entries = self.entries();
        let recent = |entry: &Entry| entry.history.back().is_some_and(|last| last.started >= since);
        let old = |entry: &Entry| entry.live.is_empty() && !recent(entry);
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

    /// What keeps the ledger from being written, if anything does.
    pub fn complaint(&self) -> Option<String> {
        self.shared.disk.as_ref().and_then(|disk| disk.writer.complaint())
    }

    /// Waits until everything said so far is in the journal; not longer than `patience`, and not for a disk that
    /// refuses. After a wait in vain the end of the ledger does not wait again.
    pub fn flush(&self, patience: Duration) -> Result<(), Unwritten> {
        let Some(disk) = &self.shared.disk else { return Ok(()) };
        disk.writer.flush(patience).inspect_err(|_| disk.writer.give_up())
    }

    /// The same in the middle of the ledger's life, for somebody who was promised that it is kept.
    pub fn settle(&self, patience: Duration) -> Result<(), Unwritten> {
        self.shared.disk.as_ref().map_or(Ok(()), |disk| disk.writer.flush(patience))
    }

    fn change(&self, watch: &WatchName, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries();
        let entry = entries.entry(watch.clone()).or_default();
        let ended_before = entry.ended;
        change(entry);
        let record = (entry.ended > ended_before).then(|| entry.history.back().cloned()).flatten();
        self.write(watch, Some(entry), record);
    }

    fn write(&self, watch: &WatchName, entry: Option<&Entry>, record: Option<RunRecord>) {
        if let Some(disk) = &self.shared.disk {
            disk.writer.write(watch, entry, record);
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<WatchName, Entry>> {
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of a ledger that has none yet. The same for the next daemon on this directory, so that runs are found
/// again even where nothing could ever be written.
fn first_id(directory: &File) -> String {
    let Ok(metadata) = directory.metadata() else { return format!("{:08x}", fastrand::u32(..)) };
    let hash =
        Sha256::new().chain_update(metadata.dev().to_le_bytes()).chain_update(metadata.ino().to_le_bytes());
    hash.finalize().iter().take(4).fold(String::new(), |id, byte| id + &format!("{byte:02x}"))
}

/// An advisory lock that goes with the process, however it ends: flock(2).
fn lock_exclusively(file: &File) -> nix::Result<()> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        // nix's owning `Flock` would hide the file that the ledger keeps; the call is the same.
        #[expect(deprecated, reason = "the lock lives exactly as long as the file that is kept beside it")]
        let locked = nix::fcntl::flock(file.as_raw_fd(), nix::fcntl::FlockArg::LockExclusiveNonblock);
        match locked {
            Err(nix::errno::Errno::EWOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_RETRY);
            }
            Ok(()) | Err(_) => return locked,
        }
    }
}

#[cfg(test)]
mod tests;
