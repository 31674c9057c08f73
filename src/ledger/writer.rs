//! The thread that writes the journal to disk, and retries after errors.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::entry::{HISTORY, LedgerEntry};
use super::history::Files;
use super::journal::{self, EntryLine, Line};
use super::unwritten::Unwritten;
use crate::watch::{RunRecord, WatchName};

/// Back-off after a failed write.
const RETRY: Duration = Duration::from_secs(2);
/// How long dropping a ledger waits for unwritten changes.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
/// How much output of ended runs waits for the disk, in bytes.
const WAITING_OUTPUT: usize = 4 << 20;
/// A journal is rewritten when it is this many bytes longer than twice its last rewrite.
const SLACK: u64 = 256 << 10;

/// Changes on their way to the disk. Only the newest entry of each watch is kept, which bounds memory while the disk is
/// not writable.
#[derive(Debug, Default)]
struct Queue {
    /// The newest entry of each changed watch; `None`: the watch is removed.
    entries: BTreeMap<WatchName, Option<LedgerEntry>>,
    /// Runs that ended, with their whole outputs as long as there is room for these.
    records: BTreeMap<WatchName, VecDeque<RunRecord>>,
    /// The bytes of the outputs in `records`.
    output_bytes: usize,
    complaint: Option<String>,
    /// Failed attempts to write since the last success.
    failures: u32,
    writing: bool,
    /// Watches whose changes the thread took and has not written yet, over any number of failed attempts.
    taken: BTreeSet<WatchName>,
    ended: bool,
    /// The thread has ended, or dropping the ledger no longer waits for it.
    over: bool,
}

#[derive(Debug, Default)]
struct Channel {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        queue: MutexGuard<'a, Queue>,
        limit: Option<Duration>,
        mut condition: impl FnMut(&Queue) -> bool,
    ) -> MutexGuard<'a, Queue> {
        if let Some(limit) = limit {
            let waited = self.changed.wait_timeout_while(queue, limit, |queue| condition(queue));
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let waited = self.changed.wait_while(queue, |queue| condition(queue));
            waited.unwrap_or_else(PoisonError::into_inner)
        }
    }
}

