//! Runs from their start or adoption to their last record (promises P3 and P5). Uses processes, the ledger and slots; the
//! room above decides when to run.
//!
//! | file | has |
//! |---|---|
//! | `own` | the runs of one watch: what its task holds |
//! | `book` | the only writer of run records |
//! | `end` | the end of a run: judged, logged, as a record |
//! | `found` | runs that only `/proc` knows |
//! | `hooks` | `on_give_up`: programs beside the runs |
//! | `orphans` | runs of watches that are not defined now |
//! | `slots` | `max_processes` and `mutex`: who may start next |
//! | `validate` | the program that judges states, beside the runs |
//! | `processes` | what is asked of the operating system |

mod book;
mod end;
#[cfg(test)]
pub(in crate::daemon) mod fixture;
mod found;
mod hooks;
mod judged;
mod orphans;
mod own;
mod prevented;
mod processes;
mod report;
mod run;
mod slots;
#[cfg(test)]
mod tests;
mod validate;
mod validator;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::ledger::{Ledger, LivePermit, described};
use crate::process::{self, Ended, FoundRun, Launch, OutputSink, RunDetails, Scripts, SpawnError, Spawner};
use crate::status::Preview;
use crate::watch::{Action, RunId, State, WatchName, WatchSpec};
pub(super) use book::Book;
pub(super) use end::End;
use found::Found;
pub(super) use hooks::HookReport;
use hooks::Hooks;
pub(super) use judged::Judged;
pub(super) use orphans::KILL_AFTER;
use orphans::{Orphan, Orphans};
pub(super) use own::{Begun, Concluded, OwnRuns};
use prevented::Shortage;
use processes::Processes;
use run::{Count, Origin, Run};
use slots::{Slot, Slots};
pub(super) use validate::limit as validate_limit;
pub(super) use validator::StateToJudge;

/// How long processes that do not show their environment may delay a start.
const LOOKING_FOR_RUNS: Duration = Duration::from_secs(5);

/// The dependencies of runs, shared by every watch.
pub(super) struct Runs {
    book: Book,
    processes: Arc<dyn Processes>,
    scripts: Scripts,
    slots: Arc<Slots>,
    /// Slots without a limit, for processes that share the slot of a live run.
    beside: Arc<Slots>,
    /// This start of the daemon, as part of the ids of its runs.
    start: String,
    last_number: AtomicU64,
    found: Found,
    orphans: Orphans,
    hooks: Hooks,
    live: Count,
    shortage: Shortage,
}

/// A run to be started.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) details: RunDetails,
    /// Its standard input; `None` is `/dev/null`.
    pub(super) input: Option<Bytes>,
    /// Its state.
    pub(super) state: State,
    /// The permit of its fleet's group.
    pub(super) permit: Option<LivePermit>,
}

/// A run without a process, and why.
#[derive(Debug)]
struct NotStarted {
    details: RunDetails,
    started: jiff::Timestamp,
    error: SpawnError,
}

/// The live runs of a watch that a former daemon started.
#[derive(Debug, Default)]
struct Adopted {
    /// For the current target.
    mine: Vec<Run>,
    /// For a former target of the watch.
    foreign: Vec<Run>,
}

impl Runs {
    /// What the daemon lacks for starts, as a complaint.
    pub(in crate::daemon) fn shortage(&self) -> Option<String> {
        self.shortage.complaint()
    }

    /// Runs whose records are in this ledger, and whose scripts are below the state directory.
    pub(super) fn new(
        spawner: Spawner,
        ledger: Ledger,
        state_dir: &Path,
        max_processes: usize,
        started: jiff::Timestamp,
    ) -> Self {
        let slots = Slots::new(max_processes);
        Self::with(Arc::new(spawner), ledger, state_dir, slots, started)
    }

    /// Without a state directory: nothing is recorded, no script is written, and the number of runs is unlimited.
    pub(super) fn ad_hoc(started: jiff::Timestamp) -> Self {
        let nowhere = Path::new("/nonexistent");
        let slots = Slots::unlimited();
        Self::with(Arc::new(Spawner::new()), Ledger::in_memory(), nowhere, slots, started)
    }

    fn with(
        processes: Arc<dyn Processes>,
        ledger: Ledger,
        state_dir: &Path,
        slots: Arc<Slots>,
        started: jiff::Timestamp,
    ) -> Self {
        Self {
            book: Book::new(ledger),
            processes,
            scripts: Scripts::new(state_dir),
            slots,
            beside: Slots::unlimited(),
            start: format!("{:x}", started.as_millisecond()),
            last_number: AtomicU64::new(0),
            found: Found::default(),
            orphans: Orphans::default(),
            hooks: Hooks::default(),
            live: Count::default(),
            shortage: Shortage::default(),
        }
    }

