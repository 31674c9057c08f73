//! The runs of one watch, and the slot for the next one, held by the watch's task.

use std::cell::OnceCell;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::end::{End, RunFacts};
use super::prevented::Prevented;
use super::run::{Origin, Run};
use super::slots::Slot;
use super::validator::Validator;
use super::{Adopted, NotStarted, Plan, Runs};
use crate::process::{Ended, Leftovers, OutputSink, RunCommand, SpawnError};
use crate::watch::{MutexName, RunId, State, WatchName, WatchSpec};

pub(in crate::daemon) struct OwnRuns {
    pub(super) shared: Arc<Runs>,
    /// The file that defines the watch, for the log.
    file: Arc<Path>,
    /// In start order. Foreign ones are first, because nothing starts beside them.
    live: Vec<Run>,
    slot: Option<Slot>,
    /// A slot is wanted, but not requested while a foreign run lives.
    wants_slot: bool,
    /// Nothing is started before the store has been read.
    pub(super) held: bool,
    /// Number of runs by outcome word.
    outcomes: Vec<(&'static str, u64)>,
    /// Created with the first run.
    leftovers: OnceCell<Leftovers>,
    /// The daemon is stopping: a run that fails now is repeated at the next start.
    stopping: bool,
    /// Why nothing can be started at present, for want of a resource of the daemon.
    prevented: Option<Box<Prevented>>,
    /// `validate`, while it judges or has something to judge.
    pub(super) validator: Option<Box<Validator>>,
}

impl OwnRuns {
    pub(in crate::daemon) fn new(shared: Arc<Runs>) -> Self {
        Self {
            shared,
            file: Path::new("").into(),
            live: Vec::new(),
            slot: None,
            wants_slot: false,
            held: false,
            outcomes: Vec::new(),
            leftovers: OnceCell::new(),
            stopping: false,
            prevented: None,
            validator: None,
        }
    }

    /// Names the file that defines the watch.
    pub(in crate::daemon) fn defined_in(&mut self, file: &Arc<Path>) {
        self.file = Arc::clone(file);
    }

    pub(in crate::daemon) fn shared(&self) -> &Arc<Runs> {
        &self.shared
    }

    pub(in crate::daemon) fn live(&self) -> &[Run] {
        &self.live
    }

