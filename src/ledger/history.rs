//! The history of each watch: its last runs with their whole output, in files of a bounded size.
//!
//! A watch has two files below `history/`, named by a hash of its name. Runs are appended to the first; when it has
//! half of `history_bytes`, it takes the place of the second. A line is that of a run in the journal, and one that was
//! cut by a crash is skipped. Runs that are not in the files, because an earlier version recorded them or the disk
//! refused, are known from the journal with their last lines alone.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::journal::{self, Line};
use super::state_dir;
use crate::watch::{RunRecord, WatchName};

/// `history_bytes` where `twitcher.conf` does not say otherwise.
pub const HISTORY_BYTES: u64 = 256 << 10;
/// What a line holds besides the output, at most.
const BESIDE_OUTPUT: usize = 1 << 10;

/// The files of all watches; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Files {
    directory: PathBuf,
    /// `history_bytes`.
    limit: Arc<AtomicU64>,
}

impl Files {
    pub(super) fn below(state_dir: &Path) -> Self {
        Self { directory: state_dir.join("history"), limit: Arc::new(AtomicU64::new(HISTORY_BYTES)) }
    }

    pub(super) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// The newer file of a watch, and the older one.
    fn paths(&self, watch: &WatchName) -> [PathBuf; 2] {
        let hash = Sha256::digest(watch.as_str().as_bytes());
        let name = hash.iter().take(16).fold(String::new(), |name, byte| name + &format!("{byte:02x}"));
        [self.directory.join(&name), self.directory.join(name + ".old")]
    }

