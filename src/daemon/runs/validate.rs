//! `validate`: the program that judges the states of one watch before they are applied.
//!
//! It is not a run: it has no record, mutex or retries. It takes a slot among `max_processes`; only beside a run that
//! the state would end or notify it shares the slot of that run. It judges one state at a time. If the state is
//! superseded, the program gets TERM, and KILL after `kill_after`, and the next one starts when it has ended. It never
//! outlives the task of its watch; `report` ends what a killed daemon left.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::OwnRuns;
use super::judged::Judged;
use super::run::Run;
use super::slots::Slot;
use super::validator::{Due, LiveValidator, StateToJudge};
use crate::process::{Ended, Launch, RunDetails};
use crate::watch::{PolicySpec, RunId, RunMode, WatchSpec};

/// How long it may take where the watch has no `timeout`.
const LONGEST: Duration = Duration::from_secs(30);
/// How long after a start that the daemon could not make the next one is tried.
const AGAIN: Duration = Duration::from_secs(5);
/// Prefix of the ids of these processes. It is not a ledger's id, so that no daemon adopts one as a run.
const PREFIX: &str = "validate";

/// Prefix of the ids of this ledger's processes.
pub(super) fn prefix(ledger: &str) -> String {
    format!("{PREFIX}-{ledger}-")
}

/// How long the program of a watch may take.
pub(in crate::daemon) fn limit(policy: &PolicySpec) -> Duration {
    policy.timeout.unwrap_or(LONGEST)
}

/// The watch with the program as its action; `None` where it has none.
pub(super) fn as_action(spec: &WatchSpec) -> Option<WatchSpec> {
    let program = spec.validate.as_deref()?.clone();
    let policy = PolicySpec { timeout: Some(limit(&spec.policy)), ..PolicySpec::clone(&spec.policy) };
    Some(WatchSpec { action: program, policy: Arc::new(policy), ..spec.clone() })
}

impl OwnRuns {
    /// Judges a state. The one before was judged, or [`OwnRuns::end_validation`] was called.
    pub(in crate::daemon) fn validate(&mut self, spec: &WatchSpec, candidate: StateToJudge) {
        let validator = self.validator.get_or_insert_default();
        (validator.next, validator.again) = (Some(candidate), None);
        self.ask_to_validate(spec);
    }

    /// Ends the judgement under way: its state is superseded, or nothing may start.
    pub(in crate::daemon) fn end_validation(&mut self, spec: &WatchSpec) {
        let Some(validator) = &mut self.validator else { return };
        // A slot that is waited for keeps its place in the queue for a state that follows at once: a key that changes faster
        // than slots become free would be last in the queue for ever.
        (validator.next, validator.again) = (None, None);
        if let Some(live) = validator.live.as_mut().filter(|live| live.seq.is_some()) {
            live.seq = None;
            if matches!(live.due, Due::Term(_)) {
                live.term(Instant::now(), false, spec.policy.kill_after);
            }
        }
    }

    /// Requests a slot for the next state, once the program before has ended and starts are not held.
    pub(super) fn ask_to_validate(&mut self, spec: &WatchSpec) {
        let (held, beside) = (self.held, self.judges_beside_a_run(spec));
        let Some(validator) = &mut self.validator else { return };
        if validator.next.is_none() || validator.live.is_some() || validator.again.is_some() || held {
            return;
        }
        if beside || validator.slot.is_none() {
            let slots = if beside { &self.shared.beside } else { &self.shared.slots };
            // Without the mutex: that is for runs, and the run that holds it may be the one that this state is to end.
            validator.slot = Some(slots.ask(&spec.name, spec.surroundings.account.uid, None));
        }
    }

    /// Gives back the slot that the next state waits for: others may use it while starts are held.
    pub(super) fn stop_waiting_to_validate(&mut self) {
        if let Some(validator) = &mut self.validator {
            validator.slot = None;
        }
    }

    /// Whether the judgement decides about a live run, which may be a service that ends in no other way. A slot among all
    /// would be waited for until that run ends, and the run would go on until the state is judged.
    fn judges_beside_a_run(&self, spec: &WatchSpec) -> bool {
        let reaches_it = match spec.policy.run_mode {
            RunMode::Restart => true,
            RunMode::Queue => spec.policy.notify_signal.is_some(),
            RunMode::Discard | RunMode::Parallel { .. } => false,
        };
        reaches_it && self.live().iter().any(Run::fills_a_place)
    }

