//! When a tree's state is reported, and with which proof. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::session::Proof;

/// How long a changed tree waits for nodes that are still being read before it is reported.
const HOLD_BACK: Duration = Duration::from_millis(500);

/// The pending report of a tree.
#[derive(Debug, Default)]
pub(super) struct Announcement {
    /// Whether the whole tree was read and no event can have been missed since. A partial tree is never reported.
    loaded: bool,
    /// Whether the driver waits for a report, even if nothing changed.
    owed: bool,
    changed: bool,
    /// How long a change waits for other nodes being read.
    held: Option<Instant>,
}

impl Announcement {
    /// The driver asked for a report.
    pub(super) fn owe(&mut self) {
        self.owed = true;
    }

    /// A full walk is complete.
    pub(super) fn load(&mut self) {
        self.loaded = true;
    }

    /// Events may have been missed.
    pub(super) fn unload(&mut self) {
        self.loaded = false;
    }

    /// The state changed.
    pub(super) fn change(&mut self, changed: bool) {
        self.changed |= changed;
    }

    /// Deadline of a pending report.
    pub(super) fn held(&self) -> Option<Instant> {
        self.held
    }

    /// The proof to report with, if a report is due now. `at_rest`: no node is waiting to be read. `proved`: everything
    /// was read since the driver asked.
    pub(super) fn take(&mut self, now: Instant, at_rest: bool, proved: bool) -> Option<Proof> {
        let proved = self.owed && proved;
        if !self.loaded || !(self.changed || proved) {
            self.held = None;
            return None;
        }
        if !at_rest && now < *self.held.get_or_insert(now + HOLD_BACK) {
            return None;
        }
        self.held = None;
        self.changed = false;
        if proved {
            self.owed = false;
        }
        Some(if proved { Proof::Read } else { Proof::Event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_reported_before_the_whole_tree_is_read() {
        let (mut it, now) = (Announcement::default(), Instant::now());
        it.owe();
        it.change(true);
        assert_eq!(it.take(now, true, true), None);
        it.load();
        assert_eq!(it.take(now, true, true), Some(Proof::Read));
        assert_eq!(it.take(now, true, true), None, "reported already");
        it.change(true);
        it.unload();
        assert_eq!(it.take(now, true, true), None);
        it.load();
        assert_eq!(it.take(now, true, true), Some(Proof::Event));
    }

    #[test]
    fn a_burst_is_one_report_and_waits_for_a_bounded_time() {
        let (mut it, now) = (Announcement::default(), Instant::now());
        it.load();
        it.change(true);
        assert_eq!(it.take(now, false, true), None);
        assert_eq!(it.held(), Some(now + HOLD_BACK));
        it.change(true);
        assert_eq!(it.take(now + HOLD_BACK / 2, false, true), None, "the first change counts");
        assert_eq!(it.take(now + HOLD_BACK, false, true), Some(Proof::Event));
        assert_eq!(it.held(), None);
        it.change(true);
        assert_eq!(it.take(now + HOLD_BACK, true, true), Some(Proof::Event), "at rest at once");
    }

    #[test]
    fn a_requested_report_waits_for_its_proof_and_changes_do_not() {
        let (mut it, now) = (Announcement::default(), Instant::now());
        it.load();
        it.owe();
        assert_eq!(it.take(now, true, false), None);
        assert_eq!(it.held(), None, "there is nothing to report");
        it.change(true);
        assert_eq!(it.take(now, true, false), Some(Proof::Event));
        assert_eq!(it.take(now, false, true), None);
        assert_eq!(it.take(now + HOLD_BACK, false, true), Some(Proof::Read));
    }
}