#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    channel: Arc<Channel>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        path: PathBuf,
        history: Files,
        id: &str,
        entries: BTreeMap<WatchName, LedgerEntry>,
    ) -> Self {
        let channel = Arc::new(Channel {
            queue: Mutex::new(Queue { writing: true, ..Queue::default() }),
            ..Channel::default()
        });
        let journal = Journal {
            path: path.clone(),
            history,
            history_fails: false,
            id: id.to_owned(),
            entries,
            file: None,
            length: 0,
            needed: 0,
        };
        let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn({
            let channel = Arc::clone(&channel);
            move || {
                serve(&channel, journal);
                channel.lock().over = true;
                channel.changed.notify_all();
            }
        });
        let thread = thread
            .map_err(|error| {
                let mut queue = channel.lock();
                queue.writing = false;
                queue.complaint = Some(format!("cannot start the ledger's thread: {error}"));
            })
            .ok();
        Self { path, channel, thread }
    }

    /// Queues the entry of a watch (`None`: the watch is removed) and a run that ended.
    pub(super) fn write(&self, watch: &WatchName, entry: Option<&LedgerEntry>, record: Option<RunRecord>) {
        let mut queue = self.channel.lock();
        let entry = entry.map(|entry| LedgerEntry { history: VecDeque::new(), ..entry.clone() });
        queue.entries.insert(watch.clone(), entry);
        if let Some(record) = record {
            let has_room = queue.output_bytes + record.output.len() <= WAITING_OUTPUT;
            let record = if has_room { record } else { record.shortened() };
            queue.output_bytes += record.output.len();
            let waiting = queue.records.entry(watch.clone()).or_default();
            waiting.push_back(record);
            if waiting.len() > HISTORY {
                waiting.pop_front();
            }
        }
        self.channel.changed.notify_all();
    }

    /// Whether a change of this watch is queued or being written.
    pub(super) fn is_writing(&self, watch: &WatchName) -> bool {
        let queue = self.channel.lock();
        let is_pending = queue.entries.contains_key(watch) || queue.taken.contains(watch);
        is_pending && queue.complaint.is_none() && !queue.over
    }

    pub(super) fn complaint(&self) -> Option<String> {
        self.channel.lock().complaint.clone()
    }

    /// The disk hangs: from now on nothing waits for it.
    pub(super) fn give_up(&self) {
        self.channel.lock().over = true;
    }

    pub(super) fn flush(&self, patience: Duration) -> Result<(), Unwritten> {
        let on_its_way = |queue: &Queue| queue.writing || !queue.entries.is_empty();
        let unwritten = |queue: &Queue| on_its_way(queue) && queue.complaint.is_none();
        let queue = self.channel.wait_while(self.channel.lock(), Some(patience), unwritten);
        let hangs = unwritten(&queue);
        let failures = queue.failures;
        let refused = queue.complaint.as_ref().map(|why| format!("{why} (failed attempts: {failures})"));
        let why = if hangs { Some("the disk hangs".to_owned()) } else { refused };
        let watches: BTreeSet<&WatchName> = queue.entries.keys().chain(&queue.taken).collect();
        match why {
            Some(why) if !watches.is_empty() => {
                let watches = watches.into_iter().cloned().collect();
                Err(Unwritten { watches, path: self.path.clone(), why })
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut queue = self.channel.lock();
        queue.ended = true;
        self.channel.changed.notify_all();
        let given_up = queue.over;
        drop(self.channel.wait_while(queue, Some(LAST_PATIENCE), |queue| !queue.over));
        if let Some(thread) = self.thread.take().filter(|thread| !given_up && thread.is_finished()) {
            let _ = thread.join();
        }
    }
}

fn serve(channel: &Channel, mut journal: Journal) {
    let mut result = journal.rewrite();
    loop {
        let mut queue = channel.lock();
        note(&mut queue, &journal.path, result);
        queue.writing = false;
        if queue.complaint.is_none() {
            queue.taken.clear();
        }
        channel.changed.notify_all();
        if queue.complaint.is_some() {
            queue = channel.wait_while(queue, Some(RETRY), |queue| !queue.ended);
        } else {
            queue = channel.wait_while(queue, None, |queue| queue.entries.is_empty() && !queue.ended);
        }
        if queue.ended && queue.entries.is_empty() {
            return;
        }
        queue.writing = true;
        let entries = std::mem::take(&mut queue.entries);
        let records = std::mem::take(&mut queue.records);
        queue.output_bytes = 0;
        queue.taken.extend(entries.keys().cloned());
        drop(queue);
        let lines = journal.take(entries, records);
        result = journal.append(&lines);
    }
}

fn note(queue: &mut Queue, path: &Path, result: std::io::Result<()>) {
    let complaint = result.err().map(|error| {
        format!(
            "cannot write the ledger {}: {error}; changes are kept in memory until it can be written",
            path.display()
        )
    });
    match (&queue.complaint, &complaint) {
        (None, Some(now)) => tracing::error!("{now}"),
        (Some(_), None) => tracing::info!("the ledger {} is written again", path.display()),
        (None, None) | (Some(_), Some(_)) => {}
    }
    queue.failures = if complaint.is_some() { queue.failures.saturating_add(1) } else { 0 };
    queue.complaint = complaint;
}

/// The file, and what it must contain.
struct Journal {
    path: PathBuf,
    history: Files,
    /// The last run could not be added to the history.
    history_fails: bool,
    id: String,
    entries: BTreeMap<WatchName, LedgerEntry>,
    /// `None` after a failure: the next write starts with a whole new journal.
    file: Option<File>,
    length: u64,
    needed: u64,
}

impl Journal {
    /// Merges changes into the entries, and returns their lines.
    fn take(
        &mut self,
        entries: BTreeMap<WatchName, Option<LedgerEntry>>,
        records: BTreeMap<WatchName, VecDeque<RunRecord>>,
    ) -> Vec<u8> {
        let mut lines = Vec::new();
        let records =
            records.into_iter().flat_map(|(watch, all)| all.into_iter().map(move |r| (watch.clone(), r)));
        for (watch, record) in records {
            self.add_to_history(&watch, &record);
            let record = record.shortened();
            self.entries.entry(watch.clone()).or_default().remember(record.clone());
            lines.extend(journal::encode(&Line::Run { watch: watch.to_string(), record }));
        }
        for (watch, entry) in entries {
            let Some(entry) = entry else {
                self.entries.remove(&watch);
                self.history.forget(&watch);
                lines.extend(journal::encode(&Line::Forget(watch.to_string())));
                continue;
            };
            lines.extend(journal::encode(&Line::Watch(Box::new(EntryLine::of(&watch, &entry)))));
            let kept = self.entries.entry(watch).or_default();
            let history = std::mem::take(&mut kept.history);
            *kept = LedgerEntry { history, ..entry };
        }
        lines
    }

    /// A disk that refuses costs the whole output of a run; the journal still has its last lines.
    fn add_to_history(&mut self, watch: &WatchName, record: &RunRecord) {
        let added = self.history.append(watch, record.clone());
        if let (Err(error), false) = (&added, self.history_fails) {
            tracing::warn!(watch = %watch, "cannot add a run to the history: {error}; its last lines are in the ledger");
        }
        self.history_fails = added.is_err();
    }

    fn append(&mut self, lines: &[u8]) -> std::io::Result<()> {
        // Whatever is written to an unlinked file is lost with it.
        let there = |file: &File| file.metadata().is_ok_and(|found| found.nlink() > 0);
        let Some(file) = self.file.as_mut().filter(|file| there(file)) else { return self.rewrite() };
        if let Err(error) = file.write_all(lines) {
            self.file = None;
            return Err(error);
        }
        self.length += lines.len() as u64;
        if self.length > self.needed * 2 + SLACK { self.rewrite() } else { Ok(()) }
    }

    /// Writes a whole new journal beside the old one and renames it into place, so that there is always a complete one.
    fn rewrite(&mut self) -> std::io::Result<()> {
        let bytes = journal::encode_all(&self.id, self.entries.iter());
        let beside = self.path.with_extension("new");
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&beside)?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        let renamed = written.and_then(|()| std::fs::rename(&beside, &self.path));
        if let Err(error) = renamed {
            // On a full disk the failed attempt must not take the last free space.
            let _ = std::fs::remove_file(&beside);
            return Err(error);
        }
        self.length = bytes.len() as u64;
        self.needed = self.length;
        self.file = Some(file);
        Ok(())
    }
}
