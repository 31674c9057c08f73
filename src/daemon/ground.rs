//! What all watches of a daemon stand on together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::orphans::Orphans;
use crate::ledger::{Entry, Ledger, LiveRun, described};
use crate::process::{FoundRun, Scripts, Spawner};
use crate::watch::{Action, Fingerprint, Outcome, Reason, RunId, WatchSpec};

/// How long a start may be held up by processes that do not show their environment.
const LOOKING_FOR_RUNS: Duration = Duration::from_secs(5);

/// Shared by every watch task.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) ledger: Ledger,
    pub(super) spawner: Spawner,
    pub(super) scripts: Scripts,
    /// `max_processes`; granted in the order of asking.
    pub(super) slots: Arc<Semaphore>,
    /// This start of the daemon, in the ids of its runs.
    start: String,
    runs: AtomicU64,
    /// Found in `/proc` at the start, and not yet claimed by their watches.
    lost: Mutex<Vec<FoundRun>>,
    /// Runs of former daemons whose watches are not defined now.
    pub(super) orphans: Orphans,
    /// Actions that run now.
    running: Arc<AtomicU64>,
    /// Who waits for the first run of each watch, which is its only one.
    once: Option<mpsc::UnboundedSender<Outcome>>,
}

impl Ground {
    pub(super) fn new(
        ledger: Ledger,
        state_dir: &Path,
        max_processes: usize,
        started: jiff::Timestamp,
    ) -> Self {
        Self {
            ledger,
            spawner: Spawner::new(),
            scripts: Scripts::new(state_dir),
            slots: Arc::new(Semaphore::new(max_processes)),
            start: format!("{:x}", started.as_millisecond()),
            runs: AtomicU64::new(0),
            lost: Mutex::default(),
            orphans: Orphans::default(),
            running: Arc::default(),
            once: None,
        }
    }

    /// Without a state directory: nothing is remembered, and no script is written. With `once` every watch
    /// retires with its first run, whose outcome is told there.
    pub(super) fn ad_hoc(started: jiff::Timestamp, once: Option<mpsc::UnboundedSender<Outcome>>) -> Self {
        let nowhere = Path::new("/nonexistent");
        let ground = Self::new(Ledger::in_memory(), nowhere, Semaphore::MAX_PERMITS, started);
        Self { once, ..ground }
    }

    /// Counts an action that runs.
    pub(super) fn count_run(&self) -> Counted {
        self.running.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.running))
    }

    /// How many actions run now.
    pub(super) fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// Whether a watch is over with its first run.
    pub(super) fn is_once(&self) -> bool {
        self.once.is_some()
    }

    /// Takes note of the outcome of a run.
    pub(super) fn ended(&self, outcome: &Outcome) {
        if let Some(once) = &self.once {
            let _ = once.send(outcome.clone());
        }
    }

    /// An id that no other run of this ledger has or had.
    pub(super) fn next_run(&self) -> RunId {
        let number = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        RunId(format!("{}-{}-{number}", self.ledger.id(), self.start).into())
    }
}

/// An action that runs, for as long as this lives.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A run's place in the order of starting: the daemon's start, and the run's number in it.
fn place(run: &RunId) -> Option<(i64, u64)> {
    let mut parts = run.0.rsplit('-');
    let number = parts.next()?.parse().ok()?;
    Some((i64::from_str_radix(parts.next()?, 16).ok()?, number))
}

