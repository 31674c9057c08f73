//! When the state of a tree is worth a report, and what that proves. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::session::Proof;

/// How long a change in a tree waits for the other changes that are being looked at.
const HOLD_BACK: Duration = Duration::from_millis(500);

/// What is to be told of a tree.
#[derive(Debug, Default)]
pub(super) struct Announcement {
    /// Whether all of it was read, and nothing missed since; no part of it is shown as the whole.
    loaded: bool,
    /// Whether a report is owed, changed or not.
    owed: bool,
    changed: bool,
    /// Until when it waits for what else is being looked at.
    held: Option<Instant>,
}

impl Announcement {
    /// A report is owed as soon as everything has been read.
    pub(super) fn owe(&mut self) {
        self.owed = true;
    }

    /// Everything was read.
    pub(super) fn load(&mut self) {
        self.loaded = true;
    }

    /// Something may have been missed.
    pub(super) fn unload(&mut self) {
        self.loaded = false;
    }

    /// Something is another than it was.
    pub(super) fn change(&mut self, changed: bool) {
        self.changed |= changed;
    }

    /// Until when a report waits that could be made at once.
    pub(super) fn held(&self) -> Option<Instant> {
        self.held
    }

    /// Whether there is something to report now, and how it came about. `at_rest`: nothing is to be looked at.
    /// `proved`: everything was read since it was asked for.
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
    fn nothing_is_shown_before_all_of_it_was_read() {
        let (mut it, now) = (Announcement::default(), Instant::now());
        it.owe();
        it.change(true);
        assert_eq!(it.take(now, true, true), None);
        it.load();
        assert_eq!(it.take(now, true, true), Some(Proof::Read));
        assert_eq!(it.take(now, true, true), None, "told already");
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
    fn what_is_owed_waits_for_its_proof_and_changes_do_not() {
        let (mut it, now) = (Announcement::default(), Instant::now());
        it.load();
        it.owe();
        assert_eq!(it.take(now, true, false), None);
        assert_eq!(it.held(), None, "there is nothing to be told");
        it.change(true);
        assert_eq!(it.take(now, true, false), Some(Proof::Event));
        assert_eq!(it.take(now, false, true), None);
        assert_eq!(it.take(now + HOLD_BACK, false, true), Some(Proof::Read));
    }
}
