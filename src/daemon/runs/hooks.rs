//! `on_give_up`: programs that report that a watch gave up or that its guard holds a state back.
//!
//! They are not runs: they have no slot, mutex, history or retries. At most 16 run at once, the rest wait in order. Each
//! gets TERM after 60 s or when the daemon's stop is due, and KILL after the watch's `kill_after`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, watch};

use super::judged::Judged;
use super::processes::Processes;
use crate::ledger::{Applied, Owed};
use crate::process::{
    Ended, FoundRun, Launch, Leftovers, OutputSink, RunCommand, RunCommands, RunDetails, Running, SpawnError,
};
use crate::watch::{Action, Outcome, Reason, RunRecord, Surroundings, WatchName, WatchSpec};

/// How many run at once.
const MOST: usize = 16;
/// How long after a start that the daemon could not make the next one is tried.
const AGAIN: Duration = Duration::from_secs(5);
/// How long each may take.
const LONGEST: Duration = Duration::from_mins(1);
/// Prefix of the ids of these processes. It is not a ledger's id, so that no daemon adopts one as a run.
pub(super) const PREFIX: &str = "on_give_up";

/// Prefix of the ids of this ledger's processes.
pub(super) fn prefix(ledger: &str) -> String {
    format!("{PREFIX}-{ledger}-")
}

/// What the program is told: the outcome of the state.
#[derive(Debug)]
pub(in crate::daemon) struct HookReport {
    /// The word in `TWITCHER_OUTCOME`.
    pub(in crate::daemon) outcome: String,
    pub(in crate::daemon) exit_code: Option<i32>,
    pub(in crate::daemon) reason: Reason,
    pub(in crate::daemon) attempt: u32,
    pub(in crate::daemon) coalesced: u64,
    /// The last output of the run, for standard input.
    pub(in crate::daemon) output: String,
}

impl HookReport {
    /// The last retry failed, and this was the run.
    pub(in crate::daemon) fn failed(last: RunRecord) -> Self {
        let RunRecord { outcome, exit_code, reason, attempt, coalesced, output, .. } = last;
        Self { outcome, exit_code, reason, attempt, coalesced, output }
    }

    /// A guard holds the state back.
    pub(in crate::daemon) fn held() -> Self {
        Self {
            outcome: "held".to_owned(),
            exit_code: None,
            reason: Reason::Change,
            attempt: 1,
            coalesced: 1,
            output: String::new(),
        }
    }

    /// `validate` refused the state.
    pub(in crate::daemon) fn refused(judged: &Judged) -> Self {
        Self { exit_code: judged.outcome.exit_code(), output: judged.output.clone(), ..Self::held() }
    }

    /// The report that a former daemon owed.
    pub(super) fn of(owed: Owed) -> Self {
        let Owed { state: _, outcome, exit_code, reason, attempt, coalesced, output } = owed;
        Self { outcome, exit_code, reason, attempt, coalesced, output }
    }

    /// The form in which it waits in the ledger.
    pub(super) fn owed(&self, state: Applied) -> Owed {
        let Self { outcome, exit_code, reason, attempt, coalesced, output } = self;
        let (outcome, output) = (outcome.clone(), output.clone());
        let (exit_code, reason, attempt, coalesced) = (*exit_code, *reason, *attempt, *coalesced);
        Owed { state, outcome, exit_code, reason, attempt, coalesced, output }
    }

    /// The watch with the program as its action and the outcome in the environment.
    pub(super) fn spec(&self, spec: &WatchSpec, program: &Action) -> WatchSpec {
        let mut surroundings = Surroundings::clone(&spec.surroundings);
        surroundings.env.insert("TWITCHER_OUTCOME".to_owned(), self.outcome.clone());
        if let Some(code) = self.exit_code {
            surroundings.env.insert("TWITCHER_EXIT_CODE".to_owned(), code.to_string());
        }
        WatchSpec { action: program.clone(), surroundings: Arc::new(surroundings), ..spec.clone() }
    }
}

/// The programs that run or wait.
#[derive(Debug)]
pub(super) struct Hooks {
    room: Arc<Semaphore>,
    pub(super) live: AtomicUsize,
    /// One has ended.
    pub(super) ended: Notify,
    /// When the daemon's stop is due.
    stop: watch::Sender<Option<Instant>>,
    /// Those that a killed daemon left running.
    old: Mutex<Vec<FoundRun>>,
    /// The states whose program waits for room.
    waiting: Mutex<BTreeMap<WatchName, Vec<Applied>>>,
}

impl Default for Hooks {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(MOST));
        let (live, stop) = (AtomicUsize::new(0), watch::Sender::new(None));
        Self { room, live, ended: Notify::new(), stop, old: Mutex::default(), waiting: Mutex::default() }
    }
}

impl Hooks {
    pub(super) fn is_empty(&self) -> bool {
        self.live.load(Ordering::Acquire) == 0
    }

    pub(super) fn found(&self, old: Vec<FoundRun>) {
        *self.old.lock().unwrap_or_else(PoisonError::into_inner) = old;
    }

    /// Those that a former daemon left running for this watch and this user, once.
    pub(super) fn take_old(&self, watch: &WatchName, uid: u32) -> Vec<FoundRun> {
        let mut old = self.old.lock().unwrap_or_else(PoisonError::into_inner);
        old.extract_if(.., |found| found.watch == *watch && found.uid == uid && found.marked).collect()
    }