    /// The ledger. Only the book writes records of runs.
    pub(super) fn ledger(&self) -> &Ledger {
        self.book.ledger()
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    /// Number of live runs.
    pub(super) fn count(&self) -> u64 {
        self.live.get()
    }

    /// Changes `max_processes`.
    pub(super) fn set_max_processes(&self, max: u32) {
        self.slots.resize(usize::try_from(max).unwrap_or(usize::MAX));
    }

    /// Deletes the script files of watches other than these.
    pub(super) fn retain_scripts<'a>(&self, watches: impl Iterator<Item = &'a WatchSpec>) {
        let kept: BTreeSet<PathBuf> = watches
            .filter_map(|spec| match &spec.action {
                Action::Script(text) => Some(self.scripts.path(text, &spec.surroundings.account)),
                Action::Shell(_) | Action::Program(_) => None,
            })
            .collect();
        self.scripts.retain(&kept);
    }

    /// An id that no other run of this ledger has or had.
    pub(super) fn next_id(&self) -> RunId {
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        RunId(format!("{}-{}-{number}", self.ledger().id(), self.start).into())
    }

    /// Looks for runs of a former daemon that was killed between their start and their record, so that their watches adopt them
    /// (promise P3), and keeps reading the output of processes that ended runs left running.
    pub(super) async fn find(&self) {
        let processes = Arc::clone(&self.processes);
        let prefix = format!("{}-", self.ledger().id());
        let hooks = [hooks::prefix(self.ledger().id()), validate::prefix(self.ledger().id())];
        let live = self.ledger().live_runs();
        let adopted: BTreeSet<u64> = live
            .iter()
            .flat_map(|(_, live)| [live.process.output_pipe, live.process.errors_pipe])
            .flatten()
            .collect();
        // Reading another process's environment may block.
        let look = tokio::task::spawn_blocking(move || {
            // First, because a process that executes its action meanwhile is found below.
            let mut found = processes.kill_starts(&[&prefix, &hooks[0], &hooks[1]]);
            for start in &found {
                let pid = start.identity.pid;
                tracing::warn!(
                    watch = %start.watch,
                    run = %start.run,
                    "killed process {pid}, which a former daemon made and which had not executed the action yet"
                );
            }
            found.retain(|start| start.run.0.starts_with(&prefix));
            let left = processes.drain_leftovers(&prefix, &adopted);
            found.extend(processes.find_runs(&prefix));
            let hooks = hooks.iter().flat_map(|prefix| processes.find_runs(prefix)).collect();
            (found, hooks, left)
        });
        let Ok(Ok((found, hooks, left))) = tokio::time::timeout(LOOKING_FOR_RUNS, look).await else {
            tracing::warn!("cannot look through /proc for actions of a former daemon in time");
            return;
        };
        if left > 0 {
            tracing::info!("reading the output of {left} processes that former actions left running");
        }
        self.found.set(found);
        self.hooks.found(hooks);
    }

