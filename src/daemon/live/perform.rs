//! Performs what the machine decides: slots, starts, signals, the ledger.

use std::time::Instant;

use super::bulk;
use super::task::Task;
use crate::daemon::runs::{Concluded, Plan};
use crate::policy::{Adopted, Answer, Effect, Input, RunEnd, Sent};
use crate::process::{Ended, RunCommand, RunDetails};
use crate::tree::document;
use crate::watch::{Outcome, Output, Retries, RunId, State};

impl Task {
    /// Gives the machine an input and performs its effects, until nothing more follows from it.
    pub(super) fn decide(&mut self, input: Input) {
        let _ = self.decide_and_answer(input);
    }

    pub(super) fn decide_and_answer(&mut self, input: Input) -> Option<Answer> {
        let mut answer = None;
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.machine.handle(Instant::now(), input) {
                match effect {
                    Effect::Acquire => self.runs.acquire(&self.spec),
                    Effect::Release => self.runs.release(),
                    // No watch needs permits.
                    Effect::Ask { .. }
                    | Effect::Withdraw
                    | Effect::Claim { .. }
                    | Effect::Report { .. }
                    | Effect::Return { .. } => {}
                    Effect::Start { state, reason, attempt, coalesced, run } => {
                        let details = RunDetails { run, reason, version: state.version, attempt, coalesced };
                        inputs.extend(self.start(state, details));
                        let is_last = self.spec.policy.retries == Retries::AtMost(0);
                        inputs.extend(self.retire_if_once().filter(|_| is_last));
                    }
                    Effect::Signal { run, sent } => self.signal(&run, sent),
                    Effect::Skip { seq, why } => {
                        tracing::debug!(watch = %self.spec.name, "state {} is not run: {why:?}", seq.0);
                    }
                    Effect::Applied { run, .. } => {
                        self.applied(&run);
                        inputs.extend(self.retire_if_once());
                    }
                    Effect::GaveUp { attempts } => {
                        self.gave_up(attempts);
                        inputs.extend(self.retire_if_once());
                    }
                    Effect::Stopped { attempts } => self.stopped(attempts),
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
        answer
    }

    /// Starts a run. One that does not start has ended at once.
    fn start(&mut self, state: State, details: RunDetails) -> Option<Input> {
        let format = self.spec.format;
        let render = || bulk::with(&state.content, || document::render(&state.content, format));
        let input = self.spec.pipe_stdin.then(render);
        let run = details.run.clone();
        let end = self.runs.start(&self.spec, Plan { details, input, state })?;
        self.tell_outcome(&end.outcome);
        Some(Input::Ended(RunEnd { run, verdict: end.verdict }))
    }

    /// A run has ended.
    pub(super) fn ended(&mut self, run: &RunId, ended: Ended) {
        match self.runs.ended(&self.spec, run, ended) {
            Some(Concluded::Own(end)) => {
                self.tell_outcome(&end.outcome);
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

    fn tell_outcome(&self, outcome: &Outcome) {
        if let Some(once) = &self.once {
            let _ = once.send(outcome.clone());
        }
    }

    fn applied(&self, run: &RunId) {
        let Some(state) = self.runs.given(run) else { return };
        let (book, spec) = (self.runs.shared().book(), &self.spec);
        bulk::with(&state.content, || book.applied(&spec.name, &spec.target, state));
    }

    fn gave_up(&self, attempts: u32) {
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
    }

    fn stopped(&self, attempts: u32) {
        let name = &self.spec.name;
        self.runs.shared().book().stop(&self.spec);
        tracing::error!(
            watch = %name,
            "gave up after {}, and the watch is stopped: nothing runs until its definition changes or somebody says \
             `twitcher resume {name}`",
            tries(attempts)
        );
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

    /// Takes over the runs of a former daemon that still live (promise P3).
    pub(super) fn adopt(&mut self) {
        for run in self.runs.adopt(&self.spec, self.grace) {
            self.machine.adopt(Adopted {
                run: run.live.run.clone(),
                version: run.live.version.parse().ok(),
                reason: run.live.reason,
                attempt: run.live.attempt,
                coalesced: run.live.coalesced,
                started: run.since,
                permit: None,
            });
        }
    }
}

/// `1 try`, `4 tries`.
pub(super) fn tries(attempts: u32) -> String {
    format!("{attempts} {}", if attempts == 1 { "try" } else { "tries" })
}
