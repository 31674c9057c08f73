//! How a live watch looks from outside: what `status` shows of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use super::explain::resting_words;
use super::remembered::wall_clock;
use super::task::Task;
use crate::ledger::Ledger;
use crate::policy::Phase;
use crate::status::{RunningStatus, WatchState, WatchStatus};
use crate::store::Freshness;
use crate::watch::{WatchSpec, WatchType};

/// Of a watch whose task does not answer.
pub(in crate::daemon) const HANGS: &str = "it does not answer: an operation that it waits for hangs, for example on a network file system without its server";

/// The status of a watch that does not answer. A task answers at once unless an operation hangs.
pub(in crate::daemon) fn unasked(spec: &WatchSpec, file: &Path, ledger: &Ledger) -> WatchStatus {
    let (applied, runs, failures, last, last_success) = ledger.read(spec.name.as_str(), |entry| {
        let applied = entry.applied.as_ref().filter(|applied| applied.is_of(&spec.target));
        (
            applied.map(|a| a.version.clone()),
            entry.ended,
            entry.failed,
            entry.history.back().cloned(),
            entry.succeeded,
        )
    });
    WatchStatus {
        name: spec.name.to_string(),
        description: spec.description.clone(),
        file: file.display().to_string(),
        store: spec.target.store.to_string(),
        key: spec.target.key.to_string(),
        watch_type: word(spec.target.watch_type).to_owned(),
        state: WatchState::Waiting,
        version: None,
        applied,
        converged: false,
        gave_up: false,
        unreachable: true,
        action: spec.action.to_string(),
        user: spec.surroundings.account.user.clone(),
        next_retry: None,
        paused_until: None,
        verified_seconds: None,
        error: Some(HANGS.to_owned()),
        held: false,
        guard: None,
        prevented: None,
        running: Vec::new(),
        runs,
        failures,
        outcomes: BTreeMap::new(),
        last,
        last_success,
        waiting_for_slot: false,
        fleet: None,
    }
}

/// What is shown of a disabled watch: the ledger's record.
pub(in crate::daemon) fn disabled(spec: &WatchSpec, file: &Path, ledger: &Ledger) -> WatchStatus {
    WatchStatus {
        state: WatchState::Disabled,
        error: None,
        unreachable: false,
        ..unasked(spec, file, ledger)
    }
}

impl Task {
    pub(super) fn view(&self) -> WatchStatus {
        let freshness = self.subscription.freshness();
        let phase = self.machine.phase();
        let resting = self.resting().map(|until| resting_words(until, Instant::now()));
        let unreachable = resting.is_some()
            || freshness.error.is_some()
            || !freshness.connected
            || self.newest_missing(&freshness);
        let running = self.runs.live().iter().map(|run| RunningStatus {
            run: run.live.run.to_string(),
            pid: run.live.process.pid,
            started: run.live.started,
            version: run.live.version.clone(),
        });
        WatchStatus {
            state: state(phase, unreachable, self.runs.has_foreign()),
            version: self
                .machine
                .newest()
                .filter(|newest| !newest.content.is_absent())
                .map(|n| n.version.to_string()),
            converged: self.machine.converged() && !unreachable,
            gave_up: self.machine.gave_up(),
            waiting_for_slot: (self.machine.waits_for_slot() || self.runs.waits_to_validate())
                && !self.is_unread(),
            unreachable,
            next_retry: self.machine.next_retry().and_then(wall_clock),
            paused_until: self.machine.paused_until().and_then(wall_clock),
            verified_seconds: freshness.verified.map(|at| at.elapsed().as_secs_f64()),
            error: resting.or(freshness.error),
            held: self.machine.held().is_some(),
            guard: self.guard_words(),
            prevented: self.runs.prevented_words(),
            running: running.collect(),
            fleet: self.fleet_status(),
            outcomes: self
                .runs
                .outcomes()
                .iter()
                .map(|(outcome, count)| ((*outcome).to_owned(), *count))
                .collect(),
            ..unasked(&self.spec, &self.file, self.runs.shared().ledger())
        }
    }

    /// Connected, but the store has not shown this key yet.
    fn newest_missing(&self, freshness: &Freshness) -> bool {
        self.machine.newest().is_none() && freshness.verified.is_none()
    }
}

fn state(phase: Phase, unreachable: bool, has_foreign: bool) -> WatchState {
    match phase {
        // The machine does not know runs for another target.
        Phase::Idle
        | Phase::Held
        | Phase::Settling
        | Phase::Splaying
        | Phase::Waiting
        | Phase::Retrying
        | Phase::Failed
            if has_foreign =>
        {
            WatchState::Running
        }
        Phase::Held => WatchState::Held,
        // The machine does not know whether its store is reachable.
        Phase::Failed => WatchState::Failed,
        Phase::Idle if unreachable => WatchState::Unreachable,
        Phase::Idle => WatchState::Idle,
        Phase::Settling => WatchState::Settling,
        Phase::Splaying => WatchState::Splaying,
        Phase::Waiting => WatchState::Waiting,
        Phase::Running => WatchState::Running,
        Phase::Retrying => WatchState::Retrying,
        Phase::Paused => WatchState::Paused,
        Phase::Stopped => WatchState::Stopped,
    }
}

fn word(watch_type: WatchType) -> &'static str {
    match watch_type {
        WatchType::Data => "data",
        WatchType::Children => "children",
        WatchType::Tree => "tree",
    }
}