impl Ground {
    /// Looks for actions of a former daemon that was killed between their start and their record, for their
    /// watches to judge (promise P3), and goes on draining what ended actions left running.
    pub(super) async fn find_lost_runs(&self) {
        let spawner = self.spawner.clone();
        let prefix = format!("{}-", self.ledger.id());
        let adopted: BTreeSet<u64> =
            self.ledger.live_runs().iter().filter_map(|(_, live)| live.process.output_pipe).collect();
        // Reading another process's environment may block.
        let look = tokio::task::spawn_blocking(move || {
            let left = spawner.drain_leftovers(&prefix, &adopted);
            (spawner.find_runs(&prefix), left)
        });
        let Ok(Ok((found, left))) = tokio::time::timeout(LOOKING_FOR_RUNS, look).await else {
            tracing::warn!("cannot look through /proc for actions of a former daemon in time");
            return;
        };
        if left > 0 {
            tracing::info!("reading on the output of {left} processes that former actions left running");
        }
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Writes down the run of a watch that was found and is not in the ledger, if there is one, for the watch to adopt.
    pub(super) fn note_lost_run(&self, spec: &WatchSpec) {
        let entry = self.ledger.entry(spec.name.as_str()).unwrap_or_default();
        let Some(found) = self.lost_run(spec, &entry) else { return };
        let FoundRun { run, store, key, version, identity, .. } = found;
        tracing::info!(watch = %spec.name, run = %run, "found process {}", identity.pid);
        let target = &spec.target;
        let own = store == target.store.as_str() && key == target.key.as_str();
        let live = LiveRun {
            run,
            // Of another target nobody knows more than that it is another.
            target: if own { described(target) } else { format!("{store} ? {key}") },
            definition: Fingerprint::default(),
            process: identity,
            started: jiff::Timestamp::now(),
            reason: Reason::Recovery,
            version,
            attempt: 1,
            coalesced: 1,
        };
        self.ledger.started(&spec.name, live);
    }

    /// The found run of a watch that the ledger does not know. A process that bears the mark of a leader is one; of
    /// others, what is newer than all that were written down. Any other is what an ended action left running: to
    /// wait for that would be to wait for ever, which is worse than to start beside an action that could not be
    /// marked. Believed only of the watch's own user, because anybody may set a variable.
    fn lost_run(&self, spec: &WatchSpec, entry: &Entry) -> Option<FoundRun> {
        let known = |run: &FoundRun| entry.live.iter().any(|live| live.run == run.run);
        let newest = entry.newest_run.as_ref();
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let at = lost.iter().position(|run| {
            let newer = newest.is_some_and(|newest| place(&run.run) > place(newest));
            let its = run.watch == spec.name && run.uid == spec.surroundings.account.uid;
            its && (run.marked || newer) && !known(run)
        })?;
        Some(lost.swap_remove(at))
    }

    /// The private file of a watch's script, if it has one.
    pub(super) fn script_of(&self, spec: &WatchSpec) -> Option<PathBuf> {
        match &spec.action {
            Action::Script(text) => Some(self.scripts.path(text, &spec.surroundings.account)),
            Action::Shell(_) | Action::Program(_) => None,
        }
    }

    /// Changes how many actions may run at once. Those that run go on; fewer means that fewer start.
    pub(super) fn set_max_processes(&self, old: u32, new: u32) {
        let difference = usize::try_from(old.abs_diff(new)).unwrap_or(usize::MAX);
        if new > old {
            self.slots.add_permits(difference);
            return;
        }
        let slots = Arc::clone(&self.slots);
        tokio::spawn(async move {
            for _ in 0..difference {
                // Those in use are taken as they are given back.
                if let Ok(permit) = slots.acquire().await {
                    permit.forget();
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found of a watch whose last run that was written down is `l-5-5`.
    #[test]
    fn a_lost_run_is_told_from_a_service() {
        let spec = crate::daemon::supervisor::tests::definition().spec;
        let uid = spec.surroundings.account.uid;
        let found = |run: &str, marked: bool, uid: u32| FoundRun {
            run: RunId(run.into()),
            watch: spec.name.clone(),
            store: spec.target.store.to_string(),
            key: spec.target.key.to_string(),
            version: "1".to_owned(),
            identity: crate::watch::ProcessIdentity {
                pid: 1,
                start_ticks: 1,
                boot_id: "b".into(),
                output_pipe: None,
            },
            marked,
            uid,
        };
        let judge = |run: FoundRun, newest: Option<&str>| {
            let ground = Ground::ad_hoc(jiff::Timestamp::now(), None);
            ground.lost.lock().unwrap().push(run);
            let entry = Entry { newest_run: newest.map(|run| RunId(run.into())), ..Entry::default() };
            ground.lost_run(&spec, &entry).is_some()
        };
        let newest = Some("l-5-5");
        assert!(judge(found("l-5-6", true, uid), newest) && judge(found("l-5-6", false, uid), newest));
        assert!(judge(found("l-3-9", true, uid), newest), "the clock was set back since");
        assert!(!judge(found("l-5-4", false, uid), newest), "a service of a run that ended");
        assert!(judge(found("l-5-6", true, uid), None), "the ledger was lost");
        assert!(!judge(found("l-5-6", false, uid), None), "a service, more likely than not");
        assert!(!judge(found("l-5-6", true, uid + 1), newest), "anybody may say so");
    }

    #[test]
    fn runs_are_ordered_by_start_and_number() {
        let run = |text: &str| RunId(text.into());
        let sorted = ["l-9-2", "l-9-10", "l-a-1", "l-1a1fc63734d-7"].map(|text| place(&run(text)));
        assert!(sorted.is_sorted() && sorted.iter().all(Option::is_some), "{sorted:?}");
        assert_eq!(place(&run("forged-x")), None);
    }
}
