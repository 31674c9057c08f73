//! Files that came into being and may still be written. Pure: time and what is found are arguments.
//!
//! Most are made empty, written, and read when their writer closes them. A file that was finished under another
//! name, or under none, and then linked to this one (`link` and `unlink`, `O_TMPFILE` and `linkat`) looks the
//! same when it comes, and nobody ever closes it. So what stays as it is for a while is taken for finished.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// A file whose status was changed after its content, as a new link does it, is hardly being written.
const LINKED: Duration = Duration::from_millis(250);
/// Any other may have a writer that is only slow.
const QUIET: Duration = Duration::from_secs(10);

/// What a write changes in a file.
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

    /// How long it has to stay as it is; `None`: it was just made to be written, as by `curl … > key` before the
    /// first byte, and will be closed.
    fn patience(&self) -> Option<Duration> {
        if self.changed > self.modified { Some(LINKED) } else { (self.size > 0).then_some(QUIET) }
    }
}

/// Files by place, each as it was at the last look.
#[derive(Debug)]
pub(super) struct Unfinished<KeyPath> {
    files: BTreeMap<KeyPath, (Stamp, Instant)>,
}

impl<KeyPath: Ord> Unfinished<KeyPath> {
    pub(super) fn new() -> Self {
        Self { files: BTreeMap::new() }
    }

    /// A file came, and looks so.
    pub(super) fn came(&mut self, place: KeyPath, stamp: Stamp, now: Instant) {
        self.files.remove(&place);
        if let Some(patience) = stamp.patience() {
            self.files.insert(place, (stamp, now + patience));
        }
    }

    /// It was finished, or went.
    pub(super) fn is_settled(&mut self, place: &KeyPath) {
        self.files.remove(place);
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.files.values().map(|(_, look)| *look).min()
    }

    /// Looks again at those whose time has come. What looks as before is taken for finished; so is, by `None`, what
    /// is no file any more.
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
    fn a_linked_file_is_finished_soon_and_one_that_may_be_written_when_it_was_quiet() {
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
    fn who_still_writes_is_waited_for() {
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
    fn what_was_closed_or_went_is_not_looked_at_again() {
        let began = Instant::now();
        let mut files = Unfinished::new();
        files.came("closed", stamp(1, 10, 10), began);
        files.came("gone", stamp(1, 10, 10), began);
        files.is_settled(&"closed");
        assert_eq!(files.finished(began + QUIET, |_| None), ["gone"]);
        assert_eq!(files.next_look(), None);
    }
}