    /// Adds a run.
    pub(super) fn append(&self, watch: &WatchName, mut record: RunRecord) -> io::Result<()> {
        let half = self.limit.load(Ordering::Relaxed) / 2;
        let mut line = encode(watch, &record);
        if line.len() as u64 > half {
            // JSON doubles a byte at most: the output is escaped already.
            let room = usize::try_from(half).unwrap_or(usize::MAX).saturating_sub(BESIDE_OUTPUT) / 2;
            let start = record.output.ceil_char_boundary(record.output.len().saturating_sub(room));
            record.output = format!("…{}", record.output.get(start..).unwrap_or_default());
            line = encode(watch, &record);
        }
        let [newer, older] = self.paths(watch);
        let mut file = self.open(&newer)?;
        let mut length = file.metadata()?.len();
        if length > 0 && length + line.len() as u64 > half {
            std::fs::rename(&newer, older)?;
            (file, length) = (self.open(&newer)?, 0);
        }
        if length > 0 {
            let mut last = [0];
            file.read_exact_at(&mut last, length - 1)?;
            if last != *b"\n" {
                line.insert(0, b'\n');
            }
        }
        file.write_all(&line)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let open = || {
            let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC;
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(flags).open(path)
        };
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(0o700).create(&self.directory)?;
                open()?
            }
            opened => opened?,
        };
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        match state_dir::objection(&found, nix::unistd::geteuid().as_raw()) {
            Some(why) => Err(io::Error::other(why)),
            None => Ok(file),
        }
    }

    /// The runs in the files, oldest first.
    pub(super) fn read(&self, watch: &WatchName) -> Vec<RunRecord> {
        // The newer one first: if it becomes the older one just now, its runs are read twice instead of never.
        let [newer, older] = self.paths(watch).map(|path| {
            let mut bytes = Vec::new();
            let read = state_dir::read(&path).and_then(|mut file| file.read_to_end(&mut bytes));
            journal::runs(read.map_or(&[][..], |_| &bytes), watch)
        });
        let mut seen = BTreeSet::new();
        let mut runs: Vec<RunRecord> = older.into_iter().chain(newer).collect();
        runs.retain(|run| seen.insert(run.run.clone()));
        runs
    }

    /// Deletes the files of a watch.
    pub(super) fn forget(&self, watch: &WatchName) {
        for path in self.paths(watch) {
            // Mostly there is none.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn encode(watch: &WatchName, record: &RunRecord) -> Vec<u8> {
    journal::encode(&Line::Run { watch: watch.to_string(), record: record.clone() })
}

/// The runs in the files, and those that only the journal has in their place before or after them.
pub(super) fn merged(files: Vec<RunRecord>, journal: Vec<RunRecord>) -> Vec<RunRecord> {
    let known: BTreeSet<_> = files.iter().map(|run| run.run.clone()).collect();
    let first_known = journal.iter().position(|run| known.contains(&run.run)).unwrap_or(0);
    let (mut before, mut after) = (journal, Vec::new());
    if !files.is_empty() {
        after = before.split_off(first_known);
        after.retain(|run| !known.contains(&run.run));
    }
    before.into_iter().chain(files).chain(after).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{name, record};
    use super::*;

    fn ids(runs: &[RunRecord]) -> Vec<String> {
        runs.iter().map(|run| run.run.to_string()).collect()
    }

    fn files(limit: u64) -> (tempfile::TempDir, Files) {
        let place = tempfile::tempdir().unwrap();
        let files = Files::below(place.path());
        files.set_limit(limit);
        (place, files)
    }

    /// A format on disk: later versions go on reading and writing it.
    #[test]
    fn a_file_is_written_and_read_as_it_always_was() {
        let (_place, files) = files(HISTORY_BYTES);
        files.append(&name("a/b"), record("l-1-1")).unwrap();
        let [newer, _] = files.paths(&name("a/b"));
        assert!(newer.ends_with("history/c14cddc033f64b9dea80ea675cf280a0"), "{}", newer.display());
        let golden = "{\"run\":{\"watch\":\"a/b\",\"record\":{\"run\":\"l-1-1\",\"reason\":\"change\",\"version\":\"7\",\
                      \"attempt\":1,\"coalesced\":1,\"started\":\"1970-01-01T00:00:00Z\",\"seconds\":0.5,\
                      \"outcome\":\"succeeded\",\"exit_code\":0,\"signal\":null,\"output\":\"done 🦀\\nline\"}}}\n";
        assert_eq!(std::fs::read_to_string(&newer).unwrap(), golden);
        assert_eq!(files.read(&name("a/b")), [record("l-1-1")]);
        assert!(files.read(&name("a")).is_empty());
        files.forget(&name("a/b"));
        assert!(files.read(&name("a/b")).is_empty());
    }

    #[test]
    fn the_files_are_bounded_and_the_newest_runs_stay() {
        let (place, files) = files(16 << 10);
        for number in 0..200 {
            let record = RunRecord { output: "x".repeat(500), ..record(&format!("r-{number}")) };
            files.append(&name("a"), record).unwrap();
        }
        let size: u64 = std::fs::read_dir(place.path().join("history"))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!((8 << 10..=16 << 10).contains(&size), "{size}");
        let runs = ids(&files.read(&name("a")));
        let expected: Vec<String> = (200 - runs.len()..200).map(|number| format!("r-{number}")).collect();
        assert!(runs == expected && runs.len() > 10, "{runs:?}");
        // One output is larger than all that may be kept.
        let long = RunRecord { output: "\"\n".repeat(20_000), ..record("long") };
        files.append(&name("a"), long).unwrap();
        let last = files.read(&name("a")).pop().unwrap();
        assert!(last.run.to_string() == "long" && last.output.starts_with('…'));
        assert!((3000..8 << 10).contains(&last.output.len()), "{}", last.output.len());
    }

    #[test]
    fn a_line_that_a_crash_cut_costs_itself_alone() {
        let (_place, files) = files(HISTORY_BYTES);
        for run in ["r-1", "r-2"] {
            files.append(&name("a"), record(run)).unwrap();
        }
        let [newer, _] = files.paths(&name("a"));
        let whole = std::fs::read(&newer).unwrap();
        std::fs::write(&newer, &whole[..whole.len() - 7]).unwrap();
        files.append(&name("a"), record("r-3")).unwrap();
        assert_eq!(ids(&files.read(&name("a"))), ["r-1", "r-3"]);
    }

    #[test]
    fn runs_that_only_the_journal_has_are_in_their_place() {
        let runs = |ids: &[&str]| ids.iter().map(|id| record(id)).collect::<Vec<_>>();
        for (files, journal, expected) in [
            (&[][..], &["1", "2"][..], &["1", "2"][..]),
            (&["1", "2"], &[], &["1", "2"]),
            (&["1", "2"], &["1", "2"], &["1", "2"]),
            (&["3", "4"], &["1", "2", "3", "4"], &["1", "2", "3", "4"]),
            (&["1", "2"], &["2", "3"], &["1", "2", "3"]),
            (&["2", "4"], &["1", "2", "3", "4", "5"], &["1", "2", "4", "3", "5"]),
            (&["1"], &["2", "3"], &["1", "2", "3"]),
        ] {
            assert_eq!(ids(&merged(runs(files), runs(journal))), expected, "{files:?} {journal:?}");
        }
    }
}
