//! The book of runs: the only code that writes run records into the ledger.
//!
//! Each run is recorded when its process exists (`started`), and its record ends with exactly one of `ended` and
//! `interrupted`. The state of a successful run becomes `applied`.

use super::end::{End, RunFacts};
use super::hooks::HookReport;
use crate::ledger::{Applied, GaveUp, Ledger, LedgerEntry, LivePermit, LiveRecord, Owed, described};
use crate::process::{FoundRun, RunDetails};
use crate::watch::{Fingerprint, ProcessIdentity, Reason, State, Target, WatchName, WatchSpec};

#[derive(Debug)]
pub(in crate::daemon) struct Book {
    ledger: Ledger,
}

impl Book {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The record of a watch.
    pub(super) fn entry(&self, watch: &WatchName) -> LedgerEntry {
        self.ledger.entry(watch.as_str()).unwrap_or_default()
    }

    /// A run has a process.
    pub(super) fn started(
        &self,
        spec: &WatchSpec,
        details: RunDetails,
        permit: Option<LivePermit>,
        started: jiff::Timestamp,
        process: ProcessIdentity,
    ) -> LiveRecord {
        let RunDetails { run, reason, version, attempt, coalesced, permit: _ } = details;
        let live = LiveRecord {
            run,
            target: described(&spec.target),
            definition: spec.fingerprint(),
            mutex: spec.mutex.as_ref().map(ToString::to_string),
            process,
            started,
            reason,
            version: version.to_string(),
            attempt,
            coalesced,
            permit,
        };
        self.ledger.started(&spec.name, live.clone());
        live
    }

    /// A run of this watch was found in `/proc`; the daemon that started it was killed before it recorded the run.
    pub(super) fn found(&self, spec: &WatchSpec, found: FoundRun) -> LiveRecord {
        let FoundRun { run, store, key, version, identity, .. } = found;
        let target = &spec.target;
        let is_for = |permit: &LivePermit| permit.state.split_once('/').is_some_and(|(of, _)| of == version);
        let permit = self.ledger.read(spec.name.as_str(), |entry| entry.granted.clone()).filter(is_for);
        let own = store == target.store.as_str() && key == target.key.as_str();
        let live = LiveRecord {
            run,
            // For another target, the watch type is unknown.
            target: if own { described(target) } else { format!("{store} ? {key}") },
            definition: Fingerprint::default(),
            mutex: spec.mutex.as_ref().map(ToString::to_string),
            process: identity,
            started: jiff::Timestamp::now(),
            reason: Reason::Recovery,
            version,
            attempt: 1,
            coalesced: 1,
            permit,
        };
        self.ledger.started(&spec.name, live.clone());
        live
    }

    /// A run is over.
    pub(super) fn ended(&self, watch: &WatchName, live: &LiveRecord, end: &End) {
        self.ledger.ended(watch, RunFacts::of(live).record(end), end.is_success());
        if end.repeat_at_next_start {
            self.interrupted(watch, live);
        }
    }

    /// A run never got a process.
    pub(super) fn not_started(&self, spec: &WatchSpec, facts: &RunFacts<'_>, end: &End) {
        self.ledger.ended(&spec.name, facts.record(end), false);
        if end.repeat_at_next_start {
            self.ledger.interrupted(&spec.name, facts.run, &described(&spec.target));
        }
    }

    /// A run is over and its outcome is lost, or does not count: it must be repeated.
    pub(super) fn interrupted(&self, watch: &WatchName, live: &LiveRecord) {
        self.ledger.interrupted(watch, &live.run, &live.target);
    }

    /// Moves a run to another watch, because the watch was renamed.
    pub(super) fn renamed(&self, from: &WatchName, to: &WatchName, live: LiveRecord) {
        self.ledger.renamed(from, to, live);
    }

    /// A run with this state succeeded, and no newer state has been applied.
    pub(in crate::daemon) fn applied(&self, watch: &WatchName, target: &Target, state: &State) {
        self.ledger.applied(watch, Applied::new(target, state));
    }

    /// Records that `on_give_up` is due for this state, and returns the state. `None`: it was run for this state
    /// before, or already `waits` in this daemon. What a former daemon owed is in the ledger alone, and does not wait
    /// in this one.
    pub(super) fn owe(
        &self,
        spec: &WatchSpec,
        state: &State,
        report: &HookReport,
        waits: impl Fn(&Applied) -> bool,
    ) -> Option<Applied> {
        let target = &spec.target;
        let told = |entry: &LedgerEntry| {
            let owed = entry.owed.as_ref().map(|owed| &owed.state).filter(|owed| waits(owed));
            entry.reported.iter().chain(owed).any(|told| told.covers(target, state))
        };
        if self.ledger.read(spec.name.as_str(), told) {
            return None;
        }
        let state = Applied::new(target, state);
        self.ledger.owe(&spec.name, Some(report.owed(state.clone())));
        Some(state)
    }

    /// The `on_give_up` that waited when a former daemon ended, unless the watch has none any more or it already
    /// `waits` in this daemon.
    pub(super) fn still_owed(&self, spec: &WatchSpec, waits: impl Fn(&Applied) -> bool) -> Option<Owed> {
        let owed = self.ledger.read(spec.name.as_str(), |entry| entry.owed.clone())?;
        if waits(&owed.state) {
            return None;
        }
        let wanted = spec.on_give_up.is_some() && owed.state.is_of(&spec.target);
        if !wanted {
            self.ledger.owe(&spec.name, None);
        }
        Some(owed).filter(|_| wanted)
    }

    /// The `on_give_up` for this state is run now.
    pub(super) fn reported(&self, watch: &WatchName, state: Applied) {
        self.ledger.reported(watch, state);
    }

    /// The last retry with this state failed.
    pub(in crate::daemon) fn gave_up(&self, spec: &WatchSpec, state: &State) {
        let state = Applied::new(&spec.target, state);
        self.ledger.gave_up(&spec.name, GaveUp { definition: spec.fingerprint(), state });
    }

    /// The watch is stopped until its definition changes.
    pub(in crate::daemon) fn stop(&self, spec: &WatchSpec) {
        self.ledger.stop(&spec.name, Some(spec.fingerprint()));
    }

    /// The watch is no longer stopped.
    pub(in crate::daemon) fn revive(&self, watch: &WatchName) {
        self.ledger.stop(watch, None);
    }

    /// Whether the watch is stopped. A change of the definition ends a stop; one recorded by version 0.1.0 counts as under this
    /// definition.
    pub(in crate::daemon) fn is_stopped(&self, spec: &WatchSpec) -> bool {
        self.ledger.renew_fingerprints(spec);
        let Some(stopped) = self.ledger.read(spec.name.as_str(), |entry| entry.stopped.clone()) else {
            return false;
        };
        let unchanged = stopped == spec.fingerprint();
        if !unchanged {
            self.revive(&spec.name);
        }
        unchanged
    }
}
