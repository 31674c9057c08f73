//! Restores a watch's state from the ledger: its machine, paused or stopped as recorded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::daemon::runs::Runs;
use crate::ledger::Paused;
use crate::policy::{Entropy, Machine, Pause, Suspension};
use crate::watch::{RunId, WatchSpec};

/// Ids of runs, and randomness.
pub(super) struct RunSource(Arc<Runs>);

impl Entropy for RunSource {
    fn run_id(&mut self) -> RunId {
        self.0.next_id()
    }

    fn jitter(&mut self) -> f64 {
        fastrand::f64()
    }
}

/// The machine of a watch that has seen no state yet.
pub(super) fn machine(spec: &WatchSpec, runs: &Arc<Runs>) -> Machine<RunSource> {
    let stopped = runs.book().is_stopped(spec);
    let paused = runs.ledger().read(spec.name.as_str(), |entry| entry.paused.as_ref().map(pause));
    let suspension = Suspension { paused, stopped };
    let mut machine = Machine::new(Arc::clone(&spec.policy), RunSource(Arc::clone(runs)), suspension);
    let entries = runs.ledger().read(spec.name.as_str(), |entry| {
        let applied = entry.applied.as_ref().filter(|applied| applied.is_of(&spec.target));
        applied.and_then(|applied| applied.entries)
    });
    if let Some(entries) = entries {
        machine.remember_entries(entries);
    }
    machine
}

/// A recorded pause on the monotonic clock. It lasts no longer than it was set for, in case the wall clock was wrong at
/// boot.
fn pause(paused: &Paused) -> Pause {
    let longest = paused.seconds.and_then(|length| Instant::now().checked_add(Duration::from_secs(length)));
    let until = paused.until.map(monotonic);
    Pause { until: until.map(|until| longest.map_or(until, |longest| until.min(longest))) }
}

/// A time of the wall clock on the monotonic clock.
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

/// A time of the monotonic clock on the wall clock; `None` beyond the calendar.
pub(super) fn wall_clock(time: Instant) -> Option<jiff::Timestamp> {
    let ahead: Duration = time.saturating_duration_since(Instant::now());
    jiff::Timestamp::now().checked_add(ahead).ok()
}