    pub(in crate::daemon) fn outcomes(&self) -> &[(&'static str, u64)] {
        &self.outcomes
    }

    /// Whether a run for another target lives, beside which nothing may start.
    pub(in crate::daemon) fn has_foreign(&self) -> bool {
        self.live.iter().any(Run::is_foreign)
    }

    /// Adopts the runs of a former daemon. Foreign runs get TERM after the watch's `timeout`, or else after `grace`. Returns the
    /// others, for the machine.
    pub(in crate::daemon) fn adopt(&mut self, spec: &WatchSpec, grace: Duration) -> &[Run] {
        let Adopted { mine, foreign } = self.shared.adopt(spec, |run| self.sink(spec, run));
        let now = Instant::now();
        self.live = foreign;
        for run in &self.live {
            let deadline = match spec.policy.timeout {
                Some(timeout) => run.since.checked_add(timeout),
                None => now.checked_add(grace),
            };
            if let Some(deadline) = deadline {
                run.end_by(deadline.max(now), spec.policy.kill_after);
            }
        }
        let foreign = self.live.len();
        self.live.extend(mine);
        self.live.get(foreign..).unwrap_or_default()
    }

    /// Requests a slot.
    pub(in crate::daemon) fn acquire(&mut self, spec: &WatchSpec) {
        self.wants_slot = true;
        self.ask_for_slot(spec);
    }

    fn ask_for_slot(&mut self, spec: &WatchSpec) {
        if self.wants_slot && !self.held && !self.has_foreign() {
            self.wants_slot = false;
            let (uid, mutex) = (spec.surroundings.account.uid, spec.mutex.as_ref());
            self.slot = Some(self.shared.slots.ask(&spec.name, uid, mutex));
        }
    }

    /// Starts nothing until [`OwnRuns::release_starts`]; a requested slot is given back meanwhile.
    pub(in crate::daemon) fn hold_starts(&mut self) {
        self.held = true;
        // One that is held is in use: a permit is claimed in it, and what follows from that waits for the reading.
        self.wants_slot |= self.slot.take_if(|slot| !slot.is_held()).is_some();
        self.stop_waiting_to_validate();
    }

    /// Ends [`OwnRuns::hold_starts`].
    pub(in crate::daemon) fn release_starts(&mut self, spec: &WatchSpec) {
        self.held = false;
        self.ask_for_slot(spec);
        self.ask_to_validate(spec);
    }

    /// Gives the slot back, or withdraws the request.
    pub(in crate::daemon) fn release(&mut self) {
        self.wants_slot = false;
        self.slot = None;
    }

    /// Ready when the requested slot is granted.
    pub(in crate::daemon) fn poll_slot(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.slot.as_mut().map_or(Poll::Pending, |slot| slot.poll_granted(context))
    }

    /// The mutex that the next run waits for, and the watch whose run holds it.
    pub(in crate::daemon) fn waits_for_mutex(&self) -> Option<(MutexName, WatchName)> {
        self.slot.as_ref().and_then(Slot::mutex_held_by)
    }

    /// When to call [`OwnRuns::warn`].
    pub(in crate::daemon) fn warn_at(&self) -> Option<Instant> {
        self.slot.as_ref().and_then(Slot::warn_at)
    }

    /// Warns if the wait for a slot has become long.
    pub(in crate::daemon) fn warn(&mut self, spec: &WatchSpec, now: Instant) {
        if self.slot.as_mut().is_some_and(|slot| slot.is_overdue(now)) {
            let why = if let Some((mutex, holder)) = self.waits_for_mutex() {
                format!("a run of {holder} holds the mutex {mutex}")
            } else {
                format!("of max_processes; {} actions are running", self.shared.count())
            };
            tracing::warn!(watch = %spec.name, "a run has waited for a minute because {why}");
        }
    }

    /// Starts a run in the slot.
    pub(in crate::daemon) fn start(&mut self, spec: &WatchSpec, plan: Plan) -> Begun {
        let sink = self.sink(spec, &plan.details.run);
        let slot = self.slot.take();
        match self.shared.start(spec, plan, slot, sink) {
            Ok(run) => {
                self.live.push(run);
                self.unprevented(spec);
                // A newer state may have begun to wait for a slot before this run took one.
                self.ask_to_validate(spec);
                Begun::Live
            }
            Err(not_started) if not_started.error.is_prevented() => {
                self.prevented(spec, "the action", &not_started.error);
                Begun::Prevented
            }
            Err(not_started) => {
                self.unprevented(spec);
                Begun::Ended(self.not_started(spec, &not_started))
            }
        }
    }

    /// A start was prevented.
    pub(super) fn prevented(&mut self, spec: &WatchSpec, what: &str, error: &SpawnError) {
        let known = self.prevented.take().map(|known| *known);
        self.prevented = Some(Box::new(Prevented::again(known, &self.shared.shortage, spec, what, error)));
    }

    /// A start was not prevented.
    pub(super) fn unprevented(&mut self, spec: &WatchSpec) {
        if let Some(prevented) = self.prevented.take() {
            prevented.over(spec);
        }
    }

    /// No state waits for a run: what prevented a start prevents none now, unless one of `validate` is to be tried again.
    pub(in crate::daemon) fn nothing_to_start(&mut self) {
        if self.validator.as_ref().is_none_or(|validator| validator.again.is_none()) {
            self.prevented = None;
        }
    }

    /// Why nothing can be started for want of a resource of the daemon, as a sentence without its full stop.
    pub(in crate::daemon) fn prevented_words(&self) -> Option<String> {
        self.prevented.as_deref().map(Prevented::words)
    }

    fn not_started(&mut self, spec: &WatchSpec, not_started: &NotStarted) -> End {
        let NotStarted { details, started, error } = not_started;
        let version = details.version.to_string();
        let facts = RunFacts {
            run: &details.run,
            reason: details.reason,
            version: &version,
            attempt: details.attempt,
            coalesced: details.coalesced,
            started: *started,
        };
        let ended = Ended { outcome: error.outcome(), output_tail: String::new() };
        let end = End::judge(ended, Duration::ZERO, &spec.policy.success_codes, self.stopping);
        end.log(&spec.name, &self.file, &facts, false);
        self.count(end.word);
        self.shared.book.not_started(spec, &facts, &end);
        end
    }

    /// Ready when a run has ended.
    pub(in crate::daemon) fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<(RunId, Ended)> {
        let ended = self.live.iter_mut().find_map(|run| match Pin::new(&mut run.ended).poll(context) {
            Poll::Ready(ended) => Some((run.live.run.clone(), ended)),
            Poll::Pending => None,
        });
        ended.map_or(Poll::Pending, Poll::Ready)
    }

    /// Logs and records the end of a run, and frees its slot and mutex. The run stays available to [`OwnRuns::given`] until
    /// [`OwnRuns::forget`].
    pub(in crate::daemon) fn ended(
        &mut self,
        spec: &WatchSpec,
        run: &RunId,
        ended: Ended,
    ) -> Option<Concluded> {
        let stopping = self.stopping;
        let run = self.live.iter_mut().find(|other| other.live.run == *run)?;
        run.slot = None;
        let end = End::judge(ended, run.since.elapsed(), &spec.policy.success_codes, stopping);
        end.log(&spec.name, &self.file, &RunFacts::of(&run.live), run.dismissed);
        self.shared.book.ended(&spec.name, &run.live, &end);
        self.shared.slots.release(&run.live);
        let foreign = run.is_foreign();
        self.count(end.word);
        Some(if foreign { Concluded::Foreign } else { Concluded::Own(end) })
    }

    /// The state of a run of this daemon.
    pub(in crate::daemon) fn given(&self, run: &RunId) -> Option<&State> {
        let run = self.live.iter().find(|other| other.live.run == *run)?;
        match &run.origin {
            Origin::Started(state) => Some(state),
            Origin::Adopted | Origin::Foreign => None,
        }
    }

    /// Drops a run that has ended.
    pub(in crate::daemon) fn forget(&mut self, spec: &WatchSpec, run: &RunId) {
        self.live.retain(|other| other.live.run != *run);
        if self.live.is_empty() {
            // Ten thousand idle watches should hold no buffers.
            self.live = Vec::new();
        }
        self.ask_for_slot(spec);
    }

    /// Sends a command to a run.
    pub(in crate::daemon) fn command(&mut self, run: &RunId, command: RunCommand) {
        let Some(run) = self.live.iter_mut().find(|other| other.live.run == *run) else { return };
        match command {
            RunCommand::Notify(_) | RunCommand::Kill => {}
            RunCommand::Term { timed_out } => run.dismissed |= !timed_out,
        }
        run.commands.send(command);
    }

    /// Whether the system refused to send a run a signal.
    pub(in crate::daemon) fn refuses_signals(&self, run: &RunId) -> bool {
        self.live.iter().any(|other| other.live.run == *run && other.refuses_signals())
    }

    /// The definition was changed or removed: foreign runs of a watch without a `timeout` end at the deadline too.
    pub(in crate::daemon) fn retire(&self, spec: &WatchSpec, deadline: Option<Instant>) {
        if let Some(deadline) = deadline.filter(|_| spec.policy.timeout.is_none()) {
            self.end_foreign(spec, deadline);
        }
    }

    /// The daemon is stopping: foreign runs end at the deadline.
    pub(in crate::daemon) fn stop(&mut self, spec: &WatchSpec, deadline: Instant) {
        self.stopping = true;
        self.end_foreign(spec, deadline);
    }

    fn end_foreign(&self, spec: &WatchSpec, deadline: Instant) {
        for run in self.live.iter().filter(|run| run.is_foreign()) {
            run.end_by(deadline, spec.policy.kill_after);
        }
    }

    /// Sends KILL to every run, whatever grace is left.
    pub(in crate::daemon) fn kill(&mut self) {
        for run in &mut self.live {
            run.dismissed = true;
            run.commands.send(RunCommand::Kill);
        }
        self.kill_validation();
    }

    pub(super) fn sink(&self, spec: &WatchSpec, run: &RunId) -> OutputSink {
        OutputSink::to_log(self.leftovers.get_or_init(Leftovers::default), &spec.name, run)
    }

    fn count(&mut self, word: &'static str) {
        match self.outcomes.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => self.outcomes.push((word, 1)),
        }
    }
}

/// The end of a run, for the watch's task.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Concluded {
    /// The machine must learn of it.
    Own(End),
    /// It was for another target: the machine does not know it.
    Foreign,
}

/// What became of a start.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Begun {
    /// It runs.
    Live,
    /// It did not start, and has ended.
    Ended(End),
    /// The daemon could not start it for want of a resource of its own: it is no run.
    Prevented,
}
