//! What is known about a watch's first state: the only place that combines ledger, predecessor and panic into a
//! [`Baseline`].

use super::Baseline;
use crate::ledger::{GaveUp, LedgerEntry, Paused};
use crate::watch::{Fingerprint, State, Target, is_same};

/// Everything known about a watch before its first state.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// The ledger's record of the watch.
    pub ledger: &'a LedgerEntry,
    /// The watch's definition, to compare with the one under which it gave up. Needed only if the ledger has that.
    pub definition: Option<&'a Fingerprint>,
    /// The watch of the same name that this one replaces in the same daemon.
    pub predecessor: Option<Predecessor<'a>>,
    /// The watch restarts after a bug in twitcher: it is unknown what still had to be applied.
    pub fault: bool,
}

/// What a watch's predecessor left.
#[derive(Debug, Clone, Copy)]
pub struct Predecessor<'a> {
    /// Its target.
    pub target: &'a Target,
    /// The newest state that it saw.
    pub newest: Option<&'a State>,
    /// Whether that state still had to be applied.
    pub unserved: bool,
}

impl Predecessor<'_> {
    /// Whether it left `first` to its successor: it never saw that state, or it did not apply its newest one.
    fn left(self, first: &State) -> bool {
        let unseen = self.newest.is_some_and(|newest| !is_same(newest.as_seen(), first.as_seen()));
        self.unserved || unseen
    }
}

impl Past<'_> {
    /// Judges the first state of `target`. Computes a digest of the state, which takes time if it is large.
    pub fn baseline(&self, target: &Target, first: &State) -> Baseline {
        let predecessor = self.predecessor.filter(|predecessor| predecessor.target == target);
        if predecessor.is_some_and(|predecessor| predecessor.left(first)) {
            return Baseline::Pending;
        }
        match self.recorded(target, first) {
            // The panic lost what had to be applied: running once too often is better than never.
            Baseline::Changed | Baseline::GaveUp if self.fault => Baseline::Pending,
            Baseline::Unknown if self.fault && !first.content.is_absent() => Baseline::Pending,
            recorded @ (Baseline::Unknown
            | Baseline::Applied
            | Baseline::Changed
            | Baseline::GaveUp
            | Baseline::Interrupted
            | Baseline::Pending) => recorded,
        }
    }

    /// The baseline by the ledger alone.
    fn recorded(&self, target: &Target, first: &State) -> Baseline {
        let LedgerEntry { interrupted, applied, stopped, paused, gave_up, .. } = self.ledger;
        if interrupted.as_ref().is_some_and(|interrupted| *interrupted == crate::ledger::described(target)) {
            return Baseline::Interrupted;
        }
        let applied = applied.as_ref().filter(|applied| applied.is_of(target));
        if applied.is_some_and(|applied| applied.covers(target, first)) {
            return Baseline::Applied;
        }
        // A state that arrived during a pause or a stop is applied on resume, whatever `run_on_load` says.
        let unsettled =
            |paused: &Paused| !paused.settled.as_ref().is_some_and(|settled| settled.covers(target, first));
        if stopped.is_some() || paused.as_ref().is_some_and(unsettled) {
            return Baseline::Pending;
        }
        let failed =
            |given: &GaveUp| self.definition == Some(&given.definition) && given.state.covers(target, first);
        if gave_up.as_ref().is_some_and(failed) {
            return Baseline::GaveUp;
        }
        if applied.is_some() { Baseline::Changed } else { Baseline::Unknown }
    }
}
