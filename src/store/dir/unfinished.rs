//! Tracks files that were just created and may still be written. Pure: time and file states are arguments.
//!
//! Most files are created empty, written, and read when their writer closes them. A file that was finished under another
//! name, or without one, and then linked here (`link` and `unlink`, `O_TMPFILE` and `linkat`) produces the same event,
//! but no close follows. So a file that stays unchanged for a while counts as finished.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// For a file whose status changed after its content, as a new link causes it: it is unlikely to be open for writing.
const LINKED: Duration = Duration::from_millis(250);
/// For any other file, which may have a slow writer.
const QUIET: Duration = Duration::from_secs(10);

/// The attributes that a write changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(found: &Metadata) -> Self {
        Self {
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// How long it must stay unchanged; `None`: it was just created for writing, as by `curl … > key` before the first byte,
    /// and will be closed.
    fn patience(&self) -> Option<Duration> {
        if self.changed > self.modified { Some(LINKED) } else { (self.size > 0).then_some(QUIET) }
    }
}

/// Files by place, each with its state at the last check.
#[derive(Debug)]
pub(super) struct Unfinished<KeyPath> {
    files: BTreeMap<KeyPath, (Stamp, Instant)>,
}

impl<KeyPath: Ord> Unfinished<KeyPath> {
    pub(super) fn new() -> Self {
        Self { files: BTreeMap::new() }
    }

    /// A file was created, in this state.
    pub(super) fn came(&mut self, place: KeyPath, stamp: Stamp, now: Instant) {
        self.files.remove(&place);
        if let Some(patience) = stamp.patience() {
            self.files.insert(place, (stamp, now + patience));
        }
    }

    /// It was closed or removed.
    pub(super) fn is_settled(&mut self, place: &KeyPath) {
        self.files.remove(place);
    }

    /// When to check again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.files.values().map(|(_, look)| *look).min()
    }

    /// Checks the files that are due. A file that has not changed counts as finished, and so does, by `None`, a name that is
    /// no longer a file.
    pub(super) fn finished(
        &mut self,
        now: Instant,
        mut look: impl FnMut(&KeyPath) -> Option<Stamp>,
    ) -> Vec<KeyPath> {
        self.files
            .extract_if(.., |place, (before, due)| {
                if *due > now {
                    return false;
                }
                match look(place) {
                    Some(stamp) if stamp != *before => {
                        (*before, *due) = (stamp, now + stamp.patience().unwrap_or(QUIET));
                        false
                    }
                    Some(_) | None => true,
                }
            })
            .map(|(place, _)| place)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(size: u64, modified: i64, changed: i64) -> Stamp {
        Stamp { inode: 1, size, modified: (modified, 0), changed: (changed, 0) }
    }

    #[test]
    fn a_linked_file_is_finished_soon_and_a_possibly_open_one_after_a_quiet_time() {
        let began = Instant::now();
        let mut files = Unfinished::new();
        let (linked, written) = (stamp(3, 10, 11), stamp(3, 10, 10));
        files.came("empty", stamp(0, 10, 10), began);
        files.came("linked", linked, began);
        files.came("written", written, began);
        let as_before = |place: &&str| Some(if *place == "linked" { linked } else { written });
        assert_eq!(files.next_look(), Some(began + LINKED));
        assert!(files.finished(began, as_before).is_empty());
        assert_eq!(files.finished(began + LINKED, as_before), ["linked"]);
        assert_eq!(files.next_look(), Some(began + QUIET));
        assert_eq!(files.finished(began + QUIET, as_before), ["written"]);
        assert_eq!(files.next_look(), None);
    }

    #[test]
    fn a_file_that_is_still_written_is_waited_for() {
        let began = Instant::now();
        let mut files = Unfinished::new();
        files.came("slow", stamp(1, 10, 10), began);
        let mut now = began;
        for second in 1..10 {
            now += QUIET;
            assert!(
                files.finished(now, |_| Some(stamp(second * 100, 10 + second.cast_signed(), 99))).is_empty()
            );
            assert_eq!(files.next_look(), Some(now + LINKED));
        }
        assert!(files.finished(now, |_| panic!("it is not due")).is_empty());
    }

    #[test]
    fn a_closed_or_removed_file_is_not_checked_again() {
        let began = Instant::now();
        let mut files = Unfinished::new();
        files.came("closed", stamp(1, 10, 10), began);
        files.came("gone", stamp(1, 10, 10), began);
        files.is_settled(&"closed");
        assert_eq!(files.finished(began + QUIET, |_| None), ["gone"]);
        assert_eq!(files.next_look(), None);
    }
}
