//! What the machine decides is done here: slots, starts, signals, the ledger, the log.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use super::task::{Slot, Task};
use super::{Event, bulk};
use crate::daemon::ground::Counted;
use crate::ledger::{Applied, LiveRun, Paused, described};
use crate::policy::{Answer, Control, Effect, Input, Refusal, RunEnd, Sent};
use crate::process::{
    self, Ending, Launch, Leftovers, OutputSink, RunCommand, RunCommands, RunDetails, SpawnError,
};
use crate::tree::document;
use crate::watch::{Action, Outcome, Reason, RunId, RunRecord, State, Verdict};

/// A run that has begun, by this daemon or by a former one.
pub(super) struct Running {
    pub(super) run: RunId,
    commands: Option<RunCommands>,
    pub(super) pid: i32,
    pub(super) started: jiff::Timestamp,
    since: Instant,
    reason: Reason,
    pub(super) version: String,
    attempt: u32,
    coalesced: u64,
    /// What it is for, as the ledger says it.
    target: String,
    /// It was told to end before its time: how it then ends is no failure of its own.
    dismissed: bool,
    /// What it was given; an adopted run's is not known.
    state: Option<Box<State>>,
    /// None where it could not start.
    counted: Option<Counted>,
    /// Given back when it ends. An adopted run has none.
    _slot: Option<OwnedSemaphorePermit>,
}

impl Running {
    /// Gives back the slot; the state that it was given.
    fn give_back(self) -> Option<Box<State>> {
        self.state
    }

    /// A run of a former daemon.
    pub(super) fn adopted(live: &LiveRun, commands: RunCommands, since: Instant, counted: Counted) -> Self {
        Self {
            run: live.run.clone(),
            commands: Some(commands),
            pid: live.process.pid,
            started: live.started,
            since,
            reason: live.reason,
            version: live.version.clone(),
            attempt: live.attempt,
            coalesced: live.coalesced,
            target: live.target.clone(),
            dismissed: false,
            state: None,
            counted: Some(counted),
            _slot: None,
        }
    }
}

impl Task {
    /// Gives the machine an input and performs what it answers, until nothing more follows from it.
    pub(super) fn decide(&mut self, input: Input) {
        let _ = self.decide_and_answer(input);
    }