    /// Lets the runs of a former daemon hold their mutexes before any watch starts: each is adopted by its own watch, and
    /// another watch could start first. A run that is only known from `/proc` gets its watch's current mutex.
    pub(super) fn hold_mutexes<'a>(&self, watches: impl Iterator<Item = &'a WatchSpec>) {
        for (watch, live) in self.ledger().live_runs() {
            self.slots.hold(&watch, &live);
        }
        for spec in watches.filter(|spec| spec.mutex.is_some()) {
            if let Some(found) = self.found.claim(spec, &self.book.entry(&spec.name)) {
                self.record_found(spec, found);
            }
        }
    }

    fn record_found(&self, spec: &WatchSpec, found: FoundRun) {
        tracing::info!(watch = %spec.name, run = %found.run, "found process {}", found.identity.pid);
        let live = self.book.found(spec, found);
        self.slots.hold(&spec.name, &live);
    }

    /// What a run would be. No file is written and no process made.
    pub(super) fn preview(
        &self,
        spec: &WatchSpec,
        details: &RunDetails,
        input: Option<Bytes>,
    ) -> Result<Preview, SpawnError> {
        let script = match &spec.action {
            Action::Script(text) => Some(self.scripts.path(text, &spec.surroundings.account)),
            Action::Shell(_) | Action::Program(_) => None,
        };
        let preview = Launch::new(spec, details, input, script.as_deref())?.preview(&spec.name);
        let Some(program) = validate::as_action(spec) else { return Ok(preview) };
        let validate = Launch::new(&program, details, None, None)?.preview(&spec.name).arguments;
        Ok(Preview { validate, ..preview })
    }

    /// Starts a run and writes it down.
    fn start(
        &self,
        spec: &WatchSpec,
        plan: Plan,
        slot: Option<Slot>,
        sink: OutputSink,
    ) -> Result<Run, Box<NotStarted>> {
        let Plan { details, input, state, permit } = plan;
        let started = jiff::Timestamp::now();
        let launched = (|| {
            let script = match &spec.action {
                Action::Script(text) => {
                    let account = &spec.surroundings.account;
                    Some(process::blocking(|| self.scripts.ensure(text, account))?)
                }
                Action::Shell(_) | Action::Program(_) => None,
            };
            let path = script.as_ref().map(process::Script::path);
            let launch = Launch::new(spec, &details, input, path)?;
            Ok((self.processes.start(&launch, sink)?, script))
        })();
        match launched {
            Ok((running, script)) => {
                let live = self.book.started(spec, details, permit, started, running.identity.clone());
                self.slots.hold(&spec.name, &live);
                tracing::debug!(watch = %spec.name, run = %live.run, "started process {}", live.process.pid);
                Ok(Run::started(live, running, state, slot, script, self.live.one_more()))
            }
            Err(error) => Err(Box::new(NotStarted { details, started, error })),
        }
    }

    /// Adopts the live runs of a former daemon (promise P3): those of the watch's name, and those of a watch that it replaces
    /// under another name with the same definition. A run that is no longer alive was interrupted.
    fn adopt(&self, spec: &WatchSpec, sink: impl Fn(&RunId) -> OutputSink) -> Adopted {
        if let Some(found) = self.found.claim(spec, &self.book.entry(&spec.name)) {
            self.record_found(spec, found);
        }
        let mut claimed = self.claim_orphans(spec);
        let target = described(&spec.target);
        let mut adopted = Adopted::default();
        for live in self.book.entry(&spec.name).live {
            let mine = live.target == target;
            let origin = if mine { Origin::Adopted } else { Origin::Foreign };
            let orphan = claimed.iter().position(|run| run.live.run == live.run);
            let run = if let Some(at) = orphan {
                Some(claimed.swap_remove(at).claimed(live, origin))
            } else if let Some(running) = self.processes.adopt(&live.process, sink(&live.run)) {
                Some(Run::adopted(live, running, origin, self.live.one_more()))
            } else {
                let then = if mine { "; it is repeated" } else { "; the watch has another target now" };
                tracing::warn!(watch = %spec.name, run = %live.run, "the run ended with the daemon{then}");
                self.book.interrupted(&spec.name, &live);
                self.slots.release(&live);
                None
            };
            let Some(run) = run else { continue };
            tracing::info!(watch = %spec.name, run = %run.live.run, "adopted process {}", run.live.process.pid);
            if mine { adopted.mine.push(run) } else { adopted.foreign.push(run) }
        }
        adopted
    }

    fn claim_orphans(&self, spec: &WatchSpec) -> Vec<Run> {
        if self.orphans.is_empty() {
            return Vec::new();
        }
        let definition = spec.fingerprint();
        let claimed = self
            .orphans
            .claim(|orphan| orphan.watch == spec.name || orphan.run.live.definition == definition);
        let claimed = claimed.into_iter().map(|Orphan { watch, run }| {
            if watch != spec.name {
                self.book.renamed(&watch, &spec.name, run.live.clone());
            }
            run
        });
        claimed.collect()
    }

    /// Adopts the live runs of all watches that are not `defined`.
    pub(super) fn adopt_orphans(&self, defined: impl Fn(&WatchName) -> bool) {
        let live_runs = self.ledger().live_runs();
        for (watch, live) in live_runs.into_iter().filter(|(watch, _)| !defined(watch)) {
            let sink = OutputSink::to_log(&self.orphans.leftovers, &watch, &live.run);
            if let Some(running) = self.processes.adopt(&live.process, sink) {
                tracing::warn!(
                    watch = %watch,
                    run = %live.run,
                    "waiting for process {} of a watch that is no longer defined",
                    live.process.pid
                );
                let run = Run::adopted(live, running, Origin::Adopted, self.live.one_more());
                self.orphans.add(Orphan { watch, run });
            } else {
                tracing::warn!(
                    watch = %watch,
                    run = %live.run,
                    "the run ended with the daemon, and its watch is no longer defined"
                );
                self.book.interrupted(&watch, &live);
                self.slots.release(&live);
            }
        }
    }

    /// Waits until a run of an undefined watch ends and records that, or until an `on_give_up` ends. Never resolves while
    /// there is neither.
    pub(super) async fn turn(&self) {
        tokio::select! {
            (Orphan { watch, run }, ended) = self.orphans.ended() => self.write_off(&watch, &run, ended),
            () = self.hooks.ended() => {}
        }
    }

    fn write_off(&self, watch: &WatchName, run: &Run, ended: Ended) {
        let took = run.since.elapsed();
        // Only a parent learns how a process ended, so there is no exit code that could mean success.
        let end = End { repeat_at_next_start: true, ..End::judge(ended, took, &[], true) };
        tracing::warn!(
            watch = %watch,
            run = %run.live.run,
            outcome = end.word,
            "ended after {:.3} s; its watch is no longer defined",
            took.as_secs_f64()
        );
        self.book.ended(watch, &run.live, &end);
        self.slots.release(&run.live);
    }

    /// The daemon stops: ends the runs of undefined watches and every `on_give_up` at the deadline.
    pub(super) fn stop(&self, deadline: Instant) {
        self.orphans.stop(deadline);
        self.hooks.stop(deadline);
    }

    /// Whether neither a run of an undefined watch nor an `on_give_up` lives.
    pub(super) fn is_empty(&self) -> bool {
        self.orphans.is_empty() && self.hooks.is_empty()
    }
}