    /// The program for this state waits for room.
    pub(super) fn wait(&self, watch: &WatchName, state: &Applied) {
        self.waiting().entry(watch.clone()).or_default().push(state.clone());
    }

    /// Whether the program for this state waits for room.
    pub(super) fn waits(&self, watch: &WatchName, state: &Applied) -> bool {
        self.waiting().get(watch).is_some_and(|states| states.contains(state))
    }

    /// The program for this state has room.
    pub(super) fn begins(&self, watch: &WatchName, state: &Applied) {
        let mut waiting = self.waiting();
        if let Some(states) = waiting.get_mut(watch) {
            states.retain(|waits| waits != state);
            if states.is_empty() {
                waiting.remove(watch);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<WatchName, Vec<Applied>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when one has ended.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Starts no further program; live ones get TERM at the deadline.
    pub(super) fn stop(&self, deadline: Instant) {
        self.stop.send_replace(Some(deadline));
    }
}

/// One program.
pub(super) struct Hook {
    pub(super) spec: WatchSpec,
    pub(super) details: RunDetails,
    pub(super) output: String,
}

impl Hook {
    /// Waits for room, calls `begins`, and runs the program to its end. A start that the daemon could not make for want of
    /// a resource of its own is made later.
    pub(super) async fn live(self, hooks: &Hooks, processes: &dyn Processes, begins: impl FnOnce()) {
        let mut stop = hooks.stop.subscribe();
        let name = self.spec.name.clone();
        let _room = tokio::select! {
            biased;
            _ = stop.wait_for(Option::is_some) => return waits_for_next_start(&name),
            room = hooks.room.acquire() => room,
        };
        let run = self.details.run.clone();
        let mut started = self.start(processes);
        if let Some(error) = prevented(&started) {
            tracing::error!(watch = %name, "cannot start on_give_up: {error}; it is tried again by itself");
        }
        while prevented(&started).is_some() {
            tokio::select! {
                biased;
                _ = stop.wait_for(Option::is_some) => return waits_for_next_start(&name),
                () = tokio::time::sleep(AGAIN) => started = self.start(processes),
            }
        }
        begins();
        let outcome = match started {
            Ok(running) => self.end(running, &mut stop).await,
            Err(error) => error.outcome(),
        };
        match &outcome {
            Outcome::Exited(0) => tracing::info!(watch = %name, run = %run, "on_give_up succeeded"),
            Outcome::Exited(code) => {
                tracing::warn!(watch = %name, run = %run, "on_give_up failed with exit code {code}");
            }
            Outcome::Killed(signal) => {
                tracing::warn!(watch = %name, run = %run, "on_give_up was ended by {signal}");
            }
            Outcome::TimedOut { .. } => {
                tracing::warn!(watch = %name, run = %run, "on_give_up took more than {LONGEST:?} and was ended");
            }
            Outcome::NotStarted(why) => {
                tracing::warn!(watch = %name, run = %run, "on_give_up did not start: {why}");
            }
            Outcome::Unknown => {
                tracing::warn!(watch = %name, run = %run, "the end of on_give_up was not seen");
            }
        }
    }

    fn start(&self, processes: &dyn Processes) -> Result<Running, SpawnError> {
        let input = Some(Bytes::from(self.output.clone()));
        let sink = OutputSink::to_log(&Leftovers::default(), &self.spec.name, &self.details.run);
        let launch = Launch::new(&self.spec, &self.details, input, None)?;
        processes.start(&launch, sink)
    }

    /// Waits for its end; sends TERM when its time is over or the daemon's stop is due.
    async fn end(&self, running: Running, stop: &mut watch::Receiver<Option<Instant>>) -> Outcome {
        let Running { commands, mut ended, since, .. } = running;
        let limit = since.checked_add(LONGEST);
        loop {
            let due = *stop.borrow_and_update();
            let stops_first = due.is_some_and(|due| limit.is_none_or(|limit| due < limit));
            let at = [due, limit].into_iter().flatten().min().unwrap_or(since);
            tokio::select! {
                Ended { outcome, .. } = &mut ended => return outcome,
                () = tokio::time::sleep_until(at.into()) => {
                    commands.send(RunCommand::Term { timed_out: !stops_first });
                    break;
                }
                _ = stop.changed() => {}
            }
        }
        kill_after(self.spec.policy.kill_after, &commands, ended).await
    }
}

fn waits_for_next_start(watch: &WatchName) {
    tracing::warn!(watch = %watch, "on_give_up waits for the next start, because the daemon stops");
}

fn prevented(started: &Result<Running, SpawnError>) -> Option<&SpawnError> {
    started.as_ref().err().filter(|error| error.is_prevented())
}

/// Waits for a process that was sent TERM; after `patience` it gets KILL.
pub(super) async fn kill_after(
    patience: Duration,
    commands: &RunCommands,
    mut ended: impl Future<Output = Ended> + Unpin,
) -> Outcome {
    if let Ok(Ended { outcome, .. }) = tokio::time::timeout(patience, &mut ended).await {
        return outcome;
    }
    commands.send(RunCommand::Kill);
    ended.await.outcome
}