    fn decide_and_answer(&mut self, input: Input) -> Option<Answer> {
        let mut answer = None;
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.machine.handle(Instant::now(), input) {
                match effect {
                    Effect::Acquire => {
                        let place = Arc::clone(&self.ground.slots).acquire_owned();
                        self.slot = Slot::Waiting(Box::pin(place));
                    }
                    Effect::Release => self.slot = Slot::None,
                    Effect::Start { state, reason, attempt, coalesced, run } => {
                        let details = RunDetails { run, reason, version: state.version, attempt, coalesced };
                        inputs.extend(self.start(state, details));
                        if self.ground.is_once() {
                            inputs.push(Input::Retire { deadline: None });
                        }
                    }
                    Effect::Signal { run, sent } => self.signal(&run, sent),
                    Effect::Skip { seq, why } => {
                        tracing::debug!(watch = %self.spec.name, "state {} is not run: {why:?}", seq.0);
                    }
                    Effect::Applied { seq, .. } => {
                        // The machine judges: of parallel runs, an older one may end last.
                        if let Some(state) = self.ending.take().filter(|state| state.seq == seq) {
                            let applied =
                                bulk::with(&state.content, || Applied::new(&self.spec.target, &state));
                            self.ground.ledger.applied(&self.spec.name, applied);
                        }
                    }
                    Effect::Stopped => {
                        let fingerprint = super::recover::fingerprint(&self.spec);
                        self.ground.ledger.stop(&self.spec.name, Some(fingerprint));
                        tracing::error!(
                            watch = %self.spec.name,
                            "the last retry failed, and the watch is stopped; mend the action and say `twitcher resume {}`",
                            self.spec.name
                        );
                    }
                    Effect::Revived => self.ground.ledger.stop(&self.spec.name, None),
                    Effect::Resumed => self.ground.ledger.pause(&self.spec.name, None),
                    Effect::Answer(given) => answer = Some(given),
                    Effect::Drained => self.drained = true,
                }
            }
        }
        answer
    }

    /// Starts a run. One that cannot start has ended at once.
    fn start(&mut self, state: State, details: RunDetails) -> Option<Input> {
        let slot = match std::mem::replace(&mut self.slot, Slot::None) {
            Slot::Held(permit) => Some(permit),
            Slot::None | Slot::Waiting(_) => None,
        };
        let started = jiff::Timestamp::now();
        let since = Instant::now();
        let launched = self.launch(&state, &details);
        let RunDetails { run, reason, attempt, coalesced, .. } = details;
        let version = state.version.to_string();
        let mut running = Running {
            run: run.clone(),
            commands: None,
            pid: 0,
            started,
            since,
            reason,
            version: version.clone(),
            attempt,
            coalesced,
            target: described(&self.spec.target),
            dismissed: false,
            state: Some(Box::new(state)),
            counted: None,
            _slot: slot,
        };
        match launched {
            Ok(process::Running { identity, commands, ended, .. }) => {
                running.commands = Some(commands);
                running.pid = identity.pid;
                running.counted = Some(self.ground.count_run());
                let live = LiveRun {
                    run: run.clone(),
                    target: running.target.clone(),
                    definition: super::recover::fingerprint(&self.spec),
                    process: identity,
                    started,
                    reason,
                    version,
                    attempt,
                    coalesced,
                };
                self.ground.ledger.started(&self.spec.name, live);
                tracing::debug!(watch = %self.spec.name, run = %run, "started process {}", running.pid);
                self.runs.push(running);
                self.listen(run, ended);
                None
            }
            Err(error) => {
                let outcome = error.outcome();
                let ended = self.finish(&run, &running, &outcome, String::new());
                Some(Input::Ended(RunEnd { run, verdict: ended }))
            }
        }
    }

    fn launch(&self, state: &State, details: &RunDetails) -> Result<process::Running, SpawnError> {
        let spec = &self.spec;
        let render = || bulk::with(&state.content, || document::render(&state.content, spec.format));
        let input = spec.pipe_stdin.then(render);
        let script = match &spec.action {
            Action::Script(text) => {
                let account = &spec.surroundings.account;
                Some(process::blocking(|| self.ground.scripts.ensure(text, account))?)
            }
            Action::Shell(_) | Action::Program(_) => None,
        };
        let launch = Launch::new(spec, details, input, script.as_deref())?;
        let sink = self.sink(&details.run);
        self.ground.spawner.start(&launch, sink)
    }

    /// Where the output of a run goes.
    pub(super) fn sink(&self, run: &RunId) -> OutputSink {
        OutputSink::to_log(self.leftovers.get_or_init(Leftovers::default), &self.spec.name, run)
    }

    /// Brings the end of a run back to this task.
    pub(super) fn listen(&self, run: RunId, ended: Ending) {
        let mailbox = Arc::clone(&self.mailbox.0);
        tokio::spawn(async move {
            let process::Ended { outcome, output_tail } = ended.await;
            mailbox.put(Event::Ended { run, outcome, output: output_tail });
        });
    }

    pub(super) fn ended(&mut self, run: &RunId, outcome: &Outcome, output: String) {
        let Some(place) = self.runs.iter().position(|running| running.run == *run) else { return };
        let running = self.runs.remove(place);
        if self.runs.is_empty() {
            // Ten thousand idle watches hold no buffer each.
            self.runs = Vec::new();
        }
        let mut verdict = self.finish(run, &running, outcome, output);
        if running.target != described(&self.spec.target) {
            // Whatever became of it, there is nothing here to repeat it with.
            verdict = Verdict::Succeeded;
        }
        // The slot is free before the machine may ask for the next.
        self.ending = running.give_back();
        self.decide(Input::Ended(RunEnd { run: run.clone(), verdict }));
        self.ending = None;
    }

    /// Writes down and logs how a run ended.
    fn finish(&mut self, run: &RunId, running: &Running, outcome: &Outcome, output: String) -> Verdict {
        let success_codes = &self.spec.policy.success_codes;
        let verdict = outcome.verdict(success_codes);
        let word = outcome.word(success_codes);
        self.count(word);
        let seconds = running.since.elapsed().as_secs_f64();
        let output = match outcome {
            Outcome::NotStarted(why) => why.clone(),
            Outcome::Exited(_) | Outcome::Killed(_) | Outcome::TimedOut { .. } | Outcome::Unknown => output,
        };
        self.log_end(run, running, outcome, word, seconds);
        let record = RunRecord {
            run: run.clone(),
            reason: running.reason,
            version: running.version.clone(),
            attempt: running.attempt,
            coalesced: running.coalesced,
            started: running.started,
            seconds,
            outcome: word.to_owned(),
            exit_code: outcome.exit_code(),
            signal: outcome.signal().map(|signal| signal.0),
            output,
        };
        let made_good_later = match verdict {
            Verdict::Unknown => true,
            // Ended by the daemon's own stop: it is made good at the next start.
            Verdict::Failed => self.stopping,
            Verdict::Succeeded => false,
        };
        self.ground.ledger.ended(&self.spec.name, record, verdict == Verdict::Succeeded);
        if made_good_later {
            self.ground.ledger.interrupted(&self.spec.name, run, &running.target);
        }
        self.ground.ended(outcome);
        verdict
    }

    fn count(&mut self, word: &'static str) {
        match self.outcomes.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => self.outcomes.push((word, 1)),
        }
    }

    fn log_end(&self, run: &RunId, running: &Running, outcome: &Outcome, word: &str, seconds: f64) {
        let Running { reason, version, attempt, .. } = running;
        let how = match outcome {
            Outcome::Exited(0) => String::new(),
            Outcome::Exited(code) => format!(" with exit code {code}"),
            Outcome::Killed(signal) => format!(" by {signal}"),
            Outcome::TimedOut { .. } => " after its timeout".to_owned(),
            Outcome::NotStarted(why) => format!(": {why}"),
            Outcome::Unknown => ", its end was not seen".to_owned(),
        };
        let reason = reason.word();
        let text =
            format!("{word}{how} after {seconds:.3} s ({reason}, version {version}, attempt {attempt})");
        match outcome.verdict(&self.spec.policy.success_codes) {
            Verdict::Succeeded => {
                tracing::info!(watch = %self.spec.name, run = %run, outcome = word, "{text}");
            }
            Verdict::Failed if running.dismissed => {
                tracing::info!(watch = %self.spec.name, run = %run, outcome = word, "{text}; twitcher ended it");
            }
            Verdict::Failed | Verdict::Unknown => {
                tracing::warn!(watch = %self.spec.name, run = %run, outcome = word, "{text}");
            }
        }
    }

    fn signal(&mut self, run: &RunId, sent: Sent) {
        let Some(running) = self.runs.iter_mut().find(|running| running.run == *run) else { return };
        let Some(commands) = &running.commands else { return };
        let policy = &self.spec.policy;
        match sent {
            Sent::Notify => {
                if let Some(signal) = policy.notify_signal {
                    commands.send(RunCommand::Notify(signal));
                }
            }
            Sent::Term => {
                let timed_out = policy.timeout.is_some_and(|timeout| running.since.elapsed() >= timeout);
                running.dismissed |= !timed_out;
                commands.send(RunCommand::Term { timed_out });
            }
            Sent::Kill => commands.send(RunCommand::Kill),
        }
    }

    /// Kills every live run, whatever grace it has left.
    pub(super) fn kill(&mut self) {
        for running in &mut self.runs {
            if let Some(commands) = &running.commands {
                running.dismissed = true;
                commands.send(RunCommand::Kill);
            }
        }
    }

    /// The newest state, if nothing is to be done about it any more.
    fn settled(&self) -> Option<Applied> {
        let newest = self.machine.newest().filter(|_| self.machine.unserved().is_none());
        newest.map(|newest| bulk::with(&newest.content, || Applied::new(&self.spec.target, newest)))
    }

    /// Does what an operator asks, and says in a sentence what came of it.
    pub(super) fn controlled(&mut self, control: Control) -> Result<String, String> {
        let name = self.spec.name.clone();
        let answer = self.decide_and_answer(Input::Control(control));
        match (answer, control) {
            (Some(Answer::Accepted), Control::Trigger) => Ok(format!("{name} runs with the current state")),
            (Some(Answer::Accepted), Control::Pause { until }) => {
                let length = until.map(|until| until.saturating_duration_since(Instant::now()));
                // Rounded up: no pause ends early by that.
                let seconds = length.map(|length| length.as_secs().saturating_add(1));
                let until = until.and_then(super::recover::wall_clock);
                let paused = Paused { until, seconds, settled: self.settled() };
                self.ground.ledger.pause(&name, Some(paused));
                tracing::info!(watch = %name, "paused");
                Ok(match until {
                    Some(until) => format!("{name} is paused until {until:.0}"),
                    None => format!("{name} is paused until `twitcher resume {name}`"),
                })
            }
            (Some(Answer::Accepted), Control::Resume) => {
                tracing::info!(watch = %name, "resumed");
                Ok(format!("{name} goes on"))
            }
            (Some(Answer::Refused(why)), _) => Err(refusal(&name, why)),
            (None, _) => Err(format!("{name} did not answer; this is a fault in twitcher")),
        }
    }
}

fn refusal(name: &crate::watch::WatchName, why: Refusal) -> String {
    match why {
        Refusal::Paused => format!("{name} is paused; say `twitcher resume {name}` first"),
        Refusal::Stopped => format!("{name} is stopped after its last retry; say `twitcher resume {name}`"),
        Refusal::Retiring => format!("{name} is being changed or removed; try again in a moment"),
        Refusal::NoState => {
            format!("the store has not shown {name} its key yet; `twitcher explain {name}` says why")
        }
        Refusal::Absent => format!("the key of {name} does not exist, and on_delete = \"ignore\""),
        Refusal::Running => format!("{name} is running, and run_mode = \"discard\""),
        Refusal::NothingToResume => format!("{name} is neither paused nor stopped"),
    }
}
