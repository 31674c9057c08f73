//! Performs the machine's effects: slots, starts, signals, the ledger.

use std::time::Instant;

use bytes::Bytes;

use super::bulk;
use super::task::Task;
use crate::daemon::runs::{Begun, Concluded, End, Plan};
use crate::ledger::LivePermit;
use crate::policy::{Adopted, ControlResult, Effect, Input, RunEnd, Sent};
use crate::process::{Ended, RunCommand, RunDetails};
use crate::tree::document;
use crate::watch::{Output, Retries, RunId, State};

impl Task {
    /// Gives the machine an input and performs its effects, until there are no further ones.
    pub(super) fn decide(&mut self, input: Input) {
        let _ = self.decide_and_answer(input);
    }

    pub(super) fn decide_and_answer(&mut self, input: Input) -> Option<ControlResult> {
        let mut answer = None;
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.handle(input) {
                match effect {
                    Effect::Acquire => self.runs.acquire(&self.spec),
                    Effect::Release => self.runs.release(),
                    Effect::Permit(effect) => self.tell_group(&effect),
                    Effect::Start { state, reason, attempt, coalesced, run } => {
                        let version = state.version;
                        let details = RunDetails { run, reason, version, attempt, coalesced, permit: None };
                        let answer = self.start(state, details);
                        let is_last = self.spec.policy.retries == Retries::AtMost(0)
                            && !matches!(answer, Some(Input::Prevented(_)));
                        inputs.extend(answer);
                        inputs.extend(self.retire_if_once().filter(|_| is_last));
                    }
                    Effect::Signal { run, sent } => self.signal(&run, sent),
                    Effect::Skip { seq, why } => {
                        tracing::debug!(watch = %self.spec.name, "state {} is not run: {why:?}", seq.0);
                    }
                    Effect::Applied { run, .. } => {
                        if let Some(state) = self.runs.given(&run) {
                            self.record_applied(state);
                        }
                        inputs.extend(self.retire_if_once());
                    }
                    Effect::Validate { state, reason, coalesced } => {
                        self.validate(&state, reason, coalesced);
                    }
                    Effect::EndValidation => self.runs.end_validation(&self.spec),
                    Effect::Held { version, hold } => self.held(version, hold),
                    Effect::Recognised(state) => self.record_applied(&state),
                    Effect::GaveUp { run, attempts } => {
                        self.gave_up(&run, attempts);
                        inputs.extend(self.retire_if_once());
                    }
                    Effect::Stopped { run, attempts } => self.stopped(&run, attempts),
                    Effect::Revived => {
                        self.runs.shared().book().revive(&self.spec.name);
                        self.read_before_starts();
                    }
                    Effect::Resumed => {
                        self.runs.shared().ledger().pause(&self.spec.name, None);
                        self.read_before_starts();
                    }
                    Effect::Answer(given) => answer = Some(given),
                    Effect::Drained => self.drained = true,
                }
            }
        }
        if !self.machine.has_waiting() {
            self.runs.nothing_to_start();
        }
        self.tell_stand();
        self.answer_triggers();
        answer
    }

    /// Whatever the machine has to count in a large state holds up no other watch.
    fn handle(&mut self, input: Input) -> Vec<Effect> {
        let now = Instant::now();
        let judged = match &input {
            Input::State { state, .. } => Some(state),
            Input::Slot
            | Input::Permit(_)
            | Input::Claimed { .. }
            | Input::Refused(_)
            | Input::PermitLost(_)
            | Input::Offline
            | Input::Validated { .. }
            | Input::Ended(_)
            | Input::Prevented(_)
            | Input::Wakeup
            | Input::Control(_)
            | Input::Retire { .. }
            | Input::Stop { .. } => self.machine.newest(),
        };
        let guarded = judged.filter(|_| self.spec.policy.guard.is_on());
        match guarded.map(|state| state.content.clone()) {
            Some(content) => bulk::with(&content, || self.machine.handle(now, input)),
            None => self.machine.handle(now, input),
        }
    }

    /// Starts a run. One that does not start has ended, or was prevented, at once.
    fn start(&mut self, state: State, details: RunDetails) -> Option<Input> {
        let input = self.spec.pipe_stdin.then(|| self.rendered(&state));
        let run = details.run.clone();
        let granted = self.party.as_mut().and_then(|party| party.starting());
        let unpermitted = granted.is_none().then_some(details.attempt);
        let (permit, fence) = granted.unzip();
        let details = RunDetails { permit: fence.flatten(), ..details };
        let begun = self.runs.start(&self.spec, Plan { details, input, state, permit });
        // For the group a start that was prevented never was.
        if let Some(attempt) = unpermitted.filter(|_| begun != Begun::Prevented) {
            self.start_unpermitted(&run, attempt);
        }
        match begun {
            Begun::Live => None,
            Begun::Ended(end) => {
                self.has_ended(&run, &end);
                Some(Input::Ended(RunEnd { run, verdict: end.verdict }))
            }
            Begun::Prevented => Some(Input::Prevented(run)),
        }
    }

    /// A state as it is written on standard input.
    pub(super) fn rendered(&self, state: &State) -> Bytes {
        bulk::with(&state.content, || document::render(&state.content, self.spec.format))
    }

    /// A run has ended.
    pub(super) fn ended(&mut self, run: &RunId, ended: Ended) {
        match self.runs.ended(&self.spec, run, ended) {
            Some(Concluded::Own(end)) => {
                self.has_ended(run, &end);
                self.decide(Input::Ended(RunEnd { run: run.clone(), verdict: end.verdict }));
            }
            Some(Concluded::Foreign) | None => {}
        }
        self.runs.forget(&self.spec, run);
    }

    /// What ends a watch whose one run is over.
    fn retire_if_once(&self) -> Option<Input> {
        self.once.is_some().then_some(Input::Retire { deadline: None })
    }

    fn has_ended(&mut self, run: &RunId, end: &End) {
        if let Some(party) = &mut self.party {
            party.ended(run, end);
        }
        if let Some(once) = &self.once {
            let _ = once.send(end.outcome.clone());
        }
    }

    fn record_applied(&self, state: &State) {
        let (book, spec) = (self.runs.shared().book(), &self.spec);
        bulk::with(&state.content, || book.applied(&spec.name, &spec.target, state));
    }

    /// The state that a failed run was given, or the newest for an adopted run and for one that did not start. Not
    /// always the newest, because `run_mode = "discard"` may have skipped newer ones, which were neither run nor
    /// judged.
    pub(super) fn failed(&self, run: &RunId) -> Option<&State> {
        self.runs.given(run).or_else(|| self.machine.newest())
    }

    fn gave_up(&self, run: &RunId, attempts: u32) {
        let (name, key) = (&self.spec.name, &self.spec.target.key);
        match self.spec.output {
            Output::Log | Output::Null => {}
            // Without a daemon; the failure of a run without retries is said already.
            Output::Inherit | Output::Terminal if attempts == 1 => return,
            Output::Inherit | Output::Terminal => {
                tracing::error!(watch = %name, "gave up after {}: nothing runs until {key} changes", tries(attempts));
                return;
            }
        }
        tracing::error!(
            watch = %name,
            "gave up after {}: nothing runs until {key} changes or somebody says `twitcher trigger {name}`",
            tries(attempts)
        );
        if let Some(failed) = self.failed(run) {
            bulk::with(&failed.content, || self.runs.shared().book().gave_up(&self.spec, failed));
        }
        self.report_failure(run);
    }

    fn stopped(&self, run: &RunId, attempts: u32) {
        let name = &self.spec.name;
        self.runs.shared().book().stop(&self.spec);
        tracing::error!(
            watch = %name,
            "gave up after {}, and the watch is stopped: nothing runs until its definition changes or somebody says \
             `twitcher resume {name}`",
            tries(attempts)
        );
        self.report_failure(run);
    }

    fn signal(&mut self, run: &RunId, sent: Sent) {
        let policy = &self.spec.policy;
        let command = match sent {
            Sent::Notify => policy.notify_signal.map(RunCommand::Notify),
            Sent::Term => Some(RunCommand::Term { timed_out: self.machine.is_overdue(run, Instant::now()) }),
            Sent::Kill => Some(RunCommand::Kill),
        };
        if let Some(command) = command {
            self.runs.command(run, command);
        }
    }

    /// Adopts the live runs of a former daemon (promise P3).
    pub(super) fn adopt(&mut self) {
        let Self { runs, party, machine, spec, .. } = self;
        let mut first: Option<(LivePermit, u32)> = None;
        let mut unpermitted = None;
        for run in runs.adopt(spec, self.grace) {
            let permit = party.as_mut().and_then(|party| party.adopt(&run.live, run.since, spec));
            first = first.or_else(|| run.live.permit.clone().map(|permit| (permit, run.live.attempt)));
            if permit.is_none() {
                unpermitted = Some((run.live.run.clone(), run.live.attempt));
            }
            machine.adopt(Adopted {
                run: run.live.run.clone(),
                version: run.live.version.parse().ok(),
                reason: run.live.reason,
                attempt: run.live.attempt,
                coalesced: run.live.coalesced,
                started: run.since,
                permit,
            });
        }
        if let Some(party) = party {
            let entry = runs.shared().ledger().entry(spec.name.as_str()).unwrap_or_default();
            let applied = entry.applied.filter(|applied| applied.is_of(&spec.target));
            let gave_up = entry.gave_up.filter(|given| given.definition == spec.fingerprint());
            let gave_up = gave_up.map(|given| given.state).filter(|state| state.is_of(&spec.target));
            let (permit, attempt) = first.unzip();
            party.start(applied.as_ref(), gave_up.as_ref(), permit.as_ref(), attempt.unwrap_or(1));
            if let Some((run, attempt)) = unpermitted.filter(|_| permit.is_none() && party.needs_permits()) {
                party.starts_unpermitted(&run, None, attempt);
            }
        }
    }
}

/// `1 try`, `4 tries`.
pub(super) fn tries(attempts: u32) -> String {
    format!("{attempts} {}", if attempts == 1 { "try" } else { "tries" })
}