    /// Ready when something has changed, maybe with a judgement.
    pub(in crate::daemon) fn poll_judged(
        &mut self,
        spec: &WatchSpec,
        context: &mut Context<'_>,
    ) -> Poll<Option<Judged>> {
        let Some(validator) = &mut self.validator else { return Poll::Pending };
        if validator.next.is_none() {
            // No state has taken the place in the queue.
            validator.slot = None;
        }
        if let Some(live) = &mut validator.live {
            let Poll::Ready(Ended { outcome, output_tail }) = Pin::new(&mut live.running.ended).poll(context)
            else {
                return Poll::Pending;
            };
            let (seq, version) = (live.seq, live.version);
            validator.live = None;
            self.ask_to_validate(spec);
            self.forget_validator();
            return Poll::Ready(seq.map(|seq| Judged { seq, version, outcome, output: output_tail }));
        }
        if validator.slot.as_mut().is_none_or(|slot| slot.poll_granted(context).is_pending()) {
            self.forget_validator();
            return Poll::Pending;
        }
        let slot = validator.slot.take();
        let Some(candidate) = validator.next.take() else { return Poll::Ready(None) };
        Poll::Ready(self.start_validation(spec, candidate, slot))
    }

    /// Starts the program. One that does not start counts as a refusal, unless the daemon could not start it for want of a
    /// resource of its own.
    fn start_validation(
        &mut self,
        spec: &WatchSpec,
        candidate: StateToJudge,
        slot: Option<Slot>,
    ) -> Option<Judged> {
        let StateToJudge { seq, version, reason, coalesced, input } = candidate.clone();
        let program = as_action(spec)?;
        let run = RunId(format!("{PREFIX}-{}", self.shared.next_id()).into());
        let sink = self.sink(spec, &run);
        let details = RunDetails { run, reason, version, attempt: 1, coalesced, permit: None };
        let started = Launch::new(&program, &details, input, None)
            .and_then(|launch| self.shared.processes.start(&launch, sink));
        match started {
            Err(error) if error.is_prevented() => {
                let validator = self.validator.get_or_insert_default();
                (validator.next, validator.again) = (Some(candidate), Instant::now().checked_add(AGAIN));
                self.prevented(spec, "validate", &error);
                None
            }
            Ok(running) => {
                self.unprevented(spec);
                let pid = running.identity.pid;
                tracing::debug!(watch = %spec.name, run = %details.run, "validate judges version {version} in process {pid}");
                let due = running.since.checked_add(limit(&spec.policy)).map_or(Due::Nothing, Due::Term);
                let live = LiveValidator { seq: Some(seq), version, running, due, _slot: slot };
                self.validator.get_or_insert_default().live = Some(live);
                None
            }
            Err(error) => {
                self.unprevented(spec);
                self.forget_validator();
                Some(Judged { seq, version, outcome: error.outcome(), output: String::new() })
            }
        }
    }

    /// When to call [`OwnRuns::hurry_validation`].
    pub(in crate::daemon) fn validation_deadline(&self) -> Option<Instant> {
        let validator = self.validator.as_ref()?;
        let due = validator.live.as_ref().and_then(|live| live.due.at());
        [due, validator.again].into_iter().flatten().min()
    }

    /// Sends the signals that are due, and tries a start again that was prevented.
    pub(in crate::daemon) fn hurry_validation(&mut self, spec: &WatchSpec, now: Instant) {
        if self.validator.as_mut().is_some_and(|v| v.again.take_if(|again| *again <= now).is_some()) {
            self.ask_to_validate(spec);
        }
        let live = self.validator.as_mut().and_then(|validator| validator.live.as_mut());
        let Some(live) = live.filter(|live| live.due.at().is_some_and(|at| at <= now)) else { return };
        match live.due {
            Due::Term(_) => live.term(now, true, spec.policy.kill_after),
            Due::Kill(_) => live.kill(),
            Due::Nothing => {}
        }
    }

    /// Since when the program has been judging a state; `None` while it waits for its slot.
    pub(in crate::daemon) fn judging_since(&self) -> Option<Instant> {
        let live = self.validator.as_ref()?.live.as_ref()?;
        live.seq.map(|_| live.running.since)
    }

    /// Whether a state that is to be judged waits for a slot.
    pub(in crate::daemon) fn waits_to_validate(&self) -> bool {
        self.validator.as_ref().is_some_and(|validator| validator.next.is_some() && validator.slot.is_some())
    }

    /// Whether the program is live, also for a superseded state.
    pub(in crate::daemon) fn has_validation(&self) -> bool {
        self.validator.as_ref().is_some_and(|validator| validator.live.is_some())
    }

    /// Sends KILL, whatever grace is left.
    pub(super) fn kill_validation(&mut self) {
        if let Some(live) = self.validator.as_mut().and_then(|validator| validator.live.as_mut()) {
            live.kill();
        }
    }

    /// Drops an idle validator: ten thousand idle watches must hold no memory for one.
    fn forget_validator(&mut self) {
        self.validator.take_if(|validator| validator.next.is_none() && validator.live.is_none());
    }
}
