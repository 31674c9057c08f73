//! What a watch takes over from a former daemon: runs that still live, what was applied, pauses and stops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::ground::Ground;
use super::perform::Running;
use super::task::{RunSource, Task};
use crate::ledger::{Paused, described};
use crate::policy::{Adopted, Baseline, Machine, Pause, Suspension};
use crate::watch::{Fingerprint, State, WatchSpec};

/// The machine of a watch, freshness as the ledger says.
pub(super) fn machine(spec: &WatchSpec, source: RunSource, ground: &Ground) -> Machine<RunSource> {
    let entry = ground.ledger.entry(spec.name.as_str()).unwrap_or_default();
    let stopped = entry.stopped.as_ref().is_some_and(|stopped| *stopped == fingerprint(spec));
    if entry.stopped.is_some() && !stopped {
        // Its definition was changed, which is what it waited for.
        ground.ledger.stop(&spec.name, None);
    }
    let paused = entry.paused.map(|paused| Pause {
        until: paused.until.map(|until| {
            let longest =
                paused.seconds.and_then(|length| Instant::now().checked_add(Duration::from_secs(length)));
            longest.map_or(monotonic(until), |longest| monotonic(until).min(longest))
        }),
    });
    Machine::new(Arc::clone(&spec.policy), source, Suspension { paused, stopped })
}

/// What the ledger knows about a first state.
pub(super) fn baseline(spec: &WatchSpec, ground: &Ground, state: &State) -> Baseline {
    let Some(entry) = ground.ledger.entry(spec.name.as_str()) else { return Baseline::Unknown };
    if entry.interrupted.is_some_and(|target| target == described(&spec.target)) {
        return Baseline::Interrupted;
    }
    let applied = entry.applied.as_ref().filter(|applied| applied.is_of(&spec.target));
    if applied.is_some_and(|applied| applied.covers(&spec.target, state)) {
        return Baseline::Applied;
    }
    // What came under a pause or a stop is applied on resume, whatever `run_on_load` says.
    let unsettled =
        |paused: &Paused| !paused.settled.as_ref().is_some_and(|settled| settled.covers(&spec.target, state));
    if entry.stopped.is_some() || entry.paused.as_ref().is_some_and(unsettled) {
        return Baseline::Pending;
    }
    if applied.is_some() { Baseline::Changed } else { Baseline::Unknown }
}

/// The fingerprint of a definition, as the ledger stores it.
pub(in crate::daemon) fn fingerprint(spec: &WatchSpec) -> Fingerprint {
    spec.fingerprint()
}

impl Task {
    /// Waits for the runs of a former daemon that still live (promise P3), and takes note of those that do not.
    pub(super) fn adopt(&mut self) {
        let mut claimed = self.ground.orphans.claim(&self.ground, &self.spec);
        let entry = self.ground.ledger.entry(self.spec.name.as_str()).unwrap_or_default();
        let target = described(&self.spec.target);
        for live in entry.live {
            let sink = self.sink(&live.run);
            let running =
                claimed.remove(&live.run).or_else(|| self.ground.spawner.adopt(&live.process, sink));
            let own = live.target == target;
            let Some(running) = running else {
                let then =
                    if own { "; it is repeated" } else { ", and the watch looks at something else now" };
                tracing::warn!(watch = %self.spec.name, run = %live.run, "the run did not outlive the daemon{then}");
                self.ground.ledger.interrupted(&self.spec.name, &live.run, &live.target);
                continue;
            };
            tracing::info!(watch = %self.spec.name, run = %live.run, "adopted process {}", live.process.pid);
            let started = running.since;
            let counted = self.ground.count_run();
            self.runs.push(Running::adopted(&live, running.commands, started, counted));
            self.machine.adopt(Adopted {
                run: live.run.clone(),
                // Another target's version says nothing about this one's states.
                version: live.version.parse().ok().filter(|_| own),
                reason: live.reason,
                attempt: live.attempt,
                coalesced: live.coalesced,
                started,
            });
            self.listen(live.run, running.ended);
        }
    }
}

/// A time of the wall clock on the clock that decisions are made by.
fn monotonic(time: jiff::Timestamp) -> Instant {
    let now = Instant::now();
    let ahead = time.duration_since(jiff::Timestamp::now());
    let length = ahead.unsigned_abs();
    if ahead.is_negative() {
        now.checked_sub(length).unwrap_or(now)
    } else {
        now.checked_add(length).unwrap_or(now)
    }
}

/// The other way round; `None` beyond the calendar.
pub(super) fn wall_clock(time: Instant) -> Option<jiff::Timestamp> {
    let ahead: Duration = time.saturating_duration_since(Instant::now());
    jiff::Timestamp::now().checked_add(ahead).ok()
}
